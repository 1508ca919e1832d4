"""Carrying out the runs of a scenario: what is finished is skipped, what was begun is continued, what fails stops
nothing that does not need it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from s3prl_plugins.errors import ConfigError, Interrupted, nearest
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.evaluation import parse_splits
from s3prl_plugins.stopping import stoppable
from s3prl_plugins.sweep.job import Job
from s3prl_plugins.sweep.launcher import Handle, Launcher
from s3prl_plugins.sweep.lr_search import recorded_rate, with_rate
from s3prl_plugins.sweep.run_state import check_same, is_finished, newest
from s3prl_plugins.sweep.scenarios import Run

__all__ = ["Outcome", "Sweep", "SweepOptions"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: Literal["kept", "done", "failed", "waiting"]
    """`kept`: it was finished before; `waiting`: a run it needs failed."""
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class SweepOptions:
    """What all runs of a sweep have in common."""

    root: Path
    """Folder of the sweep; one for each seed."""
    args: Mapping[str, Any]
    """s3prl's arguments of every run: upstream, seed, device ..."""
    heads: Literal["auto", "ssl", "scratch"] = "auto"
    """Where heads of joint runs come from, as in `RunConfig`."""
    init_heads: Mapping[str, str] = field(default_factory=dict)
    """Task -> checkpoint of its head (`init_heads.read_head`); goes before `heads`."""
    rates: Path | None = None
    """Another sweep's folder, whose learning-rate searches single-task runs follow; None follows those made here."""
    splits: str = "test"
    """What is scored, as s3prl's `-t` says it; tasks that a run lacks are left out."""


