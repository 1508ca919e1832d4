"""Conflicts and affinities on the pages, and the comparison with the relation graph."""

import json
import math
from pathlib import Path
from statistics import fmean, median

import pytest
from report_fakes import TABLE, write_results, write_sweep
from scipy.stats import spearmanr

from s3prl_plugins.report.affinity import affinity_section, agreement
from s3prl_plugins.report.conflicts import conflict_section, typical_pairs
from s3prl_plugins.report.graph import Graph, relation_graph
from s3prl_plugins.report.page import write_page
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.scores import COLUMNS, GRAPH_COLUMN
from s3prl_plugins.report.sweep import read_sweep

TASKS = ("asr", "ks", "sid")


def helps(graph: Graph) -> dict[tuple[str, str], float]:
    """How much each source helps each target, in percent, by hand."""
    found = {}
    for edge in graph.edges:
        better_up = COLUMNS[GRAPH_COLUMN[edge.target]].metric.higher_is_better
        found[edge.source, edge.target] = float(edge.change) * (-1 if better_up else 1)
    return found


def test_affinities_in_the_order_of_the_graph_agree_with_it() -> None:
    graph = relation_graph(read_table(TABLE))
    expected = helps(graph)
    signs = {edge.effect: {expected[edge.source, edge.target] > 0} for edge in graph.edges if edge.effect != "none"}
    assert signs == {"helps": {True}, "hurts": {False}}
    found = agreement({pair: math.exp(value) for pair, value in expected.items()}, graph)
    assert found is not None and found.pairs == len(graph.edges)
    assert found.overall == pytest.approx(1) and found.targets.keys() == set(graph.targets)
    assert all(rho == pytest.approx(1) for rho in found.targets.values())
    against = agreement({pair: -value for pair, value in expected.items()}, graph)
    assert against is not None and against.overall == pytest.approx(-1)


def test_only_pairs_that_both_have_are_compared() -> None:
    graph = relation_graph(read_table(TABLE))
    affinities = {("asr", "ks"): 0.3, ("pr", "ks"): 0.1, ("sid", "ks"): 0.2, ("er", "er"): 9.0, ("x", "ks"): 1.0}
    expected = helps(graph)
    found = agreement(affinities, graph)
    assert found is not None and found.pairs == 3 and list(found.targets) == ["ks"]
    pairs = [("asr", "ks"), ("pr", "ks"), ("sid", "ks")]
    rho = spearmanr([affinities[pair] for pair in pairs], [expected[pair] for pair in pairs]).statistic
    assert found.overall == pytest.approx(rho) == found.targets["ks"]
    assert agreement({("asr", "ks"): 1.0, ("pr", "ks"): 2.0}, graph) is None


def test_averages_leave_out_what_is_no_number() -> None:
    entries = [
        {"affinity/asr/ks": 1.0},
        {"affinity/asr/ks": math.nan},
        {"affinity/asr/ks": 3.0, "step": 2},
        {"other": 1},
    ]
    assert typical_pairs(entries, "affinity", TASKS, fmean) == {("asr", "ks"): 2.0}
    entries.append({"affinity/asr/ks": -1e9, "affinity/ks/ks": 1.0})
    assert typical_pairs(entries, "affinity", TASKS, median) == {("asr", "ks"): 1.0}


def conflict_entries(steps: int) -> list[dict[str, float]]:
    return [
        {
            "step": step, "train/conflict_ratio": 1 / 3, "cosine/asr/ks": 0.25, "cosine/asr/sid": -0.5,
            "cosine/ks/sid": 0.125, **{f"train/{task}/cosine": 0.1 * step for task in TASKS},
        }
        for step in range(1, steps + 1)
    ]  # fmt: skip


def test_the_map_over_training_gathers_many_entries() -> None:
    few, many = conflict_section(conflict_entries(3), TASKS), conflict_section(conflict_entries(50), TASKS)
    assert few.count("+0.10") == 3 and ">+0.30<" in few and "33 % of the pairs" in few
    assert many.count("<th scope=col>") == 10 + 3, "fifty entries in ten columns of five, beside a map of three tasks"
    assert ">50<" in many and ">+0.30<" in many, "the first column is the mean of steps 1 to 5"
    assert few.count(">-0.50<") == few.count(">+0.25<") == 2, "both halves of the square"
    assert conflict_section([{"step": 1}], TASKS) == "" == conflict_section(conflict_entries(3), ["asr"])


def test_the_page_of_a_run_shows_its_conflicts(tmp_path: Path) -> None:
    write_results(tmp_path, {"asr_wer": 20.0, "ks_acc": 60.0, "sid_acc": 30.0}, 1)
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in conflict_entries(4)))
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert "<h2>Conflicts between tasks</h2>" in page and ">-0.50<" in page


def test_the_page_of_sweeps_sets_affinities_beside_the_graph(tmp_path: Path) -> None:
    graph = relation_graph(read_table(TABLE))
    sweeps = []
    for seed in (1, 2):
        folder = write_sweep(tmp_path / f"seed{seed}", seed)
        entry = {f"affinity/{i}/{j}": seed * value / 100 for (i, j), value in helps(graph).items()}
        (folder / "all_task" / "metrics.jsonl").write_text(json.dumps({"step": 5, **entry}) + "\n")
        sweeps.append(read_sweep(folder))
    tasks = list(dict.fromkeys(edge.source for edge in graph.edges))
    section = affinity_section(sweeps, graph, tasks)
    assert f"over {len(graph.edges)} pairs: +1.00" in section and "Measured in 2 runs" in section
    assert "mean +1.00" in section and "<th scope=row>a step for ASR</th>" in section
    assert "no leave-one-out runs" in affinity_section(sweeps, Graph(()), tasks)
    assert affinity_section([read_sweep(write_sweep(tmp_path / "plain", 3))], graph, tasks) == ""
