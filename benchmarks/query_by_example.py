"""How much faster QbE's search is than dtw-python, as s3prl's quesst14_dtw calls it, for the same scores.

    python benchmarks/query_by_example.py [--queries 4] [--documents 100] [--dim 768]

Random features of the lengths of QUESST 2014 at 50 frames a second; one thread on both sides, processor time, best of
`--repeat` runs. s3prl shares its pairs among processes, ours its documents among threads (`--jobs`); neither is measured here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s3prl_plugins.qbe.dtw import SearchConfig, search

Scores = npt.NDArray[np.float64]


def features(count: int, least: int, most: int, dim: int, seed: int) -> list[Tensor]:
    """Sequences of `least` to `most` frames."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(least, most, (count,), generator=draw).tolist()
    return [torch.randn(length, dim, generator=draw) for length in lengths]


def baseline(queries: list[Tensor], documents: list[Tensor]) -> Scores:
    """Pair by pair: scipy's cosine distances in double precision, then dtw-python."""
    from dtw import dtw  # type: ignore[import-untyped]
    from scipy.spatial.distance import cdist

    everything = torch.cat([*queries, *documents])
    mean, scale = everything.mean(0), everything.std(0)
    searched = [((document - mean) / scale).numpy() for document in documents]
    costs = np.zeros((len(queries), len(documents)))
    for row, query in enumerate(queries):
        frames = ((query - mean) / scale).numpy()
        for column, document in enumerate(searched):
            distances = np.exp(cdist(frames, document, "cosine")) - 1
            least, most = distances.min(1, keepdims=True), distances.max(1, keepdims=True)
            scaled = (distances - least) / (most - least)
            found = dtw(scaled, step_pattern="asymmetric", open_begin=True, open_end=True)
            costs[row, column] = found.normalizedDistance
    return np.asarray((costs.mean(1, keepdims=True) - costs) / costs.std(1, keepdims=True))


def ours_scores(queries: list[Tensor], documents: list[Tensor], config: SearchConfig) -> Scores:
    """The same by this package."""
    return np.asarray(search(queries, documents, config))


def best(run: Callable[[], Scores], repeat: int) -> tuple[float, Scores]:
    """Shortest processor time of several runs, seconds, and what a run returned."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        scores = run()
        times.append(time.process_time() - start)
    return min(times), scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    queries = features(args.queries, 40, 120, args.dim, 1)
    documents = features(args.documents, 100, 560, args.dim, 2)
    theirs, expected = best(lambda: baseline(queries, documents), args.repeat)
    pairs = args.queries * args.documents
    print(f"dtw-python   {theirs / pairs * 1000:6.2f} ms a pair")
    for config in (SearchConfig(), SearchConfig(precision="single")):
        ours, scores = best(partial(ours_scores, queries, documents, config), args.repeat)
        error = np.abs(scores - expected).max()
        speed = f"{ours / pairs * 1000:6.2f} ms a pair, {theirs / ours:.1f} times as fast"
        print(f"ours, {config.precision} {speed}, scores differ by {error:.0e} at most")


if __name__ == "__main__":
    main()
