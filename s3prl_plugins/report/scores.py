"""Table 1 of arXiv 2110.09930 as data: its rows and columns, one exact value a seed, and its CSV form."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import NamedTuple

from s3prl_plugins.superb.cards import CARDS, FINETUNED_TASKS, Metric

__all__ = [
    "ALL_TASK", "COLUMNS", "GRAPH_COLUMN", "PAPER_COLUMNS", "SCENARIOS", "Column", "Row", "ScoreTable", "any_value", "exact",
    "mean",
]  # fmt: skip


class Column(NamedTuple):
    """One column of scores."""

    task: str
    metric: Metric


class Row(NamedTuple):
    """One row: a scenario, and for `leave_one_out` the task it goes without."""

    scenario: str
    left_out: str = ""

    def __str__(self) -> str:
        return f"{self.scenario}, all but {self.left_out}" if self.left_out else self.scenario


COLUMNS: dict[str, Column] = {
    metric.column or f"{task}_{metric.name}": Column(task, metric)
    for task, card in CARDS.items()
    for metric in card.metrics
    if metric.column or task == "qbe"
}
"""Name in the CSV -> what it holds: the paper's ten columns, and QbE's, which the paper lacks."""

PAPER_COLUMNS: list[str] = [name for name, column in COLUMNS.items() if column.task in FINETUNED_TASKS]
"""The ten columns a CSV must have."""

GRAPH_COLUMN: dict[str, str] = {COLUMNS[name].task: name for name in COLUMNS if COLUMNS[name].task in FINETUNED_TASKS}
"""Task -> the column that stands for it in the relation graph: its only one; for SF, as in the paper, the CER."""

ALL_TASK = Row("all_task")

SCENARIOS: dict[str, str] = {
    "ssl": "none",
    "all_task": "all",
    "all_task_er_folds": "all, ER over folds 1-5",
    "all_task_with_leaks": "all, other tasks' test data not excluded",
    "leave_one_out": "all but {}",
    "transfer": "leave-one-out model",
}
"""Scenario -> what the CSV says of it under `mtl_tasks`, in the order of the rows."""

_GRAIN = Decimal("0.000001")
_WIDE = Context(prec=400)
"""Digits for any float."""


def exact(score: float) -> Decimal:
    """A score to six decimals, so that equal systems have equal scores.

    That is finer than any test set resolves, and coarser than the noise of the root finder behind ASV's EER (1e-9).
    """
    return Decimal(score).quantize(_GRAIN, context=_WIDE)


@dataclass(frozen=True)
class ScoreTable:
    """Scores by row, column and seed. All sums on them are decimal or rational, hence exact."""

    seeds: tuple[str, ...]
    """A name for each seed."""
    cells: Mapping[Row, Mapping[str, tuple[Decimal | None, ...]]]
    """Row -> column -> one value a seed; None where there is none."""
    tasks: tuple[str, ...] = FINETUNED_TASKS
    """The tasks the sweep is about."""

    @property
    def rows(self) -> list[Row]:
        """In the order of the paper."""
        return sorted(self.cells, key=lambda row: (list(SCENARIOS).index(row.scenario), _place(row.left_out)))

    @property
    def columns(self) -> list[str]:
        """The columns of `tasks`, and QbE's where it was measured."""
        measured = {name for row in self.cells.values() for name, values in row.items() if any_value(values)}
        return [name for name, column in COLUMNS.items() if column.task in self.tasks or name in measured]

    def values(self, row: Row, column: str) -> list[Decimal]:
        """What there is of a cell, over the seeds."""
        return [value for value in self.cells.get(row, {}).get(column, ()) if value is not None]

    def mean(self, row: Row, column: str) -> Decimal | None:
        """Over the seeds that have it, to six decimals."""
        return mean(self.values(row, column))

    def pairs(self, row: Row, other: Row, column: str) -> list[tuple[Decimal, Decimal]]:
        """The values of two rows in the seeds that have both: nothing else can be compared."""
        both = zip(self.cells.get(row, {}).get(column, ()), self.cells.get(other, {}).get(column, ()))
        return [(one, two) for one, two in both if one is not None and two is not None]

    def to_csv(self) -> str:
        """The means in the form that `reading.read_table` reads; not rounded for show, so that the graph of it is the same."""
        names = [*PAPER_COLUMNS, *(name for name in self.columns if name not in PAPER_COLUMNS)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["scenario", "mtl_tasks", *names])
        for row in self.rows:
            means = [self.mean(row, name) for name in names]
            writer.writerow([row.scenario, SCENARIOS[row.scenario].format(row.left_out), *map(_plain, means)])
        return text.getvalue()


def mean(values: list[Decimal]) -> Decimal | None:
    """The mean to six decimals; one value as it is; None of nothing."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.mean(values).quantize(_GRAIN)


def any_value(values: tuple[Decimal | None, ...]) -> bool:
    """Whether a cell has a score in any seed."""
    return any(value is not None for value in values)


def _plain(value: Decimal | None) -> str:
    """Digits as they are, but at least two decimals."""
    if value is None:
        return ""
    whole, _, decimals = f"{value:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def _place(task: str) -> int:
    return FINETUNED_TASKS.index(task) if task else -1
