"""Sweeps on disk: whole, partial, of several seeds."""

import csv
import io
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from report_fakes import STEPS, TABLE, paper_rows, write_insides, write_results, write_sweep

from s3prl_plugins.errors import UserError
from s3prl_plugins.report.graph import relation_graph
from s3prl_plugins.report.layers import layer_weights
from s3prl_plugins.report.papertable import paper_table
from s3prl_plugins.report.provenance import provenance, seed_notes
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.scores import ALL_TASK, Row
from s3prl_plugins.report.sweep import is_sweep, read_sweep, score_table


def test_a_whole_sweep_is_the_papers_table(tmp_path: Path) -> None:
    """Which also shows that only the test splits are read: dev scores are all 1."""
    sweep = read_sweep(write_sweep(tmp_path / "seed1", 1, noise=0))
    assert sweep.missing == () and len(sweep.runs) == 28 and is_sweep(tmp_path / "seed1")
    assert score_table([sweep]).to_csv() == TABLE.read_text()


def test_the_written_table_gives_the_same_graph(tmp_path: Path) -> None:
    sweeps = [read_sweep(write_sweep(tmp_path / f"seed{seed}", seed)) for seed in (1, 2, 3)]
    table = score_table(sweeps)
    (tmp_path / "table.csv").write_text(table.to_csv())
    assert relation_graph(read_table(tmp_path / "table.csv")).to_csv() == relation_graph(table).to_csv()


def test_means_and_spreads_over_seeds_are_those_of_the_runs(tmp_path: Path) -> None:
    folders = [write_sweep(tmp_path / f"seed{seed}", seed) for seed in (1, 2, 3)]
    table = score_table([read_sweep(folder) for folder in folders])
    results = [json.loads((folder / "leave_one_out/pr/results.json").read_text()) for folder in folders]
    given = [one["scores"]["sf"]["test"]["slot_value_cer"] for one in results]
    row = Row("leave_one_out", "pr")
    assert float(table.mean(row, "sf_cer") or 0) == pytest.approx(np.mean(given), abs=1e-6)
    place = table.rows.index(row), table.columns.index("sf_cer")
    cell = paper_table(table, "mini").rows[place[0]][1][place[1]]
    assert cell.spread == f"{np.std(given, ddof=1):.2f}" and cell.text == f"{np.mean(given):.2f}"
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert float(rows[3]["sf_cer"]) == pytest.approx(statistics.fmean(given), abs=1e-6)


def test_an_edge_compares_within_seeds(tmp_path: Path) -> None:
    """Three seeds of all-task and one of leave-one-out: the baseline is that seed's, not the mean of the three."""
    first = write_sweep(tmp_path / "seed1", 1, noise=0)
    for seed in (2, 3):
        row = {name: value * 2 for name, value in paper_rows()["all_task", ""].items()}
        write_results(tmp_path / f"seed{seed}" / "all_task", row, seed)
    table = score_table([read_sweep(tmp_path / f"seed{seed}") for seed in (1, 2, 3)])
    assert float(table.mean(ALL_TASK, "asr_wer") or 0) == pytest.approx(6.22 * 5 / 3)
    assert relation_graph(table).to_csv() == relation_graph(score_table([read_sweep(first)])).to_csv()
    labels = [label for label, _ in paper_table(table, "mini").rows]
    assert "(b-2) all but ASR [1 of 3 seeds]" in labels and "(b-1) all tasks jointly" in labels


def test_a_partial_sweep_has_empty_cells_and_says_what_is_missing(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "seed1", 1, noise=0)
    shutil.rmtree(folder / "transfer")
    shutil.rmtree(folder / "leave_one_out" / "ks")
    (folder / "ssl" / "er" / "results.json").unlink()
    sweep = read_sweep(folder)
    assert sweep.missing == ("ssl/er", "leave_one_out/ks", "transfer (all 9 runs)")
    table = score_table([sweep])
    rows = {(row["scenario"], row["mtl_tasks"]): row for row in csv.DictReader(io.StringIO(table.to_csv()))}
    assert len(rows) == 12 and rows["ssl", "none"]["er_acc"] == "" and rows["ssl", "none"]["asr_wer"] == "6.42"
    assert set(list(rows["transfer", "leave-one-out model"].values())[2:]) == {""}
    paper = paper_table(table, "mini")
    assert "Empty cells: not measured yet." in paper.caption
    assert len(relation_graph(table).edges) == 64


def test_a_sweep_over_few_tasks_is_a_small_table(tmp_path: Path) -> None:
    rows = paper_rows()
    joint = {name: rows["all_task", ""][name] for name in ("asr_wer", "pr_per")}
    write_results(tmp_path / "two" / "all_task", joint, 1)
    for task, column in (("asr", "pr_per"), ("pr", "asr_wer")):
        write_results(tmp_path / "two" / "leave_one_out" / task, {column: rows["leave_one_out", task][column]}, 1)
    sweep = read_sweep(tmp_path / "two")
    assert sweep.tasks == ("asr", "pr") and sweep.missing == ("ssl (all 2 runs)", "transfer (all 2 runs)")
    table = score_table([sweep])
    assert table.columns == ["asr_wer", "pr_per"] and len(relation_graph(table).edges) == 2


def test_a_run_trained_on_after_its_evaluation_does_not_count(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "seed1", 1)
    write_insides(folder / "all_task", ["asr"], np.random.default_rng(0))
    assert read_sweep(folder).missing == ()
    (folder / "all_task" / f"states-{STEPS + 50}.ckpt").touch()
    sweep = read_sweep(folder)
    assert "all_task" not in sweep.runs
    assert sweep.missing == (f"all_task (evaluated at step {STEPS}, trained to {STEPS + 50})",)


