"""A recording of any length through the encoder: overlapping windows, of which the middles are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.multitask.trunk import HiddenStates, Trunk

__all__ = ["OVERLAP", "Window", "features", "joint_features", "windows"]

OVERLAP = 4.0
"""Seconds that neighbouring windows share; half of them are dropped on either side of a seam."""


@dataclass(frozen=True)
class Window:
    """A stretch that goes through the encoder at once."""

    start: int
    """First sample."""
    stop: int
    """One past the last sample."""
    skip: int
    """Frames at its beginning that the window before has."""
    keep: int | None
    """Frames kept after those; None keeps all there are."""


def windows(samples: int, rate: int, seconds: float | None) -> list[Window]:
    """The windows of a recording; one, of everything, if it is not longer than `seconds`.

    Windows begin on frames of the whole recording, and every frame is kept once.

    :param rate: samples per frame.
    :param seconds: length of a window, more than `OVERLAP`; None sets no limit.
    """
    if seconds is None or samples <= seconds * SAMPLE_RATE:
        return [Window(0, samples, 0, None)]
    length, overlap = (int(value * SAMPLE_RATE / rate) for value in (seconds, OVERLAP))
    step, half = length - overlap, overlap // 2
    count = max(math.ceil((samples / rate - overlap) / step), 1)
    found = []
    for number in range(count):
        first, skip = number * step, half if number else 0
        keep = step + half - skip if number < count - 1 else None
        found.append(Window(first * rate, min((first + length) * rate, samples), skip, keep))
    return found


@torch.no_grad()
def features(trunk: Trunk, mixes: Mapping[str, nn.Module], wave: Tensor, seconds: float | None) -> dict[str, Tensor]:
    """Each task's features (frames, dim) of one recording, which goes through the encoder once.

    Only the encoder, whose attention costs the square of the length, works in windows. The heads see the features of
    the whole recording: speakers keep their numbers from window to window, means over time run over everything.
    What differs from one pass: attention ends at the window, and so does whatever the encoder normalises over time.

    :param mixes: task -> its layer weights.
    :param wave: (samples,) at 16 kHz, on the encoder's device.
    """
    parts: dict[str, list[Tensor]] = {task: [] for task in mixes}
    for window in windows(len(wave), trunk.rate, seconds):
        states: list[HiddenStates] = trunk([wave[window.start : window.stop]])
        stop = None if window.keep is None else window.skip + window.keep
        for task, mix in mixes.items():
            [mixed] = mix(states)
            parts[task].append(mixed[window.skip : stop])
    return {task: torch.cat(part) if len(part) > 1 else part[0] for task, part in parts.items()}


@torch.no_grad()
def joint_features(trunk: Trunk, mixes: Mapping[str, nn.Module], waves: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    """`features` of several recordings that go through the encoder together, none of them in windows.

    Where the encoder can pack them (HuBERT with padding `none`) they are equal to those of each alone up to rounding.

    :raises CorpusError: one of them is too short for the encoder.
    """
    states = trunk(waves, pack=True)
    mixed = {task: mix(states) for task, mix in mixes.items()}
    return [{task: rows[place] for task, rows in mixed.items()} for place in range(len(waves))]
