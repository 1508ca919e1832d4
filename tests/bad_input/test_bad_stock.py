# ruff: noqa: E501 (one line for each entry of a table)
"""`python -m s3prl.run_downstream -d multitask`: what of its flags reaches us ends in one line, with status 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from damages import bounded, said_in_one_line

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.stock import MultitaskRunner, stock_args
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

SMALL = {
    "tasks": ["ic"],
    "runner": {"total_steps": 1, "warmup_steps": 0, "eval_at_start": False},
    "encoder": {"conv_grad_mult": None},
}


@pytest.fixture(scope="module")
def place(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step, and files that are none."""
    root = tmp_path_factory.mktemp("stock")
    options = f"config.corpus_root={tiny_corpus},,config.runner.total_steps=1,,config.runner.warmup_steps=0,,config.runner.eval_at_start=False,,config.encoder.conv_grad_mult=None"
    assert (
        main(
            [
                "finetune",
                "all-task",
                "-u",
                "fbank",
                "--frozen",
                "--tasks",
                "ic",
                "--device",
                "cpu",
                "-p",
                str(root / "run"),
                "-o",
                options,
            ]
        )
        == 0
    )
    (root / "empty").write_bytes(b"")
    (root / "folder").mkdir()
    (root / "loop").symlink_to("loop")
    (root / "locked").write_bytes(b"x")
    (root / "locked").chmod(0)
    torch.save(torch.zeros(3), root / "tensor.pt")
    torch.save({"Step": 1}, root / "states-1.ckpt")
    (root / "text.wav").write_text("no audio")
    write_checkpoint(root / "hubert.pt", random_checkpoint("tiny", 0))
    return root


