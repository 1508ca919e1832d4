"""A sweep in several processes: it, or one of them, is killed or asked to end; it goes on to the same result."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from killing import Killer
from resumable import command, differences, jobs, left_by

pytestmark = pytest.mark.torture


def children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def below(process: int) -> list[int]:
    """All processes that descend from one."""
    return [each for child in children(process) for each in (child, *below(child))]


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def check(seed: int, count: int, moments: tuple[float, float], material: Path, whole: Any) -> int:
    """Kill the sweep or one of its jobs after some time, so many times, and let it end.

    :param moments: seconds, from and to.
    :returns: how often one was killed.
    """
    _, _, wanted = whole("reading")
    random_, place, killer = random.Random(seed), material / "killed" / "jobs", Killer(material / "jobs.log")
    shutil.rmtree(place, ignore_errors=True)
    run, killed = jobs(material, place), []
    for number in range(count):
        process = killer.start(run)
        process.join(random_.uniform(*moments))
        victims = children(process.pid) if number % 2 else [process.pid]
        if victims and process.is_alive():
            os.kill(random_.choice(victims), signal.SIGKILL)
            killed.append("a job" if number % 2 else "the sweep")
        process.join()
    killer.until_done(run, [])
    different = differences(left_by(place), wanted)
    assert not different, f"seed {seed}, killed {killed}: {different}"
    return len(killed)


def test_many_kills_of_sweeps_and_jobs(material: Path, whole: Any) -> None:
    began = time.monotonic()
    Killer(material / "jobs.log").until_done(jobs(material, material / "timed"), [])
    seconds, killed, seed = time.monotonic() - began, 0, 1
    while killed < 20:
        seed += 1
        killed += check(seed, 4, (0.3 * seconds, seconds), material, whole)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_sweep_with_its_processes(
    number: int, status: int, material: Path, whole: Any, tmp_path: Path
) -> None:
    _, _, wanted = whole("reading")
    place, killer = tmp_path / "run", Killer(tmp_path / "said")
    run = jobs(material, place)
    process = killer.start(run)
    while len(list(place.glob("ssl/*/metrics.jsonl"))) < 2 and process.is_alive():  # both are training
        time.sleep(0.02)
    started = below(process.pid)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == status and len(started) >= 2
    name = signal.Signals(number).name
    assert killer.said.read_text().splitlines()[-1] == (
        f"s3prl-plugins finetune: ended by {name} with its jobs; the same command goes on with them"
    )
    assert all(map(gone, started))
    logs = [path.read_text().splitlines()[-1] for path in place.glob("ssl/*/run.log")]
    assert len(logs) == 2 and all("ended by SIGTERM" in line for line in logs)
    killer.until_done(command("reading", material, place), [])
    assert differences(left_by(place), wanted) == []
