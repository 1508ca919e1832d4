"""Rules on synthetic scores."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.choosing.rules import RULES, best_by_task, best_together, gain, parse_rule
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.superb.cards import FINETUNED_TASKS, card

percent = st.floats(0, 100)


@given(st.sampled_from(FINETUNED_TASKS), percent, percent)
def test_gain_is_zero_at_the_baseline_one_without_errors_and_grows_as_scores_get_better(
    task: str, score: float, baseline: float
) -> None:
    assert gain(task, baseline, baseline) == 0
    upwards = card(task).best_metric.higher_is_better
    perfect, worse = (100.0, 0.0) if upwards else (0.0, 100.0)
    errors = 100 - baseline if upwards else baseline
    assert gain(task, perfect, baseline) == pytest.approx(1 if errors >= 1 else errors)
    assert gain(task, worse, baseline) <= gain(task, score, baseline) <= gain(task, perfect, baseline)
    assert (gain(task, score, baseline) > 0) == ((score > baseline) if upwards else (score < baseline)) or math.isclose(
        score, baseline, abs_tol=1e-9
    )


def test_gain_by_hand() -> None:
    assert gain("asr", 15.0, 20.0) == 0.25  # a quarter of the word errors gone
    assert gain("ks", 95.0, 90.0) == 0.5  # half of the wrong answers gone
    assert gain("asr", 60.0, 20.0) == -2
    assert gain("ks", 99.0, 100.0) == -1  # a baseline without errors counts as 1 %
    assert gain("sf", math.nan, 50.0) == -math.inf


MEAN_IS_LATE = {
    100: {"asr": 0.1, "ks": 0.1, "asv": 0.1},
    200: {"asr": 0.6, "ks": 0.5, "asv": -0.2},
    300: {"asr": 0.3, "ks": 0.2, "asv": 0.05},
}


def test_mean_and_worst_task_choose_differently() -> None:
    assert best_together(MEAN_IS_LATE, by_worst=False) == 200
    assert best_together(MEAN_IS_LATE, by_worst=True) == 100


def test_of_equal_ones_the_better_mean_then_the_newest_is_taken() -> None:
    equal = {"asr": 0.25, "ks": -0.5}
    assert best_together({1: equal, 3: equal, 2: equal}, by_worst=False) == 3
    assert best_together({1: equal, 3: equal, 2: equal}, by_worst=True) == 3
    stuck = {1: {"asr": 0.5, "ks": -0.5}, 2: {"asr": 0.25, "ks": -0.5}}
    assert best_together(stuck, by_worst=True) == 1
    assert best_by_task({1: {"asr": 30.0, "ks": 80.0}, 2: {"asr": 30.0, "ks": 80.0}}) == {"asr": 2, "ks": 2}


def test_each_task_has_its_own_best() -> None:
    scores = {1: {"asr": 30.0, "ks": 80.0, "sd": math.nan}, 2: {"asr": 25.0, "ks": 70.0, "sd": 40.0}}
    assert best_by_task(scores) == {"asr": 2, "ks": 1, "sd": 2}


@given(st.lists(st.tuples(percent, percent), min_size=1, max_size=6), percent, percent)
def test_no_step_is_better_than_the_one_chosen(rows: list[tuple[float, float]], asr: float, ks: float) -> None:
    gains = {step: {"asr": gain("asr", one, asr), "ks": gain("ks", two, ks)} for step, (one, two) in enumerate(rows)}
    best = gains[best_together(gains, by_worst=False)]
    assert all(sum(own.values()) / 2 <= sum(best.values()) / 2 for own in gains.values())
    safest = gains[best_together(gains, by_worst=True)]
    assert all(min(own.values()) <= min(safest.values()) for own in gains.values())
    steps = best_by_task({step: {"asr": one, "ks": two} for step, (one, two) in enumerate(rows)})
    # Errors are 100 less an accuracy: what differs by less than that rounds to is equal.
    assert rows[steps["asr"]][0] == pytest.approx(min(one for one, _ in rows), abs=1e-12)
    assert rows[steps["ks"]][1] == pytest.approx(max(two for _, two in rows), abs=1e-12)


def test_rules_are_read_by_their_names() -> None:
    assert {str(parse_rule(name)) for name in RULES if name != "soup:K"} == {"last", "mean", "worst", "per-task"}
    assert parse_rule("soup:3").count == 3 and str(parse_rule("soup:3")) == "soup:3"
    for wrong in ("soup", "soup:0", "soup:-1", "soup:K", "best", ""):
        with pytest.raises(ConfigError, match=r"--rule must be one of last, mean, .*soup:K .*found"):
            parse_rule(wrong)
