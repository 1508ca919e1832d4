"""A full disk, and files that were damaged: one line, and the last good state."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from killing import Killer
from resumable import command, differences, left_by

from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CheckpointError, ConfigError, DiskError
from s3prl_plugins.files import full_disk_named, save_whole
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.evaluation import update_results
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.pretrain.states import load_state, save_state


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB, where this user may make one: the joint run's first checkpoint fits, the second does not."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("this user may mount no disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("name", ["joint", "pretraining"])
def test_a_full_disk_ends_a_run_that_goes_on_when_there_is_room(
    name: str, material: Path, whole: Any, small_disk: Path, tmp_path: Path
) -> None:
    _, _, wanted = whole(name)
    killer, run = Killer(tmp_path / "said"), command(name, material, small_disk / "run")
    filler = small_disk / "filler"
    if name == "pretraining":  # small
        filler.write_bytes(bytes(41_540_000))
    process = killer.start(run)
    process.join()
    said = killer.said.read_text().splitlines()
    assert process.exitcode == 2, said[-5:]
    assert "cannot be written (No space left on device); free space there and go on" in said[-1]
    assert "Traceback" not in "".join(said)
    filler.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=256m", small_disk], check=True)
    killer.until_done(run, [])
    assert differences(left_by(small_disk / "run"), wanted) == []


def test_no_room_for_a_state_is_one_line_of_the_command(
    material: Path, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(material / "whole" / "pretraining", tmp_path / "run")) if whole("pretraining") else None
    assert run is not None
    shutil.rmtree(run / "iteration2")
    before = left_by(run)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        words = ["pretrain", "hubert", "-c", str(material / "pretrain.yaml"), "-p", str(run), "--device", "cpu"]
        assert main(words) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        f"s3prl-plugins pretrain: {run}/iteration2/centres.npy cannot be written (No space left on device); "
        "free space there and go on: what was saved before is whole"
    )
    assert differences(left_by(run), before) == []


def test_what_torch_says_instead_is_a_full_disk_too(tmp_path: Path) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with pytest.raises(DiskError, match="file.pt cannot be written"), full_disk_named(tmp_path / "file.pt"):
        torch.save({"a": torch.zeros(100_000)}, Full())
    with pytest.raises(RuntimeError, match="another"), full_disk_named():
        raise RuntimeError("another")
    with pytest.raises(DiskError, match="a file of this run cannot be written"), full_disk_named():
        raise OSError(errno.EFBIG, "File too large")


@pytest.mark.parametrize("fault", ["flipped", "torn", "empty", "gone"])
def test_a_damaged_state_of_a_pretraining_is_passed_over(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2, 3):
        save_state(tmp_path, {"step": step, "model": {"w": torch.full((500,), float(step))}})
    assert {path.name for path in tmp_path.iterdir()} == {"training.pt", "training.before.pt"}
    newest = tmp_path / "training.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    if fault == "gone":
        newest.unlink()
    else:
        newest.write_bytes({"flipped": content, "torn": content[:-30], "empty": b""}[fault])
    state = load_state(tmp_path)
    assert state is not None and state["step"] == 2 and bool((state["model"]["w"] == 2).all())
    said = capsys.readouterr().out
    assert fault == "gone" or ("training.pt cannot be read" in said and said.endswith("going back to step 2\n"))
    save_state(tmp_path, {"step": 3})
    assert torch.load(tmp_path / "training.before.pt", weights_only=True)["step"] == 2


def test_no_state_and_damaged_ones_only(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    for name in ("training.pt", "training.before.pt"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"training\.pt cannot be read \(.*\); remove it or choose another -p"):
        load_state(tmp_path)
    save_whole(tmp_path / "training.pt", [1])
    with pytest.raises(CheckpointError, match="is no state of a pretraining"):
        load_state(tmp_path)


@pytest.mark.parametrize("fault", ["torn", "flipped"])
def test_scores_that_cannot_be_read_are_said_before_the_work(
    fault: str, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = merge(load_yaml(find_config("all_task_mini")), {"corpus_root": str(tiny_corpus), "tasks": ["ks"]})
    experiment = Experiment(stock_args(upstream="fbank", expdir=str(tmp_path), device="cpu"), config)
    path = tmp_path / "results.json"
    if fault == "torn":
        path.write_text('{"step": 20, "sco')
    else:
        update_results(tmp_path, 20, {("ks", "test"): {"acc": 87.5}}, {})
        path.write_text(path.read_text().replace("87.5", "97.5"))
    monkeypatch.setattr(experiment, "evaluator", None)
    with pytest.raises(ConfigError, match=r"results\.json is damaged \(.*\); remove it, and the run is scored again"):
        experiment.evaluate("test")
