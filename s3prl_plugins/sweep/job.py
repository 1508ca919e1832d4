"""One run of a sweep as plain data that any process can carry out, and go on with where another left it.

`python -m s3prl_plugins.sweep.job` carries out the job that it reads from its standard input, one line of JSON,
and ends when that is closed: it never outlives the sweep that started it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.errors import ConfigError, Interrupted, UserError
from s3prl_plugins.files import full_disk_named

__all__ = ["Job", "execute", "train_and_score"]

_LOCKS: set[int] = set()
"""Descriptors of the runs that this process has in hand."""


@dataclass(frozen=True)
class Job:
    """What a run needs to know."""

    name: str
    args: dict[str, Any]
    """s3prl's arguments that are not at their defaults; `expdir` is the run's folder."""
    config: dict[str, Any]
    evaluate: str = "test"
    """The splits scored at the end, as s3prl's `-t` names them."""
    search: dict[str, Any] | None = None
    """The learning-rate search to make first (`LrSearchConfig`)."""

    @property
    def folder(self) -> Path:
        return Path(self.args["expdir"])


def execute(job: Job) -> None:
    """Train the run to its end, from its newest checkpoint if it has one, and score it.

    :raises UserError: as `Experiment`, or if another process has this run in hand.
    """
    from s3prl_plugins.config import build
    from s3prl_plugins.multitask.scenario_config import LrSearchConfig
    from s3prl_plugins.sweep.lr_search import choose_rate, with_rate

    with full_disk_named(), _held(job.folder):
        config = job.config
        if job.search is not None:
            config = with_rate(
                config, choose_rate(job.args, config, build(LrSearchConfig, job.search, "config.ssl.lr_search"))
            )
        train_and_score(job.args, config, job.evaluate)


def train_and_score(args: Mapping[str, Any], config: Mapping[str, Any], splits: str) -> None:
    """An `Experiment` from where it stands to its scores in `results.json`."""
    from s3prl_plugins.multitask import checkpoint
    from s3prl_plugins.multitask.experiment import Experiment
    from s3prl_plugins.multitask.stock import stock_args

    past = str(args["expdir"]) if checkpoint.find(Path(args["expdir"])) else None
    experiment = Experiment(stock_args(**{**args, "past_exp": past}), config)
    experiment.read(splits)
    experiment.train()
    experiment.evaluate(splits)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run; a `UserError` leaves no empty folder behind."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    _forget_locks_in_children()
    descriptor = os.open(folder, os.O_RDONLY)
    _LOCKS.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{folder} is in the hands of another process; wait for it, or end it") from None
        yield
    except UserError:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
    finally:
        _LOCKS.discard(descriptor)
        os.close(descriptor)


@functools.cache
def _forget_locks_in_children() -> None:
    """A data worker may outlive this process by seconds, and would keep the next one out of its runs."""

    def forget() -> None:
        while _LOCKS:
            os.close(_LOCKS.pop())

    os.register_at_fork(after_in_child=forget)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _main() -> int:
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        job = Job(**json.loads(stdin.readline()))
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        execute(job)
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    except Interrupted as error:
        print(error, file=sys.stderr, flush=True)
        return error.status
    return 0


def as_line(job: Job) -> bytes:
    """What `python -m s3prl_plugins.sweep.job` reads."""
    return json.dumps(dataclasses.asdict(job)).encode() + b"\n"


if __name__ == "__main__":
    raise SystemExit(_main())
