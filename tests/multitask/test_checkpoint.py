"""Checkpoints: whole or not there, damage found and stepped over, no code run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch

from s3prl_plugins.errors import CheckpointError, DiskError
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.untrusted import namespaces_allowed


def save(folder: Path, step: int, keep: int = 2) -> Path:
    tensors = {"model": {"w": torch.full((3,), float(step))}, "training": {"streams": {"ks": {"epoch": step}}}}
    return checkpoint.save(folder, step, {"seed": 1, "local_rank": None}, {"tasks": ["ks"]}, tensors, keep)


def test_a_checkpoint_reads_back_and_old_ones_go(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        save(tmp_path, step)
    assert [path.name for path in checkpoint.find(tmp_path)] == ["states-10.ckpt", "states-100.ckpt"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["10", "100"]
    newest, passed = checkpoint.newest_whole(tmp_path)
    assert (newest.step, newest.args["seed"], newest.config, passed) == (100, 1, {"tasks": ["ks"]}, [])
    assert torch.equal(checkpoint.load_tensors(newest, "model")["w"], torch.full((3,), 100.0))
    assert not list(tmp_path.rglob("*.part"))


def test_the_stock_command_can_open_it(tmp_path: Path) -> None:
    path = save(tmp_path, 3)
    with namespaces_allowed():
        state = torch.load(path, weights_only=True)
    assert state["Args"].local_rank is None and state["Config"] == {"tasks": ["ks"]}
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize("fault", ["flipped", "torn", "missing", "torn states"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, fault: str) -> None:
    save(tmp_path, 1)
    states = save(tmp_path, 2)
    tensors = tmp_path / "checkpoints" / "2" / "model.pt"
    content = bytearray(tensors.read_bytes())
    if fault == "flipped":
        content[len(content) // 2] ^= 1
        tensors.write_bytes(content)
    elif fault == "torn":
        tensors.write_bytes(content[:-20])
    elif fault == "missing":
        tensors.unlink()
    else:
        states.write_bytes(states.read_bytes()[:-100])
    found, passed = checkpoint.newest_whole(tmp_path)
    assert found.step == 1
    assert len(passed) == 1 and passed[0].startswith("states-2.ckpt is damaged")


def test_a_states_file_means_that_one_or_an_older_one(tmp_path: Path) -> None:
    first = save(tmp_path, 1)
    save(tmp_path, 2)
    assert checkpoint.newest_whole(first)[0].step == 1


def test_nothing_to_continue_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no states-.*start a new run"):
        checkpoint.newest_whole(tmp_path)


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"Args": argparse.Namespace(), "Step": 1}, tmp_path / "states-1.ckpt")
    with pytest.raises(CheckpointError, match="was not written by a joint run"):
        checkpoint.newest_whole(tmp_path / "states-1.ckpt")


def test_loading_runs_no_code(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "made",))

    torch.save({"Step": 1, "Args": Hostile()}, tmp_path / "states-1.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.newest_whole(tmp_path)
    assert not (tmp_path / "made").exists()


def test_an_interrupted_write_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DiskError, match="No space left"):
        save(tmp_path, 2)
    assert checkpoint.newest_whole(tmp_path)[0].step == 1


def test_reading_leaves_what_torch_may_load_as_it_was(tmp_path: Path) -> None:
    """The repairs of s3prl allow the class for good; reading one of our checkpoints must not undo that."""
    folder = tmp_path / "run"
    checkpoint.save(folder, 1, {"seed": 1}, {}, {"model": {"a": 1}}, 2)
    before = set(torch.serialization.get_safe_globals())
    try:
        for allowed in (set(), {argparse.Namespace}):
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(list(allowed))
            assert checkpoint.read(folder / "states-1.ckpt").args == {"seed": 1}
            assert set(torch.serialization.get_safe_globals()) == allowed
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(list(before))


def test_a_run_that_went_back_keeps_what_it_writes(tmp_path: Path) -> None:
    save(tmp_path, 4)
    save(tmp_path, 8).write_bytes(b"damaged")
    assert checkpoint.newest_whole(tmp_path)[0].step == 4
    save(tmp_path, 6, keep=1)
    assert [path.name for path in checkpoint.find(tmp_path)] == ["states-6.ckpt"]
    assert checkpoint.newest_whole(tmp_path)[0].step == 6
    (tmp_path / "checkpoints" / "3").mkdir()
    checkpoint.tidy(tmp_path, 1)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["6"]
