"""Subsequence dynamic time warping of spoken queries in documents, as SUPERB's QbE scores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from s3prl_plugins.errors import ConfigError

__all__ = ["SearchConfig", "search", "subsequence_cost"]

_BLOCK = 1 << 13
"""Frames of documents that are compared with a query at a time."""


@dataclass(frozen=True)
class SearchConfig:
    """Settings of s3prl's quesst14_dtw (`downstream_expert` in its config.yaml), with its defaults."""

    distance: Literal["cosine_exp", "cosine", "euclidean", "cityblock"] = "cosine_exp"
    """Between two frames; `cosine_exp` is exp(1 - cosine) - 1."""
    normalize: bool = True
    """Give every feature dimension mean 0 and standard deviation 1 over all queries and documents."""
    minmax: bool = True
    """Scale each query frame's distances to a document to 0..1."""
    shortest: int = 5
    """Queries of fewer frames are not searched: all their scores are 0."""
    precision: Literal["double", "single"] = "double"
    """`double` as s3prl. `single` changes scores by about 1e-5 and is twice as fast on a CPU, more on a GPU without fast
    double precision."""

    def __post_init__(self) -> None:
        if self.shortest < 1:
            raise ConfigError(f"shortest must be at least 1 frame, found {self.shortest}")


def search(
    queries: Sequence[Tensor],
    documents: Sequence[Tensor],
    config: SearchConfig,
    device: torch.device | str = "cpu",
    jobs: int = 1,
    progress: str = "",
) -> Tensor:
    """How well each document holds each query, (queries, documents) float64 on the CPU.

    A score is minus the cost of the best path, by row made mean 0 and standard deviation 1. Equal to s3prl's
    quesst14_dtw with `subsequence: True, step_pattern: asymmetric` (dtw-python, open begin and end) up to rounding;
    a frame of zeros is at cosine 0 from all others, where s3prl has no distance.

    :param queries: per query (frames, dim) float32.
    :param documents: per document (frames, dim) float32.
    :param jobs: threads; each searches another block of documents.
    :param progress: name of the progress bar; none is shown without it.
    """
    kind = torch.float64 if config.precision == "double" else torch.float32
    if config.normalize:
        everything = torch.cat([*queries, *documents])
        mean, scale = everything.mean(0), everything.std(0).clamp(min=1e-9)
        del everything
    else:
        mean, scale = torch.zeros(()), torch.ones(())

    def prepared(features: Tensor) -> Tensor:
        frames = ((features - mean) / scale).to(device, kind)
        return (
            F.normalize(frames, dim=-1, eps=torch.finfo(kind).tiny) if config.distance.startswith("cosine") else frames
        )

    ready = [prepared(query) for query in queries]
    costs = torch.zeros(len(queries), len(documents), dtype=torch.float64)

    def run(block: list[int]) -> int:
        padded = _padded([documents[place] for place in block])
        frames = prepared(padded)
        for row, query in enumerate(ready):
            if len(query) >= config.shortest:
                costs[row, block] = subsequence_cost(_distances(query, frames, config)).cpu().double()
        return len(block)

    with (
        tqdm(total=len(documents), desc=progress, unit="doc", leave=False, disable=not progress) as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        for count in pool.map(run, _blocks(documents)):
            bar.update(count)
    centred = -costs - -costs.mean(1, keepdim=True)
    return centred / costs.std(1, correction=0, keepdim=True).clamp(min=1e-9)


def subsequence_cost(distances: Tensor) -> Tensor:
    """Cost per query frame of the cheapest path through each document, (documents,).

    Every query frame is visited once, in order; from one to the next the path stays, or goes one or two frames on in the
    document. It begins and ends anywhere. A query may be longer than the document.

    :param distances: (query frames, documents, document frames). Repeating a document's last frame changes nothing.
    """
    rows, documents, frames = distances.shape
    start = distances.new_full((documents, frames + 2), torch.inf)
    start[:, 2:] = 0
    last, this = start, start.clone()
    for row in distances:
        torch.minimum(last[:, 2:], last[:, 1:-1], out=this[:, 2:])
        torch.minimum(this[:, 2:], last[:, :-2], out=this[:, 2:])
        this[:, 2:] += row
        last, this = this, last
    return last[:, 2:].amin(1) / rows


def _distances(query: Tensor, documents: Tensor, config: SearchConfig) -> Tensor:
    """(query frames, documents, document frames), from (query frames, dim) and (documents, document frames, dim)."""
    distances = _DISTANCES[config.distance](query, documents.flatten(0, 1))
    distances = distances.view(len(query), *documents.shape[:2])
    if config.minmax:
        least, most = distances.amin(2, keepdim=True), distances.amax(2, keepdim=True)
        distances = distances.sub_(least).div_((most - least).clamp_(min=1e-9))
    return distances


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda one, other: (one @ other.T).neg_().add_(1),
    # torch.expm1 is many times slower in single precision.
    "cosine_exp": lambda one, other: (one @ other.T).neg_().add_(1).exp_().sub_(1),
    "euclidean": lambda one, other: torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist"),
    "cityblock": lambda one, other: torch.cdist(one, other, p=1),
}


def _blocks(documents: Sequence[Tensor]) -> list[list[int]]:
    """Documents of similar length together, so that little is padded."""
    blocks: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(documents)), key=lambda place: -len(documents[place])):
        if not blocks or (len(blocks[-1]) + 1) * longest > _BLOCK:
            blocks.append([])
            longest = len(documents[place])
        blocks[-1].append(place)
    return blocks


def _padded(documents: Sequence[Tensor]) -> Tensor:
    """(documents, frames, dim), the last frame of each repeated: neither its extremes nor its paths' costs change."""
    longest = max(len(document) for document in documents)
    return torch.stack([torch.cat([one, one[-1:].expand(longest - len(one), -1)]) for one in documents])
