"""The stock command under torchrun: two processes, one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.logs import logged_scores, read_metrics
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.ranks import joined_ranks
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

TASKS = ["pr", "ks", "sd"]


@pytest.fixture(scope="module")
def folder(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps by two processes, then an evaluation on dev."""
    place = tmp_path_factory.mktemp("torchrun")
    write_checkpoint(place / "hubert.pt", random_checkpoint("tiny", 0))
    runner = {
        "total_steps": 2,
        "warmup_steps": 1,
        "log_step": 1,
        "save_step": 2,
        "eval_step": 2,
        "eval_at_start": False,
    }
    change = {"corpus_root": str(tiny_corpus), "tasks": TASKS, "runner": runner}
    (place / "config.yaml").write_text(yaml.safe_dump(merge(load_yaml(find_config("all_task_mini")), change)))
    command = [
        sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "-m", "s3prl.run_downstream", "-m", "train", "-u", "hubert_local", "-k", str(place / "hubert.pt"),
        "-d", "multitask", "-c", str(place / "config.yaml"), "-f", "-p", str(place / "run"), "--device", "cpu",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    return place / "run"


def test_there_is_one_run_with_one_log(folder: Path) -> None:
    entries = [entry for entry in read_metrics(folder) if "train/ks/loss" in entry]
    assert [entry["step"] for entry in entries] == [1, 2]
    assert [path.name for path in checkpoint.find(folder)] == ["states-2.ckpt"]
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    training = checkpoint.load_tensors(checkpoint.read(folder / "states-2.ckpt"), "training")
    assert {state["world"] for state in training["streams"].values()} == {2}


def test_shared_evaluation_scores_what_one_process_scores(folder: Path) -> None:
    found = checkpoint.read(folder / "states-2.ckpt")
    args = {**found.args, "past_exp": str(folder), "device": "cpu"}
    single = Experiment(type("Args", (), args)(), found.config).evaluate("dev")
    logged = logged_scores(folder, 2)
    assert len(single) == len(TASKS) and {key: logged[key] for key in single} == single
    assert json.loads((folder / "results.json").read_text())["step"] == 2


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    expected = pytest.raises(ConfigError, match=r"more processes than there are GPUs \(1\); pass --nproc_per_node 1")
    with expected, joined_ranks("cuda"):
        pass


def test_finetune_is_not_for_torchrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["finetune", "all-task", "-p", "never"]) == 2
    assert "finetune starts its own processes (--jobs), found 2 of torchrun" in capsys.readouterr().err
