"""How well each pretext label suits a task: class-conditional HSIC of speech and label, lower is better (arXiv 2104.07388)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.errors import UserError
from s3prl_plugins.pretext.hsic import Centring, pair_weights
from s3prl_plugins.pretext.kernels import downsampling, label_energy, log_mel, speech_kernel
from s3prl_plugins.pretext.segments import Segment, Speech
from s3prl_plugins.pretext.weights import Pairs

__all__ = ["Samples", "Target", "Utilities", "measure", "sample", "utilities"]

Target = Callable[[Tensor], Tensor]
"""(batch, samples) at 16 kHz -> (batch, frames, dim), one frame every 10 ms."""
_FRAMES_A_SECOND = 100
_LARGEST_ENERGY = 10.0


@dataclass(frozen=True)
class Samples:
    """The samples of one class as the kernels take them."""

    speech: Tensor
    """(n, frames, bands): log-mel, downsampled."""
    labels: tuple[Tensor, ...]
    """For each label (n, dim): its mean over the sample."""


@dataclass(frozen=True)
class Utilities:
    """What was measured."""

    labels: tuple[str, ...]
    classes: tuple[str, ...]
    scores: Tensor
    """HSIC (labels, classes), float64."""
    chance: Tensor
    """Its expectation (labels, classes) if the label were shuffled among the samples of a class."""
    pairs: Pairs
    """All the same once more, for weights."""

    @property
    def means(self) -> Tensor:
        """Utility of each label (labels,): mean over classes."""
        return self.scores.mean(dim=1)


class _Moments:
    """Mean and standard deviation over frames, added up."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, count: int, total: Tensor, squares: Tensor) -> None:
        self.count, self.sum, self.squares = self.count + count, self.sum + total, self.squares + squares

    @property
    def mean(self) -> Tensor:
        return self.sum / self.count

    @property
    def variance(self) -> Tensor:
        """0 where it is below rounding."""
        variance = self.squares / self.count - self.mean.square()
        return variance.where(variance > 1e-10 * (1 + self.mean.square()), 0)

    def standardise(self, values: Tensor) -> Tensor:
        """Values to mean 0 and variance 1; what never changes becomes 0."""
        scale = self.variance.sqrt()
        return ((values.double() - self.mean) / scale.where(scale > 0, torch.inf)).float()


def sample(
    speech: Speech,
    chosen: Mapping[str, Sequence[Segment]],
    targets: Mapping[str, Target],
    kept: int,
    progress: bool,
    jobs: int = 1,
) -> dict[str, Samples]:
    """Compute spectrograms and labels of all chosen segments, an utterance at a time.

    Both are computed on whole utterances and then cut. Labels, like spectrograms, have mean 0 and variance 1 over the
    frames of the utterances in use; then a label is averaged over the segment.

    :param kept: frames a segment is downsampled to (papers: 30 for utterances, 10 for words).
    :param jobs: threads; they change nothing else.
    :raises UserError: a label that is not finite, has no frames, or never changes.
    """
    order = [segment for segments in chosen.values() for segment in segments]
    places: dict[int, list[int]] = {}
    for place, segment in enumerate(order):
        places.setdefault(segment.utterance, []).append(place)
    moments = [_Moments() for _ in range(len(targets) + 1)]
    rows: list[list[Tensor]] = [[] for _ in order]

    def work(utterance: int) -> tuple[list[tuple[int, Tensor, Tensor]], list[list[Tensor]]]:
        wave = speech.wave(utterance)
        tracks = [log_mel(wave), *(_track(name, target, wave) for name, target in targets.items())]
        sums = [(len(track), track.double().sum(dim=0), track.double().square().sum(dim=0)) for track in tracks]
        return sums, [_row([_cut(track, order[place]) for track in tracks], kept) for place in places[utterance]]

    with ThreadPoolExecutor(jobs) as pool:
        try:
            done = zip(sorted(places), pool.map(work, sorted(places)))
            bar = tqdm(done, desc="labels", unit="utterance", total=len(places), disable=not progress)
            for utterance, (sums, found) in bar:
                for moment, one in zip(moments, sums):
                    moment.add(*one)
                for place, row in zip(places[utterance], found):
                    rows[place] = row
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for name, moment in zip(targets, moments[1:]):
        if not moment.variance.any():
            raise UserError(f"label {name!r} never changes on this speech, so it tells nothing; leave it out")
    columns = [moment.standardise(torch.stack(column)) for moment, column in zip(moments, zip(*rows))]
    ends = list(accumulate(map(len, chosen.values()), initial=0))
    parts = {label: [column[a:b] for column in columns] for label, a, b in zip(chosen, ends, ends[1:])}
    return {label: Samples(part[0], tuple(part[1:])) for label, part in parts.items()}


def utilities(samples: Mapping[str, Samples], labels: Sequence[str], centring: Centring, progress: bool) -> Utilities:
    """HSIC of every label in every class; 300 samples of 100 classes take seconds."""
    scores, chances, weights, energies, constant = [], [], [], [], 0.0
    for one in tqdm(samples.values(), desc="HSIC", unit="class", leave=False, disable=not progress):
        weight = pair_weights(speech_kernel(one.speech), centring)
        upper = 2 * weight[tuple(torch.triu_indices(len(weight), len(weight), 1))]
        itself = float(weight.trace())
        energy = torch.stack([label_energy(label) for label in one.labels])
        kernel = (-energy).exp()
        scores.append(itself + kernel @ upper)
        chances.append(itself + kernel.mean(dim=1) * upper.sum())
        weights.append((upper / len(samples)).float())
        energies.append(energy.clamp(max=_LARGEST_ENERGY).float())
        constant += itself / len(samples)
    pairs = Pairs(torch.cat(weights), torch.cat(energies, dim=1), constant)
    return Utilities(tuple(labels), tuple(samples), torch.stack(scores, 1), torch.stack(chances, 1), pairs)


def measure(
    speech: Speech,
    chosen: Mapping[str, Sequence[Segment]],
    targets: Mapping[str, Target],
    kept: int,
    centring: Centring = "textbook",
    progress: bool = False,
    jobs: int = 1,
) -> Utilities:
    """`sample`, then `utilities`."""
    return utilities(sample(speech, chosen, targets, kept, progress, jobs), tuple(targets), centring, progress)


def _track(name: str, target: Target, wave: Tensor) -> Tensor:
    try:
        track = target(wave[None])[0]
    except ValueError as error:
        raise UserError(
            f"label {name!r} of an utterance of {len(wave)} samples fails ({error}); leave it out"
        ) from error
    if len(track) == 0 or not torch.isfinite(track).all():
        raise UserError(f"label {name!r} of an utterance of {len(wave)} samples is empty or not finite; leave it out")
    return track.detach()


def _row(cuts: Sequence[Tensor], kept: int) -> list[Tensor]:
    """One sample: the spectrogram downsampled, every label averaged."""
    return [downsampling(len(cuts[0]), kept).float() @ cuts[0], *(cut.mean(dim=0) for cut in cuts[1:])]


def _cut(track: Tensor, segment: Segment) -> Tensor:
    """The frames of a segment, at least one."""
    first = min(int(segment.start * _FRAMES_A_SECOND), len(track) - 1)
    last = len(track) if segment.end is None else int(segment.end * _FRAMES_A_SECOND)
    return track[first : max(last, first + 1)]
