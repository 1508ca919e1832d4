"""What was killed anywhere and started again ends as what was left alone, to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from killing import Killer, drawn
from resumable import COMMANDS, READING, command, differences, left_by


def check(name: str, seed: int, count: int, material: Path, whole: Any, any_moment: bool) -> int:
    """:returns: how often the command was killed."""
    points, seconds, wanted = whole(name)
    place, killer = material / "killed" / name, Killer(material / "killed.log")
    shutil.rmtree(place, ignore_errors=True)
    kills = drawn(seed, points, seconds if any_moment else 0.0, count)
    killer.until_done(command(name, material, place), kills)
    different = differences(left_by(place), wanted)
    assert not different, f"{name}, seed {seed}, killed at {killer.killed} of {kills}: {different}"
    return len(killer.killed)


@pytest.mark.parametrize("name", [*COMMANDS, *(pytest.param(name, marks=pytest.mark.torture) for name in READING)])
def test_killed_twice_it_ends_as_if_left_alone(name: str, material: Path, whole: Any) -> None:
    points, _, wanted = whole(name)
    assert len(points) > 50 and len(wanted) >= (1 if name == "store" else 7)
    assert check(name, 1, 2, material, whole, any_moment=False) > 0


@pytest.mark.torture
def test_a_hundred_kills(material: Path, whole: Any) -> None:
    killed, seed = 0, 1
    while killed < 100:
        for name in (*COMMANDS, *READING):
            seed += 1
            killed += check(name, seed, 4, material, whole, any_moment=True)


def test_a_difference_is_seen(material: Path, whole: Any, tmp_path: Path) -> None:
    """One bit of one tensor, one number of the log."""
    _, _, wanted = whole("pretraining")
    place = Path(shutil.copytree(material / "whole" / "pretraining", tmp_path / "copy"))
    assert differences(left_by(place), wanted) == []
    log = place / "iteration1" / "metrics.jsonl"
    log.write_text(log.read_text().replace('"step": 4', '"step": 3'))
    state = place / "iteration2" / "centres.npy"
    state.write_bytes(state.read_bytes()[:-1] + bytes([state.read_bytes()[-1] ^ 1]))
    assert differences(left_by(place), wanted) == ["iteration1/metrics.jsonl", "iteration2/centres.npy"]
