"""Maximum term-weighted value: QbE's score (NIST 2006 STD evaluation plan; QUESST 2014's costs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s3prl_plugins.errors import CorpusError

__all__ = ["BETA", "GroundTruth", "max_twv", "mtwv"]

_C_MISS, _C_FA, _P_TARGET = 100.0, 1.0, 0.0008
BETA = _C_FA / _C_MISS * (1 / _P_TARGET - 1)
"""Weight of false alarms against misses by the costs and prior of QUESST 2014's scoring script: 12.49."""


@dataclass(frozen=True)
class GroundTruth:
    """Which documents hold which query."""

    documents: frozenset[str]
    """Everything that may be searched."""
    targets: Mapping[str, frozenset[str]]
    """Query -> the documents that hold it; every query, also one that no document holds."""


def mtwv(detections: Mapping[str, Mapping[str, float]], truth: GroundTruth) -> float:
    """The largest, over all thresholds t, of

        TWV(t) = 1 - mean over queries of [misses / targets + BETA * false alarms / (documents - targets)],

    a value of at most 1 (every target above everything else), and at least 0 (nothing detected). A query without a target is left
    out. All queries and documents of the ground truth count: a pair without a score is never detected, as with the default
    score of -10 that SUPERB gives QUESST's script. SUPERB searches English alone, while that ground truth has six languages;
    this is why its published values are small.

    :param detections: query -> document -> score, the higher the likelier.
    :raises CorpusError: the ground truth has no target, or a score is of a query or document it does not have.
    """
    counted = {query: hits for query, hits in truth.targets.items() if hits}
    if not counted:
        raise CorpusError("the ground truth has no query that is in a document; MTWV needs one, check the .rttm file")
    scores: list[float] = []
    gains: list[float] = []
    for query, found in detections.items():
        if query not in truth.targets:
            raise CorpusError(
                f"query {query!r} is not in the ground truth's .tlist.xml; restore the corpus's scoring folder"
            )
        hits = truth.targets[query]
        if strange := found.keys() - truth.documents:
            raise CorpusError(
                f"document {min(strange)!r} is not in the ground truth's .ecf.xml; restore the corpus's scoring folder"
            )
        if hits:
            others = len(truth.documents) - len(hits)
            scores += found.values()
            gains += [1 / len(hits) if document in hits else -BETA / others for document in found]
    return max_twv(np.array(scores), np.array(gains) / len(counted))


def max_twv(scores: npt.NDArray[np.float64], gains: npt.NDArray[np.float64]) -> float:
    """The largest sum of gains over trials whose score reaches a common threshold; 0 if every such sum is negative.

    :param scores: (trials,).
    :param gains: (trials,) what accepting each trial adds to the TWV, which is 0 as long as nothing is accepted.
    """
    if not len(scores):
        return 0.0
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.diff(scores[order]) != 0, True)  # equal scores are accepted together
    return max(0.0, float(np.cumsum(gains[order])[ends].max()))
