"""The runs of a sweep (one seed) as they lie on disk, and several sweeps as one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import UserError
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.report.page import read_results
from s3prl_plugins.report.scores import ALL_TASK, COLUMNS, SCENARIOS, Row, ScoreTable, exact, mean
from s3prl_plugins.superb.cards import CARDS, FINETUNED_TASKS

__all__ = ["Run", "Sweep", "is_sweep", "read_sweep", "score_table"]

_FOLDERS = ("ssl", "all_task", "all_task_with_leaks", "leave_one_out", "transfer")
_FOLDS = range(2, 6)


@dataclass(frozen=True)
class Run:
    """One finished run: what its `results.json` says."""

    name: str
    """Its folder below the sweep's: `all_task`, `leave_one_out/asr`."""
    folder: Path
    step: int
    about: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]

    def score(self, column: str) -> Decimal | None:
        """The test score of a column, to six decimals; None where it was not measured."""
        task, metric = COLUMNS[column]
        splits = self.scores.get(task, {})
        # QUESST14 calls its test split eval.
        value = splits.get(CARDS[task].test, splits.get("eval", {})).get(metric.name)
        return None if value is None or not math.isfinite(value) else exact(value)


@dataclass(frozen=True)
class Sweep:
    """The finished runs of one seed."""

    name: str
    runs: Mapping[str, Run]
    tasks: tuple[str, ...]
    """Those of the all-task run; where there is none, all that any run has."""
    missing: tuple[str, ...]
    """What a whole sweep over these tasks has and this one lacks, and why where a run is there."""

    def cells(self, row: Row) -> dict[str, Decimal | None]:
        """The scores of a row."""
        if row.scenario in ("ssl", "transfer"):
            own = {name: self.runs.get(f"{row.scenario}/{column.task}") for name, column in COLUMNS.items()}
            return {name: run.score(name) if run else None for name, run in own.items()}
        if row.scenario == "all_task_er_folds":
            return {"er_acc": self._er_over_folds()}
        run = self.runs.get(f"leave_one_out/{row.left_out}" if row.left_out else row.scenario)
        return {name: run.score(name) if run else None for name in COLUMNS if COLUMNS[name].task != row.left_out}

    def _er_over_folds(self) -> Decimal | None:
        """The mean over all five folds: what SUPERB calls the ER score. Fewer are no such score."""
        runs = [self.runs.get(name) for name in ("all_task", *(f"all_task_er_fold{fold}" for fold in _FOLDS))]
        scores = [run.score("er_acc") for run in runs if run]
        there = [score for score in scores if score is not None]
        return mean(there) if len(there) == len(_FOLDS) + 1 else None


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep, as opposed to that of one run."""
    return not (folder / "results.json").is_file() and any((folder / name).is_dir() for name in _FOLDERS)


def read_sweep(folder: Path) -> Sweep:
    """Read every `results.json` of a sweep; what is missing or behind its checkpoint is told, not an error.

    :raises UserError: nothing was finished there, or a `results.json` is damaged.
    """
    runs: dict[str, Run] = {}
    states: dict[str, str] = {}
    places = [
        *(folder / "ssl" / task for task in (*FINETUNED_TASKS, "qbe")),
        folder / "all_task", folder / "all_task_with_leaks",
        *(folder / f"all_task_er_fold{fold}" for fold in _FOLDS),
        *(folder / scenario / task for scenario in ("leave_one_out", "transfer") for task in FINETUNED_TASKS),
    ]  # fmt: skip
    for place in places:
        name = place.relative_to(folder).as_posix()
        if (place / "results.json").is_file():
            content = read_results(place)
            run = Run(name, place, content["step"], content["about"], content["scores"])
            newest = [int(path.stem.removeprefix("states-")) for path in checkpoint.find(place)][-1:]
            if newest > [run.step]:
                states[name] = f"evaluated at step {run.step}, trained to {newest[0]}"
            else:
                runs[name] = run
    if not runs:
        raise UserError(
            f"{folder} holds no finished run (results.json below {', '.join(_FOLDERS)}); "
            "pass the folder given to finetune -p, once a run of it is through"
        )
    telling = [runs["all_task"]] if "all_task" in runs else list(runs.values())
    every = {task for run in telling for task in (*run.about.get("tasks", ()), *run.scores)}
    tasks = tuple(task for task in FINETUNED_TASKS if task in every)
    return Sweep(folder.resolve().name, runs, tasks, _missing(runs, tasks, states))


def _missing(runs: Mapping[str, Run], tasks: Sequence[str], states: Mapping[str, str]) -> tuple[str, ...]:
    wanted = [(f"ssl/{task}", (task,)) for task in tasks] + [("all_task", tuple(tasks))]
    if len(tasks) > 1:
        wanted += [(f"leave_one_out/{one}", tuple(task for task in tasks if task != one)) for one in tasks]
        wanted += [(f"transfer/{task}", (task,)) for task in tasks]
    found = []
    for name, its_tasks in wanted:
        if name not in runs:
            found.append(f"{name} ({states[name]})" if name in states else name)
            continue
        columns = [column for column in COLUMNS if COLUMNS[column].task in its_tasks]
        lacking = [column for column in columns if runs[name].score(column) is None]
        found += [f"{name} ({', '.join(lacking)} not measured)"] if lacking else []
    for scenario in ("ssl", "leave_one_out", "transfer"):
        every = [f"{scenario}/{task}" for task in tasks]
        if len(every) > 1 and set(every) <= set(found):
            found = [name for name in found if name not in every] + [f"{scenario} (all {len(every)} runs)"]
    return tuple(found)


def score_table(sweeps: Sequence[Sweep]) -> ScoreTable:
    """One table of several sweeps: a value a seed in every cell, rows without any value kept where they are due.

    :raises UserError: mini-SUPERB and real SUPERB are mixed.
    """
    sizes = {str(run.about["size"]): run for sweep in sweeps for run in sweep.runs.values() if "size" in run.about}
    if len(sizes) > 1:
        places = ", ".join(f"{run.folder} is {size}" for size, run in sizes.items())
        raise UserError(f"scores of two corpora cannot stand in one table: {places}; report them apart")
    tasks = tuple(task for task in FINETUNED_TASKS if any(task in sweep.tasks for sweep in sweeps))
    due = [Row("ssl"), ALL_TASK, *(Row("leave_one_out", task) for task in tasks), Row("transfer")]
    cells = {}
    for row in [*due, *(Row(scenario) for scenario in SCENARIOS if scenario != "leave_one_out")]:
        scores = [sweep.cells(row) for sweep in sweeps]
        if row in due or any(value is not None for one in scores for value in one.values()):
            cells[row] = {column: tuple(one.get(column) for one in scores) for column in COLUMNS}
    return ScoreTable(_names(sweeps), cells, tasks)


def _names(sweeps: Sequence[Sweep]) -> tuple[str, ...]:
    """The folders' names, numbered where two have the same."""
    names = [sweep.name for sweep in sweeps]
    if len(set(names)) == len(names):
        return tuple(names)
    return tuple(f"{name}, {number}" for number, name in enumerate(names, 1))
