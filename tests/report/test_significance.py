"""Nothing is called better or worse over several seeds without a paired test."""

import warnings
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from s3prl_plugins.report.findings import scenario_findings
from s3prl_plugins.report.papertable import paper_table
from s3prl_plugins.report.scores import ALL_TASK, Row, ScoreTable
from s3prl_plugins.report.significance import compare, paired_p

SSL = Row("ssl")


def table(ssl: list[str | None], joint: list[str | None], column: str = "asr_wer") -> ScoreTable:
    rows = [tuple(None if one is None else Decimal(one) for one in ones) for ones in (ssl, joint)]
    names = tuple(f"seed{number}" for number in range(len(ssl)))
    return ScoreTable(names, {SSL: {column: rows[0]}, ALL_TASK: {column: rows[1]}}, ("asr",))


def test_the_p_value_is_that_of_scipy_and_of_the_formula() -> None:
    generator = np.random.default_rng(0)
    for count in (2, 3, 5):
        one, two = generator.normal(50, 1, count).round(4), generator.normal(50.5, 1, count).round(4)
        p = paired_p([(Decimal(str(a)), Decimal(str(b))) for a, b in zip(one, two)])
        assert p == pytest.approx(stats.ttest_1samp(one - two, 0).pvalue)
        t = (one - two).mean() / ((one - two).std(ddof=1) / np.sqrt(count))
        assert p == pytest.approx(2 * stats.t.sf(abs(t), count - 1))


def test_why_not_sign_flips() -> None:
    def smallest(count: int) -> float:
        data = (np.arange(count) + 1.0,)
        return float(stats.permutation_test(data, np.mean, permutation_type="samples").pvalue)

    assert smallest(3) == 0.25 and smallest(5) == 0.0625


@pytest.mark.parametrize("pairs", [[], [("1", "2")], [("1", "2"), ("2", "3"), ("5", "6")], [("1.1", "1.1")] * 3])
def test_without_spread_there_is_no_test_and_no_warning(pairs: list[tuple[str, str]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paired_p([(Decimal(one), Decimal(two)) for one, two in pairs]) is None


@pytest.mark.parametrize(
    ("ssl", "joint", "verdict"),
    [
        (["6.4"], ["6.2"], "worse"),
        (["6.0"], ["6.2"], "better"),
        (["6.2"], ["6.20"], "equal"),
        (["6.40", "6.42", "6.44"], ["6.20", "6.21", "6.25"], "worse"),
        (["6.00", "6.02", "6.04"], ["6.20", "6.21", "6.25"], "better"),
        (["6.4", "6.1", "6.9"], ["6.2", "6.3", "6.2"], "unclear"),
        (["6.4", "6.4", "6.4"], ["6.2", "6.2", "6.2"], "unclear"),
        (["6.4", None, None], ["6.2", "6.3", "6.2"], "unclear"),
        (["6.2", "6.3"], ["6.2", "6.3"], "equal"),
    ],
)
def test_verdicts(ssl: list[str | None], joint: list[str | None], verdict: str) -> None:
    scores = table(ssl, joint)
    compared = compare(scores, SSL, ALL_TASK, "asr_wer")
    assert compared is not None and compared.verdict == verdict
    shown = paper_table(scores, "paper").rows[0][1][0]
    assert shown.mark == (verdict if verdict in ("better", "worse") else "")


def test_what_one_of_several_seeds_has_is_told_as_that() -> None:
    line = "All tasks jointly (b-1) against the frozen encoder (a)"
    assert scenario_findings(table(["6.4"], ["6.2"])) == [f"{line}: better on ASR."]
    untested = scenario_findings(table(["6.4", None], ["6.2", "6.1"]))
    assert untested == [f"{line}, one seed, not tested: better on ASR."]
    assert scenario_findings(table(["6.4", "6.1"], ["6.2", "6.3"])) == [
        f"{line}: not told apart by the paired test on ASR."
    ]


def test_only_seeds_that_have_both_are_compared() -> None:
    scores = table(["6.0", None, "6.1"], [None, "6.3", "6.2"])
    compared = compare(scores, SSL, ALL_TASK, "asr_wer")
    assert compared is not None and compared.seeds == 1
    assert compare(table(["6.0", None], [None, "6.3"]), SSL, ALL_TASK, "asr_wer") is None


def test_a_higher_accuracy_is_better_and_the_cell_shows_mean_and_spread() -> None:
    scores = table(["90.1", "90.2", "90.4"], ["91.1", "91.3", "91.4"], "ks_acc")
    scores = ScoreTable(scores.seeds, scores.cells, ("ks",))
    paper = paper_table(scores, "mini")
    cell = paper.rows[0][1][0]
    assert (cell.text, cell.spread, cell.mark) == ("90.23", "0.15", "worse")
    assert f"p = {stats.ttest_rel([90.1, 90.2, 90.4], [91.1, 91.3, 91.4]).pvalue:.3g} (3 seeds)" in cell.note
    caption = " ".join(paper.caption)
    assert "paired t-test over seeds, p < 0.05" in caption and "1 cells were tested" in caption
    assert "never be set beside published SUPERB scores" in caption
    assert "One seed" in " ".join(paper_table(table(["6.4"], ["6.2"]), "paper").caption)
