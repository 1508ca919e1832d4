"""Commands in processes of their own that are killed at any of their steps and started again.

Nothing in the package knows of this: the child process replaces, before it begins, the calls at which it may be killed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import json
import multiprocessing
import os
import random
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

PRELOADED = [
    "torch.utils.tensorboard", "s3prl.run_downstream", "s3prl_plugins.cli.finetune", "s3prl_plugins.cli.features_build",
    "s3prl_plugins.sweep.sweep", "s3prl_plugins.multitask.stock", "s3prl_plugins.upstream.hubert.pretraining",
]  # fmt: skip
CALLS = {
    "os": ("replace", "rename", "unlink", "fsync", "mkdir"),
    "s3prl_plugins.multitask.trainer:Trainer": ("_step",),
    "s3prl_plugins.pretrain.trainer:Pretrainer": ("_step", "validate"),
    "s3prl_plugins.multitask.evaluation:Evaluator": ("answers",),
    "s3prl_plugins.features.store:FeatureStore": ("put",),
}
"""Where a process may be killed, between one call and the next. Those that write are killed half way as well."""

Command = Callable[[], Any]


class Points:
    """Counts the points a process passes, and sends it a signal at one of them."""

    def __init__(self, fatal: int | None, number: int) -> None:
        self.fatal, self.number = fatal, number
        self.passed: list[str] = []

    def at(self, name: str) -> bool:
        """Whether this is the one."""
        self.passed.append(name)
        return len(self.passed) == self.fatal

    def watch(self) -> None:
        """Replace the calls of this process."""
        for place, names in CALLS.items():
            module, _, inner = place.partition(":")
            owner = importlib.import_module(module)
            owner = getattr(owner, inner) if inner else owner
            for name in names:
                setattr(owner, name, self._before(name, getattr(owner, name)))
        from s3prl_plugins.logs import RunLogger

        os.write = self._halved("write", os.write, lambda file, data: (file, bytes(data)[: len(data) // 2]))
        torch.save = self._halved("save", torch.save, _half_saved)
        RunLogger.log = self._halved("log", RunLogger.log, _half_logged)  # type: ignore[method-assign]

    def _before(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(*args: Any, **options: Any) -> Any:
            if self.at(name):
                os.kill(os.getpid(), self.number)
            return call(*args, **options)

        return watched

    def _halved(self, name: str, call: Any, half: Callable[..., Any]) -> Any:
        @functools.wraps(call)
        def watched(*args: Any, **options: Any) -> Any:
            if (name != "write" or _is_file(args[0])) and self.at(name):
                if self.number == signal.SIGKILL and (found := half(*args, **options)):
                    call(*found)
                os.kill(os.getpid(), self.number)
            return call(*args, **options)

        return watched


def _is_file(descriptor: int) -> bool:
    """Not a pipe, at whose other end somebody else would read half a message."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _half_saved(content: Any, file: Any, **_: Any) -> None:
    whole = io.BytesIO()
    torch.serialization.save(content, whole)
    with contextlib.nullcontext(file) if hasattr(file, "write") else Path(file).open("wb") as target:
        target.write(whole.getvalue()[: whole.tell() // 2])
        target.flush()


def _half_logged(logger: Any, step: int, values: Any) -> None:
    text = json.dumps({"step": step, **values})
    logger._file.write(text[: len(text) // 2])
    logger._file.flush()


def _child(command: Command, fatal: int | None, number: int, said: Path) -> None:
    sys.argv, log = ["test"], os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    points = Points(fatal, number)
    points.watch()
    command()
    said.with_suffix(".points").write_text(" ".join(points.passed))


@dataclass
class Killer:
    """Carries out a command again and again until it ends by itself.

    :param said: file for what the command says.
    """

    said: Path
    killed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([*PRELOADED, __name__])

    def start(self, command: Command, fatal: int | None = None, number: int = signal.SIGKILL) -> BaseProcess:
        process = self._processes.Process(target=_child, args=(command, fatal, number, self.said))  # type: ignore[attr-defined]
        process.start()
        return process  # type: ignore[no-any-return]

    def points(self, command: Command) -> tuple[list[str], float]:
        """Run it whole; the points it passed, and the seconds it took."""
        began = time.monotonic()
        process = self.start(command)
        process.join()
        self._check(process)
        return self.said.with_suffix(".points").read_text().split(), time.monotonic() - began

    def until_done(self, command: Command, kills: list[int | float]) -> None:
        """Kill it at these points, an integer, or after so many seconds, one each time it is started; then let it end.

        A command that has ended before its kill is done.
        """
        for kill in [*kills, None]:
            process = self.start(command, kill if isinstance(kill, int) else None)
            process.join(kill if isinstance(kill, float) else None)
            if process.is_alive():
                process.kill()
                process.join()
            if process.exitcode != -signal.SIGKILL:
                self._check(process)
                return
            self.killed.append(str(kill))

    def _check(self, process: BaseProcess) -> None:
        assert process.exitcode == 0, f"exit status {process.exitcode}: {self.said.read_text()[-2000:]}"


def drawn(seed: int, points: list[str], seconds: float, count: int) -> list[int | float]:
    """Kills: every kind of point alike, and now and then any moment.

    :param seconds: that the command takes; 0 draws points only, which it is sure to pass.
    """
    random_ = random.Random(seed)
    kinds = sorted(set(points))
    kills: list[int | float] = []
    for _ in range(count):
        if seconds and random_.random() < 0.2:
            kills.append(random_.uniform(0.05, seconds))
        else:
            kind = random_.choice(kinds)
            kills.append(random_.choice([number for number, name in enumerate(points, 1) if name == kind]))
    return kills
