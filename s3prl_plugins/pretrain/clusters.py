"""Pseudo-phones: k-means clusters of frame features, the targets of masked prediction (arXiv 2106.07447, section II-B)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torchaudio.compliance.kaldi as kaldi
from torch import Tensor
from torchaudio.functional import compute_deltas
from tqdm import tqdm

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.files import whole_file
from s3prl_plugins.heads.audio import SAMPLE_RATE, load
from s3prl_plugins.pretrain.speech import Crop, Frames, Utterance
from s3prl_plugins.seeding import derive, generator
from s3prl_plugins.untrusted import load_arrays

__all__ = ["FrameFeatures", "Targets", "fit_clusters", "make_targets", "mfcc"]

FrameFeatures = Callable[[Tensor], Tensor]
"""One utterance (samples,) at 16 kHz -> (frames, dim), one row for each frame of the encoder."""
Centres = npt.NDArray[np.float32]


def mfcc(wave: Tensor) -> Tensor:
    """13 Kaldi cepstra with first and second differences at the encoder's 50 Hz: (samples,) -> (frames, 39).

    HuBERT's own targets: windows of 25 ms every 10 ms, of which every second one begins where a frame does.
    """
    cepstra = kaldi.mfcc(wave.unsqueeze(0), sample_frequency=SAMPLE_RATE, use_energy=False, dither=0.0).T
    first = compute_deltas(cepstra)
    return torch.cat([cepstra, first, compute_deltas(first)]).T[::2]


@dataclass(frozen=True)
class Targets:
    """The cluster of every frame of every utterance."""

    labels: npt.NDArray[np.int16]
    """All frames, one utterance after the other."""
    offsets: npt.NDArray[np.int64]
    """Where each utterance begins in `labels`, and one past the last."""
    clusters: int

    def crops(self, crops: Sequence[Crop]) -> Tensor:
        """Clusters of equally long crops, (crops, frames) int64."""
        starts = [int(self.offsets[crop.index]) + crop.first for crop in crops]
        rows = [self.labels[start : start + crop.frames] for start, crop in zip(starts, crops)]
        return torch.from_numpy(np.stack(rows).astype(np.int64))

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """Of each utterance."""
        return np.diff(self.offsets)

    def utterance(self, index: int) -> Tensor:
        """Clusters of one utterance, (frames,) int64."""
        first, last = self.offsets[index : index + 2]
        return torch.from_numpy(self.labels[first:last].astype(np.int64))

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """How often each cluster occurs, summing to 1."""
        counts = np.bincount(self.labels, minlength=self.clusters)
        return np.asarray(counts / counts.sum(), dtype=np.float64)

    @property
    def prior_entropy(self) -> float:
        """Cross-entropy in nats of predicting the clusters' frequencies without hearing anything."""
        shares = self.shares[self.shares > 0]
        return float(-(shares * np.log(shares)).sum())

    def save(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        with whole_file(path) as file:
            np.savez(file, labels=self.labels, offsets=self.offsets, clusters=self.clusters)

    @classmethod
    def load(cls, path: Path, cure: str = "remove it, and it is made anew") -> Targets:
        """:raises CheckpointError: it cannot be read."""
        labels, offsets, clusters = load_arrays(path, ("labels", "offsets", "clusters"), cure)
        return cls(labels, offsets, int(clusters))


def fit_clusters(
    utterances: Sequence[Utterance], chosen: Sequence[int], features: FrameFeatures, clusters: int, share: float,
    seed: int, progress: bool = True,
) -> Centres:  # fmt: skip
    """Cluster the frames of a random part of the utterances.

    MiniBatchKMeans with fairseq's settings: k-means++, batches of 10,000 frames, 20 starts, stop after 100 batches
    without gain.

    :param chosen: indices of utterances that may be used.
    :param share: of them, how many are.
    :return: (clusters, dim).
    :raises ConfigError: more clusters than frames.
    """
    from sklearn.cluster import MiniBatchKMeans

    order = torch.randperm(len(chosen), generator=generator(seed, "clusters")).tolist()
    taken = sorted(chosen[place] for place in order[: max(1, round(share * len(order)))])
    rows = [
        features(load(utterances[index].path)).float().numpy()
        for index in tqdm(taken, desc="features to cluster", unit="file", disable=not progress)
    ]
    frames = np.concatenate(rows)
    if len(frames) < clusters:
        raise ConfigError(f"clusters must be at most the {len(frames)} frames to cluster, found {clusters}; lower it")
    model = MiniBatchKMeans(
        clusters, init="k-means++", batch_size=10000, max_iter=100, n_init=20, tol=0.0, max_no_improvement=100,
        reassignment_ratio=0.0, random_state=derive(seed, "k-means") % 2**32,
    )  # fmt: skip
    with warnings.catch_warnings():
        # More distinct clusters asked for than found: rare clusters stay empty, which does no harm.
        warnings.simplefilter("ignore")
        model.fit(frames)
    return np.asarray(model.cluster_centers_, dtype=np.float32)


def make_targets(
    utterances: Sequence[Utterance], features: FrameFeatures, centres: Centres, frames: Frames, progress: bool = True
) -> Targets:
    """The nearest cluster of every frame.

    :raises ValueError: the features of an utterance are not one row for each frame.
    """
    centre = torch.from_numpy(centres)
    bias = centre.pow(2).sum(1)
    labels = []
    for utterance in tqdm(utterances, desc="targets", unit="file", disable=not progress):
        rows = features(load(utterance.path)).float()
        count = frames.count(utterance.samples)
        if len(rows) < count:
            raise ValueError(f"{utterance.path}: features must have {count} frames, found {len(rows)}")
        nearest = (bias - 2 * rows[:count] @ centre.T).argmin(1)
        labels.append(nearest.numpy().astype(np.int16))
    offsets = np.cumsum([0, *(len(row) for row in labels)], dtype=np.int64)
    return Targets(np.concatenate(labels), offsets, len(centres))
