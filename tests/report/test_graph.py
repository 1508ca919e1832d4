"""The relation graph: parity with an independent computation, with the paper's words, and its properties."""

import dataclasses
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fakes import TABLE, paper_rows

from s3prl_plugins.report import graph as graph_module
from s3prl_plugins.report.findings import graph_findings, scenario_findings
from s3prl_plugins.report.graph import Edge, Graph, relation_graph
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.scores import ALL_TASK, COLUMNS, Row, ScoreTable

TASKS = ("asr", "pr", "sf", "sd", "er", "ic", "ks", "asv", "sid")
COLUMN = {
    "asr": "asr_wer", "pr": "pr_per", "sf": "sf_cer", "sd": "sd_der", "er": "er_acc", "ic": "ic_acc", "ks": "ks_acc",
    "asv": "asv_eer", "sid": "sid_acc",
}  # fmt: skip


def table_of(change: Callable[[Row, str, Decimal], Decimal]) -> ScoreTable:
    """The paper's table with every score changed."""
    table = read_table(TABLE)
    cells = {
        row: {
            name: tuple(None if one is None else change(row, name, one) for one in ones) for name, ones in cells.items()
        }
        for row, cells in table.cells.items()
    }
    return dataclasses.replace(table, cells=cells)


def test_all_72_edges_equal_an_independent_computation() -> None:
    rows = paper_rows()
    expected = ["from,to,effect,relative_change_percent"]
    for source in TASKS:
        for target in TASKS:
            if source != target:
                base, score = rows["all_task", ""][COLUMN[target]], rows["leave_one_out", source][COLUMN[target]]
                worse = score < base if COLUMN[target].endswith("acc") else score > base
                effect = "none" if score == base else "helps" if worse else "hurts"
                expected.append(f"{source},{target},{effect},{(score - base) / base * 100:.3f}")
    text = relation_graph(read_table(TABLE)).to_csv()
    assert text.splitlines() == expected and len(expected) == 73
    assert text.endswith("\n") and "\r" not in text


def test_the_graph_says_what_the_paper_says() -> None:
    graph = relation_graph(read_table(TABLE))
    helpers = {task: {edge.source for edge in graph.into(task) if edge.effect == "helps"} for task in TASKS}
    others = {task: set(TASKS) - {task} for task in TASKS}
    assert helpers["asr"] == {"pr", "sd"}
    assert helpers["pr"] == {"asr"} and [edge.source for edge in graph.into("pr")][:2] == ["asv", "sid"]
    assert helpers["sd"] == set() and [edge.source for edge in graph.into("sd")][:2] == ["asv", "sid"]
    assert helpers["er"] == others["er"] - {"sid"}
    assert helpers["asv"] == others["asv"] - {"ic"}
    assert helpers["sid"] == others["sid"] - {"pr"} and graph.into("sid")[0].source == "asv"
    assert all(edge.effect != "none" for edge in graph.edges)


def test_the_findings_put_it_in_the_same_words() -> None:
    lines = [re.sub(r" \([^)]*\)", "", line) for line in graph_findings(relation_graph(read_table(TABLE)))]
    assert lines == [
        "ASR is helped by PR, a little by SD, hurt by every other task, most by ASV and SID.",
        "PR is helped a little by ASR, hurt by every other task, most by ASV and SID.",
        "SF is hurt by SD, a little by ASV, helped by every other task, most by PR and SID.",
        "SD is hurt by every other task, most by ASV and SID.",
        "ER is hurt by SID, helped by every other task, most by ASV and ASR.",
        "IC: the influence of the others is negligible, below 0.25 % from every one, KS most.",
        "KS: the influence of the others is negligible, below 0.25 % from every one, ASR most.",
        "ASV is hurt a little by IC, helped by every other task, most by SID and PR.",
        "SID is hurt a little by PR, helped by every other task, most by ASV.",
    ]
    first, second, third = scenario_findings(read_table(TABLE))
    assert first.endswith("better on ASR, PR, SD, ER, IC, KS and SID; worse on SF and ASV.")
    assert second.endswith("better on ASR, SD and KS; worse on PR, SF, IC, ASV and SID; equal on ER.")
    assert third.endswith("better on SF; worse on ASR, PR, SD, ER, IC, KS, ASV and SID.")


