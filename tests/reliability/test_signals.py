"""SIGTERM and Ctrl-C save the state and end the process with one line; the run goes on as if nothing had been."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from killing import Killer
from resumable import command, differences, left_by

from s3prl_plugins.errors import Interrupted
from s3prl_plugins.stopping import stoppable


def point(points: list[str], name: str, occurrence: int, after: int = 0) -> int:
    numbers = [number for number, each in enumerate(points, 1) if each == name and number > after]
    return numbers[occurrence - 1]


@pytest.mark.parametrize(
    ("name", "place", "number", "status", "step"),
    [
        ("joint", "step", signal.SIGTERM, 143, 3),
        ("joint", "evaluation", signal.SIGINT, 130, 3),
        ("pretraining", "step", signal.SIGINT, 130, 3),
        ("pretraining", "evaluation", signal.SIGTERM, 143, 2),
    ],
)
def test_a_signal_saves_and_ends(
    name: str, place: str, number: int, status: int, step: int, material: Path, whole: Any, tmp_path: Path
) -> None:
    points, _, wanted = whole(name)
    at = point(points, "_step", step)
    if place == "evaluation":
        at = point(points, "answers" if name == "joint" else "validate", 1, after=at)
    killer, run = Killer(tmp_path / "said"), command(name, material, tmp_path / "run")
    process = killer.start(run, at, number)
    process.join()
    said = killer.said.read_text().splitlines()
    assert process.exitcode == status, said[-5:]
    sender = "[multitask] " if name == "joint" else "s3prl-plugins pretrain: "
    name_of = signal.Signals(number).name
    line = f"{sender}ended by {name_of} after step {step}, which is saved; the run can be continued"
    assert said[-1] == line
    if name == "joint":
        assert (tmp_path / "run" / f"states-{step}.ckpt").is_file()
    killer.until_done(run, [])
    left = left_by(tmp_path / "run")
    passed = {file for file in left if file.endswith("training.before.pt")}  # of the step that was saved on the way
    assert set(differences(left, wanted)) <= passed


def test_the_second_signal_does_not_wait() -> None:
    with (
        pytest.raises(
            Interrupted, match="ended by SIGTERM; the run can be continued from its last checkpoint"
        ) as ended,
        stoppable() as stop,
    ):
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.status == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_handler_of_somebody_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with stoppable() as stop:
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM] and not stop.asked
        with stoppable(wanted=False), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)