def test_er_over_five_folds_stands_apart_from_fold_one(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "seed1", 1, noise=0)
    for fold in range(2, 6):
        write_results(folder / f"all_task_er_fold{fold}", {"er_acc": 60.0 + fold, "asr_wer": 99.0}, 1)
    table = score_table([read_sweep(folder)])
    row = Row("all_task_er_folds")
    assert float(table.mean(row, "er_acc") or 0) == pytest.approx((67.28 + 62 + 63 + 64 + 65) / 5)
    assert table.mean(row, "asr_wer") is None and float(table.mean(ALL_TASK, "er_acc") or 0) == 67.28
    assert any("ER is fold 1 except" in line for line in paper_table(table, "mini").caption)
    assert relation_graph(table).to_csv() == relation_graph(read_table(TABLE)).to_csv()
    shutil.rmtree(folder / "all_task_er_fold4")
    assert row not in score_table([read_sweep(folder)]).cells


def test_leaks_and_query_by_example_join_the_table(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "seed1", 1, noise=0)
    write_results(
        folder / "all_task_with_leaks", {**paper_rows()["all_task", ""], "sid_acc": 95.0, "qbe_mtwv": 0.09}, 1
    )
    write_results(folder / "ssl" / "qbe", {"qbe_mtwv": 0.0736}, 1)
    sweep = read_sweep(folder)
    assert sweep.missing == ()
    table = score_table([sweep])
    text = table.to_csv()
    head, *lines = text.splitlines()
    assert head.endswith(",sid_acc,qbe_mtwv") and lines[0].endswith(",81.42,0.0736")
    assert lines[2].startswith("all_task_with_leaks,") and lines[2].endswith(",95.00,0.09")
    (tmp_path / "t.csv").write_text(text)
    assert read_table(tmp_path / "t.csv").to_csv() == text
    (folder / "ssl/qbe/results.json").write_text(
        (folder / "ssl/qbe/results.json").read_text().replace('"eval"', '"test"')
    )
    assert score_table([read_sweep(folder)]).to_csv() == text
    paper = paper_table(table, "mini")
    assert paper.rows[0][1][-1].text == "0.0736" and paper.rows[-1][1][-1].text == "-"


def test_what_cannot_be_reported_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty" / "ssl").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no finished run"):
        read_sweep(tmp_path / "empty")
    write_results(tmp_path / "mini" / "all_task", {"asr_wer": 5.0}, 1)
    write_results(tmp_path / "real" / "all_task", {"asr_wer": 5.0}, 2, size="paper")
    with pytest.raises(
        UserError, match=r"two corpora cannot stand in one table: .*all_task is mini, .*all_task is paper"
    ):
        score_table([read_sweep(tmp_path / "mini"), read_sweep(tmp_path / "real")])
    (tmp_path / "mini" / "all_task" / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"results\.json cannot be read .*; remove it and evaluate the run again"):
        read_sweep(tmp_path / "mini")


def test_scores_that_are_no_numbers_are_missing(tmp_path: Path) -> None:
    write_results(tmp_path / "one" / "all_task", {"asr_wer": float("nan"), "pr_per": 5.0}, 1)
    assert "all_task (asr_wer not measured)" in read_sweep(tmp_path / "one").missing


def test_provenance_tells_what_differs_and_notes_what_is_doubtful(tmp_path: Path) -> None:
    folders = [write_sweep(tmp_path / name, 7) for name in ("a", "b")]
    write_results(folders[1] / "all_task", {"asr_wer": 5.0}, 8, upstream_ckpt="other.pt")
    (folders[0] / "ssl" / "ks" / "lr_search.json").write_text(
        json.dumps({"split": "dev", "tried": [{"lr": 0.1}, {"lr": 0.01}], "chosen": 0.01})
    )
    sweeps = [read_sweep(folder) for folder in folders]
    same, runs = provenance(sweeps)
    common = dict(same)
    assert common["versions"] == "torch 2.14.1, python 3.11.7" and common["config"] == "all_task_mini"
    head = runs[0]
    assert {"seed", "upstream_ckpt", "learning rate chosen"} <= set(head)
    place = head.index("learning rate chosen")
    chosen = {(row[0], name): row[place] for row in runs[1:] for name in row[1].split(", ")}
    assert len(chosen) == 28 + 28 and len(runs) < 10
    assert chosen["a", "ssl/ks"] == "0.01 of 2 on dev" and chosen["a", "ssl/pr"] == ""
    notes = " ".join(seed_notes(sweeps))
    assert "b holds runs of several seeds (7, 8)" in notes and "Seed 7 is there in more than one sweep" in notes
    assert "different encoders (hubert_local hubert_tiny.pt, hubert_local other.pt)" in notes


def test_layer_weights_are_the_softmax_of_the_checkpoint(tmp_path: Path) -> None:
    write_insides(tmp_path, ["ks", "pr"], np.random.default_rng(3))
    saved = torch.load(tmp_path / f"checkpoints/{STEPS}/model.pt", weights_only=True)["featurizers"]
    weights = layer_weights(tmp_path, STEPS)
    assert set(weights) == {"ks", "pr"}
    for task, row in weights.items():
        exponentials = np.exp(saved[f"{task}.weights"].numpy())
        assert row == pytest.approx(exponentials / exponentials.sum(), rel=1e-6)
    assert layer_weights(tmp_path / "none", 1) == {}
    (tmp_path / f"checkpoints/{STEPS}/model.pt").write_bytes(b"broken")
    assert layer_weights(tmp_path, STEPS) == {}
