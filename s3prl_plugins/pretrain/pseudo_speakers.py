"""Pseudo-speakers: clusters of utterances' embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.files import whole_file
from s3prl_plugins.heads.audio import load
from s3prl_plugins.pretrain.speech import Crop, Utterance
from s3prl_plugins.seeding import derive
from s3prl_plugins.untrusted import load_arrays

__all__ = ["Embed", "PseudoSpeakers", "find_speakers"]

Embed = Callable[[Tensor], Tensor]
"""One utterance (samples,) at 16 kHz -> (dim,)."""


@dataclass(frozen=True)
class PseudoSpeakers:
    """The cluster of every utterance."""

    labels: npt.NDArray[np.int64]
    clusters: int

    def crops(self, crops: Sequence[Crop]) -> Tensor:
        """Clusters of the utterances that crops are of, (crops,) int64."""
        return torch.from_numpy(self.labels[[crop.index for crop in crops]])

    def save(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        with whole_file(path) as file:
            np.savez(file, labels=self.labels, clusters=self.clusters)

    @classmethod
    def load(cls, path: Path) -> PseudoSpeakers:
        """:raises CheckpointError: it cannot be read."""
        labels, clusters = load_arrays(path, ("labels", "clusters"), "remove it, and it is made anew")
        return cls(labels, int(clusters))


def find_speakers(
    utterances: Sequence[Utterance], chosen: Sequence[int], embed: Embed, clusters: int, longest: int, seed: int,
    progress: bool = True,
) -> PseudoSpeakers:  # fmt: skip
    """Cluster the directions of the chosen utterances' embeddings; every utterance gets the nearest centre.

    :param chosen: indices of utterances that k-means sees.
    :param longest: samples that are heard of an utterance, from its begin.
    :raises ConfigError: more clusters than utterances.
    """
    from sklearn.cluster import MiniBatchKMeans

    if clusters > len(chosen):
        raise ConfigError(
            f"pseudo-speakers must be at most the {len(chosen)} utterances, found {clusters}; ask for fewer"
        )
    rows = [
        embed(load(utterance.path, 0, min(longest, utterance.samples)))
        for utterance in tqdm(utterances, desc="embeddings", unit="file", disable=not progress)
    ]
    directions = torch.nn.functional.normalize(torch.stack(rows).float(), dim=1).numpy()
    model = MiniBatchKMeans(
        clusters, batch_size=10000, n_init=10, max_no_improvement=100, random_state=derive(seed, "speakers") % 2**32
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct embeddings than clusters: rare ones stay empty
        model.fit(directions[list(chosen)])
    return PseudoSpeakers(model.predict(directions).astype(np.int64), clusters)
