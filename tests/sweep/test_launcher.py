"""Runs in processes of their own and through submitit's local executor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.sweep import scenarios
from s3prl_plugins.sweep.job import Job, _held, as_line
from s3prl_plugins.sweep.launcher import InProcess, Processes, Submitit
from s3prl_plugins.sweep.sweep import Sweep, SweepOptions


def sweep(corpus: Path, root: Path, **superb: Any) -> Sweep:
    """KS and ER alone on fbank, one step each."""
    changes = {"corpus_root": str(corpus), "tasks": ["ks", "er"], "superb": superb, "ssl": {"steps": 1}}
    runs = scenarios.ssl(merge(load_yaml(find_config("scenarios_mini")), changes))
    return Sweep(runs, SweepOptions(root, {"upstream": "fbank", "device": "cpu", "seed": 3}))


def test_processes_log_to_their_folders_and_one_that_fails_leaves_the_other_alone(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    outcomes = sweep(tiny_corpus, tmp_path, er={"corpus": {"path": "nowhere"}}).run(Processes(2))
    assert [outcomes[name].state for name in ("ssl/ks", "ssl/er")] == ["done", "failed"]
    assert "nowhere" in outcomes["ssl/er"].detail
    assert "nowhere" in (tmp_path / "ssl" / "er" / "run.log").read_text()
    assert "step" in (tmp_path / "ssl" / "ks" / "run.log").read_text()


def test_runs_go_through_submitit(tiny_corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    launcher = Submitit(tmp_path / "submitit", 2, {"cluster": "local", "timeout_min": 5})
    whole = sweep(tiny_corpus, tmp_path)
    del whole.runs["ssl/er"]
    assert {outcome.state for outcome in whole.run(launcher).values()} == {"done"}
    assert list((tmp_path / "submitit").glob("*_log.out"))
    with pytest.raises(ConfigError, match="--cluster: .*partitoin"):
        Submitit(tmp_path / "submitit", 1, {"cluster": "local", "partitoin": "gpu"})


def test_without_submitit_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"pip install 's3prl-plugins\[cluster\]'"):
        Submitit(tmp_path, 1, {})


def job(folder: Path) -> Job:
    return Job("ssl/ks", {"expdir": str(folder)}, {"tasks": ["ks"]})


def test_a_process_can_be_cancelled(tmp_path: Path) -> None:
    handle = Processes(1).start(job(tmp_path / "ks"))
    assert handle.poll() is None
    handle.cancel()
    assert "ended by signal 15" in str(handle.poll())


def test_a_process_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second signal would not wait until its state is saved."""
    handle = Processes(1).start(job(tmp_path / "ks"))
    process, sent = handle.process, []  # type: ignore[attr-defined]
    monkeypatch.setattr(process, "terminate", lambda: (sent.append("once"), process.kill()))
    handle.ask()
    handle.ask()
    handle.cancel()
    assert sent == ["once"] and "ended by signal 9" in str(handle.poll())


def test_a_data_worker_that_outlives_its_run_keeps_nobody_out(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with _held(tmp_path):
        worker = os.fork()
        if not worker:
            os.write(writing, b"x")
            time.sleep(60)
            os._exit(0)
        assert os.read(reading, 1) == b"x"
        with pytest.raises(ConfigError, match="is in the hands of another process"), _held(tmp_path):
            pass
    try:
        with _held(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        os.close(reading)
        os.close(writing)


def test_a_process_ends_with_the_sweep_that_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; from s3prl_plugins.sweep import job; " + _SLOW]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(as_line(job(tmp_path / "ks")))
    process.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.stdin.close()
    assert process.wait(10) == 1


_SLOW = "job.execute = lambda job: time.sleep(60); job._main()"


def test_what_fails_in_this_process_is_told_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: Job) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr("s3prl_plugins.sweep.launcher.execute", broken)
    outcome = InProcess().start(job(tmp_path / "ks")).poll()
    assert outcome == f"RuntimeError: out of memory (see {tmp_path / 'ks' / 'run.log'})"
    assert "Traceback" in (tmp_path / "ks" / "run.log").read_text()


def test_at_least_one_job_runs() -> None:
    with pytest.raises(ConfigError, match="--jobs must be at least 1, found 0"):
        Processes(0)
