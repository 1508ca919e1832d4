"""MTWV: its extremes, what it must not depend on, and all thresholds by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.superb.mtwv import BETA, GroundTruth, mtwv

Detections = dict[str, dict[str, float]]
NAMES = [f"d{number}" for number in range(6)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Detections, GroundTruth]:
    """Few documents and few distinct scores, so that scores tie; queries without targets, and pairs without scores."""
    queries = [f"q{number}" for number in range(draw(st.integers(1, 4)))]
    targets = {query: frozenset(draw(st.sets(st.sampled_from(NAMES)))) for query in queries}
    targets["q0"] |= {"d0"}
    row = st.dictionaries(st.sampled_from(NAMES), st.integers(-3, 3).map(float))
    detections = {query: draw(row) for query in queries if draw(st.booleans())}
    return detections, GroundTruth(frozenset(NAMES), targets)


def twv(detections: Detections, truth: GroundTruth, threshold: float) -> float:
    """The definition, pair by pair."""
    losses = []
    for query, targets in truth.targets.items():
        if not targets:
            continue
        accepted = {document for document, score in detections.get(query, {}).items() if score >= threshold}
        misses, alarms = len(targets - accepted), len(accepted - targets)
        others = len(truth.documents) - len(targets)
        losses.append(misses / len(targets) + (BETA * alarms / others if others else 0.0))
    return 1 - sum(losses) / len(losses)


@given(cases())
def test_it_is_the_best_of_all_thresholds(case: tuple[Detections, GroundTruth]) -> None:
    detections, truth = case
    thresholds = {score for row in detections.values() for score in row.values()} | {float("inf")}
    expected = max(twv(detections, truth, threshold) for threshold in thresholds)
    assert mtwv(detections, truth) == pytest.approx(expected, abs=1e-12)


@given(cases())
def test_only_the_order_of_scores_counts(case: tuple[Detections, GroundTruth]) -> None:
    detections, truth = case
    changed = {query: {name: float(np.exp(2 * x) - 7) for name, x in row.items()} for query, row in detections.items()}
    assert mtwv(changed, truth) == mtwv(detections, truth)


TRUTH = GroundTruth(frozenset(NAMES), {"q0": frozenset({"d0", "d3"}), "q1": frozenset({"d5"}), "q2": frozenset()})


def scored(at: float, elsewhere: float) -> Detections:
    return {query: {d: at if d in hits else elsewhere for d in NAMES} for query, hits in TRUTH.targets.items()}


def test_extremes() -> None:
    assert mtwv(scored(1, 0), TRUTH) == pytest.approx(1)
    assert mtwv(scored(0, 1), TRUTH) == 0
    assert mtwv(scored(0, 0), TRUTH) == 0
    assert mtwv({}, TRUTH) == 0


def test_costs_are_those_of_quesst() -> None:
    # The effective prior in the organisers' own example, cut off at seven digits.
    assert pytest.approx(0.0741289, abs=1e-7) == 1 / (1 + BETA)


def test_a_query_that_was_not_searched_is_missed_and_one_without_targets_is_left_out() -> None:
    half = {"q0": scored(1, 0)["q0"]}
    assert mtwv(half, TRUTH) == pytest.approx(0.5)
    assert mtwv({**half, "q2": dict.fromkeys(NAMES, 9.0)}, TRUTH) == pytest.approx(0.5)
    few = GroundTruth(TRUTH.documents | {f"more{n}" for n in range(1000)}, TRUTH.targets)
    alarm = {"q0": {"d0": 1.0, "d3": 1.0, "d1": 2.0}}
    assert mtwv(alarm, few) == pytest.approx(0.5 * (1 - BETA / 1004))  # documents that were not searched count


def test_names_that_the_ground_truth_lacks_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"query 'q9' is not in the ground truth's \.tlist\.xml; restore"):
        mtwv({"q9": {}}, TRUTH)
    with pytest.raises(CorpusError, match=r"document 'd9' is not in the ground truth's \.ecf\.xml; restore"):
        mtwv({"q0": {"d9": 1.0}}, TRUTH)
    with pytest.raises(CorpusError, match="no query that is in a document"):
        mtwv({}, GroundTruth(frozenset(NAMES), {"q0": frozenset()}))
