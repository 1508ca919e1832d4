"""A data worker that is killed: one line with the file it was reading."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.reading import Reading
from s3prl_plugins.multitask.stock import stock_args


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_dead_worker_is_reported_with_its_file(
    split: str, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "corpus_root": str(tiny_corpus), "tasks": ["ks"],
        "runner": {"total_steps": 2, "num_workers": 1, "eval_at_start": True, "eval_splits": ["dev"], "warmup_steps": 0},
    }  # fmt: skip
    config = merge(load_yaml(find_config("all_task_mini")), given)
    args = stock_args(upstream="fbank", expdir=str(tmp_path / "run"), device="cpu", seed=1)
    experiment = Experiment(args, merge(config, {"encoder": {"store": "none"}}))
    data = experiment.tasks["ks"]
    victims = {example.path for example in data.examples(split)}
    whole = type(data.reader).waveform

    def killed(self: Any, example: Example, draw: torch.Generator | None) -> Any:
        if example.path in victims:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, example, draw)

    monkeypatch.setattr(type(data.reader), "waveform", killed)
    with pytest.raises(CorpusError) as error:
        experiment.train()
    path, _, said = str(error.value).partition(": the data worker that was reading it ")
    assert Path(path) in victims and said.startswith(("is killed by signal: Killed;", "exited unexpectedly;"))
    assert "config.runner.num_workers" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()  # before the first checkpoint


def test_other_errors_pass_and_unknown_workers_are_said() -> None:
    reading = Reading()
    with pytest.raises(RuntimeError, match="another"), reading.losses_named():
        raise RuntimeError("another")
    with (
        pytest.raises(CorpusError, match="^no file yet: the data worker .* exited unexpectedly; if memory"),
        reading.losses_named(),
    ):
        raise RuntimeError("DataLoader worker (pid(s) 4194305, 7) exited unexpectedly")
    reading.note(Path("a" * 5000))
    assert reading.last(os.getpid()).startswith("aaa")
    reading.note(Path("b \udcff.wav"))
    assert reading.last(os.getpid()) == "b \udcff.wav" and reading.last(os.getpid() + 1024) == ""
