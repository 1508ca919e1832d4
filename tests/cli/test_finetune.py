"""`s3prl-plugins finetune` from its command line: help, plans, exit status, what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s3prl_plugins.cli import main

SETTINGS = {
    "tasks": ["ks", "er"],
    "encoder.conv_grad_mult": None,
    "runner.total_steps": 1,
    "runner.warmup_steps": 0,
    "runner.eval_at_start": False,
    "ssl.steps": 1,
}


def command(scenario: str, corpus: Path, folder: Path, *more: str, **options: object) -> list[str]:
    settings = {"corpus_root": corpus, **SETTINGS, **options}
    override = ",,".join(f"config.{key}={value}" for key, value in settings.items())
    return ["finetune", scenario, "-u", "fbank", "--device", "cpu", "-p", str(folder), "-o", override, *more]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["ssl", "all-task", "leave-one-out", "transfer", "goes\non where it was cut off"]),
        (["ssl"], ["finetune ssl", "--lr-search", "--lr-from result/seed1", "result/seed1/ssl/<task>/"]),
        (["all-task"], ["finetune all-task", "--er-folds 1-5", "--init-heads asr=", "--with-leaks"]),
        (["leave-one-out"], ["finetune leave-one-out", "--tasks asv sid", "--heads"]),
        (["transfer"], ["finetune transfer", "leave-one-out runs that are missing", "--launcher"]),
    ],
)
def test_help_shows_examples(words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["finetune", *words, "--help"])
    said = capsys.readouterr().out
    for part in parts:
        assert part in said


def test_a_scenario_is_carried_out_told_and_not_repeated(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "seed"
    assert main(command("ssl", tiny_corpus, root)) == 0
    said = capsys.readouterr().out
    assert "ssl/ks: started" in said and "[2/2] ssl/er: finished after" in said
    assert said.strip().endswith(f"scores and prediction files: {root}")

    assert main(command("all-task", tiny_corpus, root, "--frozen")) == 0
    assert "acc" in capsys.readouterr().out
    about = json.loads((root / "all_task" / "results.json").read_text())["about"]
    assert about["init_heads"] == ["er", "ks"] and about["er_fold"] == "fold1" and about["exclude_other_tests"]

    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert main(command("ssl", tiny_corpus, root, "--jobs", "2")) == 0
    assert "ssl/ks  finished before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_heads_may_come_from_runs_named_by_hand(tiny_corpus: Path, tmp_path: Path) -> None:
    assert main(command("ssl", tiny_corpus, tmp_path / "a", "--tasks", "ks")) == 0
    given = f"ks={tmp_path / 'a' / 'ssl' / 'ks'}"
    assert main(command("all-task", tiny_corpus, tmp_path / "b", "--frozen", "--init-heads", given)) == 0
    about = json.loads((tmp_path / "b" / "all_task" / "results.json").read_text())["about"]
    assert about["init_heads"] == ["ks"]


def test_one_failed_run_makes_exit_status_1_and_stops_no_other(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"superb.ks.corpus.path": "nowhere"}
    assert main(command("ssl", tiny_corpus, tmp_path, **broken)) == 1
    said = capsys.readouterr().out
    assert "[1/2] ssl/ks: failed" in said and "nowhere" in said and "[2/2] ssl/er: finished" in said
    assert not (tmp_path / "ssl" / "ks").exists()


def test_a_dry_run_writes_nothing(tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dry-run", "--gpu", "h100", "--frozen", "--heads", "ssl"]
    assert main(command("all-task", tiny_corpus, tmp_path / "none", *options)) == 0
    said = capsys.readouterr().out
    assert said.startswith("all_task\n") and "h100" in said.lower()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("scenario", "more", "message"),
    [
        ("all-task", ["-i", "x", "--heads", "ssl"], "-i holds the heads too; leave out --heads"),
        ("all-task", ["--init-heads", "ks"], "--init-heads must be KEY=VALUE pairs, found 'ks'"),
        ("all-task", ["--init-heads", "pr=x"], "--init-heads names task 'pr', which is not trained"),
        ("all-task", ["--heads", "ssl"], "ssl/ks is not finished; run `s3prl-plugins finetune ssl -p"),
        ("all-task", ["--er-folds", "6"], "--er-folds must lie in 1-5, found '6'"),
        ("ssl", ["--jobs", "0"], "--jobs must be at least 1, found 0"),
        ("ssl", ["--tasks", "pr"], "--tasks names 'pr', which config.tasks does not have"),
        ("ssl", ["-t", "sid:test"], "-t names task 'sid', which this run does not have"),
        ("leave-one-out", ["-o", "config.tasks=['ks']"], "needs at least two in config.tasks, found ks"),
    ],
)
def test_what_cannot_be_done_is_named(
    scenario: str, more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(scenario, tmp_path, tmp_path / "none"), *more]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "none").exists()