class Sweep:
    """Runs in the order their needs allow.

    :raises ConfigError: a folder was made with other settings, or a head to start from is missing; nothing has been
        started then.
    """

    def __init__(self, runs: Sequence[Run], options: SweepOptions) -> None:
        self.options = options
        self.runs = {run.name: run for run in runs}
        assert len(self.runs) == len(runs) and all(need in self.runs for run in runs for need in run.needs)
        parse_splits(options.splits, sorted({task for run in runs for task in run.config["tasks"]}))
        joint = {task for run in runs for task in run.heads}
        for task in options.init_heads:
            if task not in joint:
                raise ConfigError(f"--init-heads names task {task!r}, which is not trained; {nearest(task, joint)}")
        self.finished: set[str] = set()
        self.jobs = {name: self._job(run) for name, run in self.runs.items()}

    def folder(self, name: str) -> Path:
        return self.options.root / name

    def run(self, launcher: Launcher, tell: Callable[[str], None] = print) -> dict[str, Outcome]:
        """Carry out what is not finished; returns every run's outcome.

        Ctrl-C and SIGTERM end the jobs that are running, which save where they are.

        :raises Interrupted: one of them came.
        """
        outcomes = {name: Outcome("kept") for name in self.runs if name in self.finished}
        waiting = [name for name in self.runs if name not in self.finished]
        running: dict[str, tuple[Handle, float]] = {}

        def settle(name: str, outcome: Outcome) -> None:
            outcomes[name] = outcome
            tell(f"[{len(outcomes)}/{len(self.runs)}] {name}: {describe(outcome)}")

        with stoppable(launcher.apart) as stop, _all_ended(running):
            while waiting or running:
                if stop.number is not None:
                    name = signal.Signals(stop.number).name
                    raise Interrupted(stop.number, f"ended by {name} with its jobs; the same command goes on with them")
                for name in list(waiting):
                    needed = [outcomes.get(need) for need in self.runs[name].needs]
                    if any(outcome and outcome.state in ("failed", "waiting") for outcome in needed):
                        waiting.remove(name)
                        settle(name, Outcome("waiting", f"needs {', '.join(self.runs[name].needs)}"))
                    elif all(needed) and len(running) < launcher.slots:
                        waiting.remove(name)
                        tell(f"{name}: {self._beginning(name)}")
                        started = time.monotonic()
                        running[name] = (launcher.start(self.jobs[name]), started)
                for name, (handle, started) in list(running.items()):
                    said = handle.poll()
                    if said is not None:
                        del running[name]
                        settle(name, self._outcome(name, said, time.monotonic() - started))
                if running:
                    time.sleep(launcher.pause)
        return outcomes

    def _beginning(self, name: str) -> str:
        if checkpoint.find(self.folder(name)):
            return "continued"
        heads = self.jobs[name].args.get("init_heads")
        return f"started with trained heads of {', '.join(sorted(heads))}" if heads else "started"

    def _outcome(self, name: str, said: str, seconds: float) -> Outcome:
        if not said and not self._is_finished(self.runs[name]):
            said = "ended without its scores"
        return Outcome("failed" if said else "done", said, seconds)

    def _job(self, run: Run) -> Job:
        folder = self.folder(run.name)
        config, search = self._with_rate(run)
        args = {
            **self.options.args,
            "expdir": str(folder),
            "feature_store": str(self.options.root / "features"),
            "upstream_trainable": run.trainable and self.options.args.get("upstream_trainable", True),
            "init_upstream": str(self.folder(run.encoder)) if run.encoder else None,
        }
        begun, finished = newest(folder), self._is_finished(run)
        if begun:
            args["init_heads"] = self._expected_heads(run, begun.args.get("init_heads") or {})
        elif not finished:
            args["init_heads"] = self._heads(run, args)
        if begun or finished:
            check_same(folder, args, config)
        if finished:
            self.finished.add(run.name)
        return Job(run.name, args, config, self._splits(run), asdict(search) if search else None)

    def _with_rate(self, run: Run) -> tuple[dict[str, Any], Any]:
        """The configuration with the learning rate that a search recorded, and the search if it is still to be made."""
        rate = recorded_rate((self.options.rates or self.options.root) / run.rate) if run.rate else None
        if rate is not None:
            return with_rate(run.config, rate), None
        if run.rate and self.options.rates:
            raise ConfigError(
                f"{self.options.rates / run.rate} holds no finished learning-rate search; run `s3prl-plugins finetune ssl "
                f"--lr-search -p {self.options.rates}` first, or leave --lr-from out"
            )
        if run.search is not None and checkpoint.find(self.folder(run.name)):
            raise ConfigError(
                f"{self.folder(run.name)} was trained without --lr-search; choose another folder with -p, or remove this one"
            )
        return run.config, run.search

    def _given_heads(self, run: Run) -> dict[str, str]:
        return {task: path for task, path in self.options.init_heads.items() if task in run.heads}

    def _expected_heads(self, run: Run, saved: Mapping[str, str]) -> dict[str, str]:
        """What a run that has begun must have started its heads from; where nothing is demanded, what it did."""
        demanded = {task: str(self.folder(name)) for task, name in run.heads.items() if self.options.heads == "ssl"}
        return {**(saved if self.options.heads == "auto" else demanded), **self._given_heads(run)}

    def _heads(self, run: Run, args: Mapping[str, Any]) -> dict[str, str]:
        """Task -> checkpoint that the head of a new run starts from."""
        heads = self._given_heads(run)
        if self.options.heads == "scratch":
            return heads
        for task, name in run.heads.items():
            if task in heads:
                continue
            found = newest(self.folder(name))
            if found and is_finished(self.folder(name), found.config, parse_splits("test", [task])):
                frozen = {**args, "upstream_trainable": False, "init_upstream": None, "init_heads": {}}
                check_same(self.folder(name), frozen, found.config)
                heads[task] = str(self.folder(name))
            elif self.options.heads == "ssl":
                folds = f" --er-folds {name[-1]}" if "fold" in name else ""
                raise ConfigError(
                    f"{run.name} starts its heads from those trained alone, and {self.folder(name)} is not finished; run "
                    f"`s3prl-plugins finetune ssl -p {self.options.root}{folds}` first, or pass --heads scratch"
                )
        return heads

    def _is_finished(self, run: Run) -> bool:
        return is_finished(self.folder(run.name), run.config, parse_splits(self._splits(run), run.config["tasks"]))

    def _splits(self, run: Run) -> str:
        if ":" not in self.options.splits:
            return self.options.splits
        pairs = [pair.strip() for pair in self.options.splits.split(",")]
        return ",".join(pair for pair in pairs if pair.partition(":")[0] in run.config["tasks"]) or "test"


@contextlib.contextmanager
def _all_ended(running: Mapping[str, tuple[Handle, float]]) -> Iterator[None]:
    """No job outlives this, whatever happens."""
    try:
        yield
    finally:
        for handle, _ in running.values():
            handle.ask()
        for handle, _ in running.values():
            handle.cancel()


def describe(outcome: Outcome) -> str:
    """An outcome in words."""
    words = {"kept": "finished before", "done": "finished", "failed": "failed", "waiting": "not started"}[outcome.state]
    took = f" after {outcome.seconds:.0f} s" if outcome.seconds else ""
    return f"{words}{took}" + (f": {outcome.detail}" if outcome.detail else "")
