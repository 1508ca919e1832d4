"""Where the runs of a sweep are carried out: in this process, in processes of this machine, or on a cluster."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from s3prl_plugins.errors import ConfigError, UserError
from s3prl_plugins.sweep.job import Job, as_line, execute

__all__ = ["Handle", "InProcess", "Launcher", "Processes", "Submitit"]

_LOG = "run.log"
_PATIENCE = 30.0
"""Seconds that a process has to end before it is killed."""


class Handle(Protocol):
    """A job that was started."""

    def poll(self) -> str | None:
        """None while it runs, an empty string once it ended well, else what went wrong in one line."""

    def ask(self) -> None:
        """Ask it to end when it has saved where it is."""

    def cancel(self) -> None:
        """End it now, or soon if it was asked; it can be continued later."""


class Launcher(Protocol):
    """Starts jobs."""

    slots: int
    """Jobs that may run at once."""
    pause: float
    """Seconds between looks at running jobs."""
    apart: bool
    """Whether jobs are processes of this machine that hear no signals of the sweep's, which has to end them."""

    def start(self, job: Job) -> Handle: ...


@dataclass
class _Ended:
    outcome: str

    def poll(self) -> str | None:
        return self.outcome

    def ask(self) -> None:
        pass

    def cancel(self) -> None:
        pass


class InProcess:
    """One job after the other in this process, with its progress bars."""

    slots, pause, apart = 1, 0.0, False

    def start(self, job: Job) -> Handle:
        return _Ended(_carry_out(job))


def _carry_out(job: Job) -> str:
    """Execute a job; returns what went wrong in one line, the traceback of which is in the run's `run.log`."""
    try:
        execute(job)
    except UserError as error:
        return str(error)
    except Exception as error:
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / _LOG).open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        return f"{type(error).__name__}: {error} (see {job.folder / _LOG})".replace("\n", " ")
    finally:
        gc.collect()  # the model, before the next one is built
    return ""


class Processes:
    """Several jobs at once as processes of this machine, each writing to its `run.log`.

    The processor's cores (or OMP_NUM_THREADS, if that is set) are divided among them. A GPU is shared.

    :param slots: jobs at once.
    """

    pause, apart = 0.5, True

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ConfigError(f"--jobs must be at least 1, found {slots}")
        self.slots = slots

    def start(self, job: Job) -> Handle:
        cores = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(max(1, cores // self.slots)),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "TQDM_MININTERVAL": "30",
        }
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / _LOG).open("ab") as log:
            # A session of its own, so that Ctrl-C reaches the sweep alone, which then ends its jobs.
            process = subprocess.Popen(
                [sys.executable, "-m", "s3prl_plugins.sweep.job"],
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
            )  # fmt: skip
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(as_line(job))
            process.stdin.flush()
        return _Process(process, job.folder / _LOG)


@dataclass
class _Process:
    process: subprocess.Popen[bytes]
    log: Path
    asked: bool = False

    def poll(self) -> str | None:
        status = self.process.poll()
        if status is None:
            return None
        if status == 0:
            return ""
        lines = [line for line in self.log.read_text("utf-8", "replace").splitlines() if line.strip()]
        said = lines[-1].strip() if lines and status > 0 else f"ended by signal {-status}"
        return said if status == 2 else f"{said} (see {self.log})"

    def ask(self) -> None:
        if not self.asked:  # the second signal would not wait
            self.process.terminate()
        self.asked = True

    def cancel(self) -> None:
        self.ask()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Submitit:
    """Jobs go to a cluster through submitit; a job that is cut off there (time limit, preemption) is queued again.

    :param folder: for submitit's own files.
    :param slots: jobs in the queue at once.
    :param parameters: of `submitit.AutoExecutor.update_parameters` (`slurm_partition`, `timeout_min`, `gpus_per_node`
        ...); `cluster` among them names the kind of cluster, `local` being this machine. By default Slurm, if it is here.
    """

    def __init__(self, folder: Path, slots: int, parameters: Mapping[str, Any]) -> None:
        try:
            import submitit
        except ImportError:
            raise ConfigError(
                "--launcher submitit needs submitit, which is not installed; pip install 's3prl-plugins[cluster]'"
            ) from None
        options = dict(parameters)
        self.slots, self.apart = slots, False
        self.executor = submitit.AutoExecutor(folder=folder, cluster=options.pop("cluster", None))
        self.pause = 1.0 if self.executor.cluster in ("local", "debug") else 30.0
        try:
            self.executor.update_parameters(name="s3prl-plugins", **options)
        except (NameError, TypeError, ValueError) as error:
            raise ConfigError(f"--cluster: {' '.join(str(error).split())}; see submitit's AutoExecutor") from error

    def start(self, job: Job) -> Handle:
        return _Submitted(self.executor.submit(_Requeued(), job))


class _Requeued:
    """What submitit calls, and what it submits instead when the cluster cuts that off: the same, to go on."""

    def __call__(self, job: Job) -> str:
        return _carry_out(job)

    def checkpoint(self, job: Job) -> Any:
        import submitit

        return submitit.helpers.DelayedSubmission(self, job)


@dataclass
class _Submitted:
    job: Any

    def poll(self) -> str | None:
        if not self.job.done():
            return None
        try:
            return str(self.job.result())
        except Exception as lost:  # the job was killed, or left no result
            return f"{type(lost).__name__} (see {self.job.paths.stderr})"

    def ask(self) -> None:
        pass

    def cancel(self) -> None:
        self.job.cancel()