RUN = "X/run/all_task"
MISSING = {
    "-k X/none": "none",
    "-k X/empty": "empty",
    "-k X/folder": "folder",
    "-k X/loop": "loop",
    "-k X/locked": "locked",
    "-k X/tensor.pt": "tensor.pt",
}
# Case -> arguments, changes of the configuration, what the line says. X stands for the folder.
CASES: dict[str, tuple[dict[str, Any], Any, tuple[str, ...]]] = {
    "-c a list": ({}, [1], ("must be a mapping",)),
    "-c nothing": ({}, None, ("must be a mapping",)),
    "-c a text": ({}, "all_task_mini", ("must be a mapping",)),
    "-c an unknown key": ({}, {"no_such_key": 1}, ("no_such_key",)),
    "-c no corpora": ({}, {"corpus_root": "X/none"}, ("none",)),
    "-o a value of another type": ({}, {"runner": {"total_steps": "many"}}, ("config.runner.total_steps", "'many'")),
    "-o a list that is none": ({}, {"tasks": "['ic'"}, ("config.tasks",)),
    "-o an unknown task": ({}, {"tasks": ["icc"]}, ("'icc'", "did you mean 'ic'")),
    "-o a negative number": ({}, {"runner": {"total_steps": -1}}, ("total_steps", "-1")),
    "-o a number for a section": ({}, {"runner": 5}, ("config.runner", "5")),
    "-o NaN": ({}, {"optimizer": {"heads": {"lr": float("nan")}}}, ("lr", "nan")),
    "-e nothing there": ({"past_exp": "X/none"}, {}, ("none",)),
    "-e a folder without a run": ({"past_exp": "X/folder"}, {}, ("folder", "states-*.ckpt")),
    "-e an empty file": ({"past_exp": "X/empty"}, {}, ("empty",)),
    "-e another file": ({"past_exp": "X/states-1.ckpt"}, {}, ("states-1.ckpt",)),
    "-e another configuration": ({"past_exp": RUN}, {"tasks": ["ks"]}, ("does not fit this model",)),
    "-i nothing there": ({"init_ckpt": "X/none/states-1.ckpt"}, {}, ("none/states-1.ckpt",)),
    "-i an empty file": ({"init_ckpt": "X/empty"}, {}, ("empty",)),
    "-i a file that is locked": ({"init_ckpt": "X/locked"}, {}, ("locked",)),
    "-i a link to itself": ({"init_ckpt": "X/loop"}, {}, ("loop",)),
    "-i a tensor": ({"init_ckpt": "X/tensor.pt"}, {}, ("tensor.pt",)),
    "-i a run of other tasks": ({"init_ckpt": RUN}, {"tasks": ["ks"]}, ("does not fit this model",)),
    "-u nothing": ({"upstream": None}, {}, ("-u",)),
    "-u unknown": ({"upstream": "fbankk"}, {}, ("'fbankk'", "did you mean 'fbank'")),
    "-u a name with dots": ({"upstream": "../fbank"}, {}, ("'../fbank'",)),
    **{f"{flag}": ({"upstream": "hubert_local", "upstream_ckpt": flag.split()[1]}, {}, (name,)) for flag, name in MISSING.items()},
    "-g a file that is not there": ({"upstream": "pase_multitask_local", "upstream_model_config": "X/none"}, {}, ("pase_multitask_local",)),
    "-s unknown": ({"upstream_feature_selection": "frames"}, {}, ("'frames'", "hidden_states")),
    "-s empty": ({"upstream_feature_selection": ""}, {}, ("-s",)),
    "-l behind the last": ({"upstream": "hubert_local", "upstream_ckpt": "X/hubert.pt", "upstream_layer_selection": 99}, {}, ("99",)),
    "-l negative": ({"upstream": "hubert_local", "upstream_ckpt": "X/hubert.pt", "upstream_layer_selection": -99}, {}, ("-99",)),
    "-t unknown": ({"mode": "evaluate", "init_ckpt": RUN, "evaluate_split": "tset"}, {}, ("'tset'", "did you mean 'test'")),
    "-t empty": ({"mode": "evaluate", "init_ckpt": RUN, "evaluate_split": ""}, {}, ("''", "dev, test, train")),
    "-t of a task that is not trained": ({"mode": "evaluate", "init_ckpt": RUN, "evaluate_split": "ks:test"}, {}, ("ks",)),
    "-m inference, -t no file": ({"mode": "inference", "init_ckpt": RUN, "evaluate_split": "test"}, {}, ("'test'", "-m inference takes an audio file")),
    "-m inference, -t no audio": ({"mode": "inference", "init_ckpt": RUN, "evaluate_split": "X/text.wav"}, {}, ("text.wav", "audio cannot be read")),
    "-m inference, -t a file that is locked": ({"mode": "inference", "init_ckpt": RUN, "evaluate_split": "X/locked"}, {}, ("locked",)),
    "-v of no fold": ({"downstream_variant": "fold9"}, {"tasks": ["er"]}, ("fold9",)),
    "--device unknown": ({"device": "gpu"}, {}, ("'gpu'",)),
    "--device negative": ({"device": "cpu:-1"}, {}, ("'cpu:-1'",)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_flags(case: str, place: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, change, parts = CASES[case]
    config = change
    if isinstance(change, Mapping):
        whole = {**load_yaml(find_config("all_task_mini")), "corpus_root": str(tiny_corpus)}
        config = merge(merge(whole, SMALL), change)
        if "corpus_root" in change:
            config["corpus_root"] = str(place / "none")
    arguments = {"upstream": "fbank", "device": "cpu", "expdir": str(tmp_path / "run"), **given}
    args = stock_args(
        **{
            key: value.replace("X/", f"{place}/") if isinstance(value, str) else value
            for key, value in arguments.items()
        }
    )
    before = sorted(place.rglob("*"))
    with pytest.raises(SystemExit) as stop, bounded():
        getattr(MultitaskRunner(args, config), args.mode)()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%|" not in line]
    assert stop.value.code == 2 and len(lines) == 1 and lines[0].startswith("[multitask] "), lines
    fault = said_in_one_line(lines[0], *parts)
    assert not fault, fault
    assert not (tmp_path / "run").exists() and sorted(place.rglob("*")) == before