@given(st.decimals(min_value=Decimal("0.001"), max_value=1000, places=3))
def test_scaling_every_score_changes_nothing(factor: Decimal) -> None:
    scaled = table_of(lambda row, name, score: score * factor)
    assert relation_graph(scaled).edges == relation_graph(read_table(TABLE)).edges


def test_reversing_the_direction_flips_every_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    before = relation_graph(read_table(TABLE)).edges
    flipped = {
        name: column._replace(
            metric=dataclasses.replace(column.metric, higher_is_better=not column.metric.higher_is_better)
        )
        for name, column in COLUMNS.items()
    }
    monkeypatch.setattr(graph_module, "COLUMNS", flipped)
    for old, new in zip(before, relation_graph(read_table(TABLE)).edges):
        assert {old.effect, new.effect} == {"helps", "hurts"} and old.change == new.change


def test_equal_scores_have_no_effect_and_the_smallest_difference_has_one() -> None:
    base = read_table(TABLE).cells[ALL_TASK]
    tiny = Decimal("0.0000001")

    def change(row: Row, name: str, score: Decimal) -> Decimal:
        if row.scenario != "leave_one_out" or (value := base[name][0]) is None:
            return score
        return value - tiny if row.left_out == "pr" else value

    edges = relation_graph(table_of(change)).edges
    assert {edge.effect for edge in edges if edge.source != "pr"} == {"none"}
    assert {edge.percent for edge in edges if edge.source != "pr"} == {"0.000"}
    effects = {edge.target: (edge.effect, edge.percent) for edge in edges if edge.source == "pr"}
    assert effects["asr"] == ("hurts", "-0.000") and effects["sid"] == ("helps", "-0.000")


def test_ties_in_the_third_decimal_are_exact() -> None:
    """The change from 16 to 6.21 is -61.1875 %, to 4.31 -73.0625 %: ties go to even, where binary ones fall anywhere."""
    assert [f"{(score - 16.0) / 16.0 * 100:.3f}" for score in (6.21, 4.31)] == ["-61.187", "-73.063"]
    cells = {"asr_wer": (Decimal(16),)}, {"asr_wer": (Decimal("6.21"),)}, {"asr_wer": (Decimal("4.31"),)}
    rows = (ALL_TASK, Row("leave_one_out", "pr"), Row("leave_one_out", "ks"))
    edges = relation_graph(ScoreTable(("one",), dict(zip(rows, cells)), ("asr", "pr", "ks"))).edges
    assert [(edge.source, edge.percent) for edge in edges] == [("pr", "-61.188"), ("ks", "-73.062")]
    assert Edge("asr", "pr", Fraction(1, 3), "helps").percent == "0.333"


def test_what_the_graph_lacks_is_told() -> None:
    table = read_table(TABLE)
    assert relation_graph(table).gaps == ()
    without_row = {row: cells for row, cells in table.cells.items() if row != Row("leave_one_out", "ks")}
    graph = relation_graph(dataclasses.replace(table, cells=without_row))
    assert len(graph.edges) == 64 and set(graph.gaps) == {"the row leave_one_out, all but ks is missing"}
    zero = table_of(lambda row, name, score: Decimal(0) if (row, name) == (ALL_TASK, "ic_acc") else score)
    graph = relation_graph(zero)
    assert len(graph.edges) == 64 and "ic" not in graph.targets
    assert set(graph.gaps) == {"ic_acc of all_task is 0, so that a relative change has no value"}
    assert graph_findings(Graph(())) == []
