"""Diarization error on frames: labels from segments, decisions from logits, rates over whole splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.corpora.kaldi import Segment

__all__ = ["best_setting", "decisions", "diarization_error_rate", "frame_labels", "legacy_scores"]


def frame_labels(segments: Iterable[Segment], frames: int, frame_shift: int, num_speakers: int) -> Tensor:
    """(frames, num_speakers), 1.0 where a speaker speaks; speakers in the order of their names.

    A segment's ends are rounded to the nearest frame, halves to even, as s3prl does.
    """
    turns = list(segments)
    columns = {speaker: number for number, speaker in enumerate(sorted({speaker for speaker, _, _ in turns}))}
    labels = torch.zeros(frames, num_speakers)
    for speaker, start, stop in turns:
        first, last = (round(seconds * SAMPLE_RATE / frame_shift) for seconds in (start, stop))
        labels[first:last, columns[speaker]] = 1.0
    return labels


def decisions(logits: Tensor, threshold: float, median: int) -> NDArray[np.bool_]:
    """Who speaks: probability above `threshold`, then a median filter over `median` frames, zeros beyond the ends."""
    from scipy.signal import medfilt

    active = (logits.sigmoid() > threshold).numpy()
    return active if median == 1 else medfilt(active.astype(np.float32), (median, 1)) > 0.5


def diarization_error_rate(outputs: Sequence[Tensor], truths: Sequence[Tensor], threshold: float, median: int) -> float:
    """Missed, falsely found and confused speaker frames over all speaker frames, percent; no collar.

    :param outputs: for each recording logits (frames, speakers); its speakers are permuted for the fewest errors.
    :param truths: for each recording (frames, speakers), 1.0 where a speaker speaks.
    :raises CorpusError: nobody speaks in any recording.
    """
    spoken = sum(float(truth.sum()) for truth in truths)
    if spoken == 0:
        raise CorpusError("a diarization error rate needs speech, found none in the split; check its segments file")
    errors = sum(_errors(decisions(out, threshold, median), truth.numpy() > 0) for out, truth in zip(outputs, truths))
    return 100.0 * errors / spoken


def best_setting(
    outputs: Sequence[Tensor], truths: Sequence[Tensor], thresholds: Sequence[float], medians: Sequence[int]
) -> dict[str, float]:
    """The `threshold` and `median` of the lowest error rate; of equal ones the first."""
    grid = [(threshold, median) for median in medians for threshold in thresholds]
    threshold, median = min(grid, key=lambda setting: diarization_error_rate(outputs, truths, *setting))
    return {"threshold": threshold, "median": float(median)}


def legacy_scores(outputs: Sequence[Tensor], truths: Sequence[Tensor]) -> dict[str, float]:
    """Means over recordings, in percent, of what s3prl's expert logs on dev in batches of one.

    Speakers are permuted for the smallest loss and the threshold is 0.5. A recording without speech counts 0 in both.
    """
    from s3prl.metric import calc_diarization_error
    from s3prl.nn.pit import get_label_perm, pit_loss

    accuracies, rates = [], []
    for output, truth in zip(outputs, truths):
        logits, labels, length = output[None], truth[None], torch.tensor([len(output)])
        _, best, permutations = pit_loss(logits, labels, length)
        counts = calc_diarization_error(logits, get_label_perm(labels, best, permutations), length)
        correct, frames, speech, _, _, speakers, *errors = map(float, counts)
        scored = speech > 0 and speakers > 0
        accuracies.append(correct / frames if scored else 0.0)
        rates.append(sum(errors) / speakers if scored else 0.0)
    return {"frame_acc": 100.0 * float(np.mean(accuracies)), "der_batch_mean": 100.0 * float(np.mean(rates))}


def _errors(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Miss + false alarm + confusion = for each frame the larger number of speakers, less those rightly named."""
    from scipy.optimize import linear_sum_assignment

    together = truth.astype(np.float64).T @ found.astype(np.float64)
    right = together[linear_sum_assignment(together, maximize=True)].sum()
    return float(np.maximum(truth.sum(axis=1), found.sum(axis=1)).sum() - right)
