"""superb_s, the one number of the SUPERB leaderboard. Formula and reference values could not be verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

from s3prl_plugins.config import build, load_yaml
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.report.scores import COLUMNS, Row, ScoreTable

__all__ = ["FORMULA", "Reference", "read_reference", "superb_s", "superb_s_tasks"]

FORMULA = "superb_s = 1000 / |T| * sum over tasks t of 1 / |M_t| * sum over metrics m of (s - fbank) / (best - fbank)"


@dataclass(frozen=True)
class Reference:
    """What is 0 and what is 1000 in every metric."""

    source: str
    """Where the values come from, printed with them."""
    size: Literal["paper", "mini"]
    """The corpora they were measured on: values of one say nothing of scores on the other."""
    fbank: dict[str, float] = field(default_factory=dict)
    """Column of the table -> the score worth 0."""
    best: dict[str, float] = field(default_factory=dict)
    """Column of the table -> the score worth 1000."""

    def __post_init__(self) -> None:
        for name in (*self.fbank, *self.best):
            if name not in COLUMNS:
                raise ConfigError(f"unknown column {name!r}; {nearest(name, COLUMNS)}")
            if name not in self.fbank or name not in self.best:
                raise ConfigError(f"{name} needs a value under fbank and one under best; add the other")
            if self.fbank[name] == self.best[name]:
                raise ConfigError(f"{name}: fbank and best must differ, found {self.best[name]} for both; mend one")


def read_reference(path: Path | None) -> Reference:
    """Reference values from a YAML file; None is the shipped one."""
    place = path or Path(__file__).with_name("superb_s_reference.yaml")
    return build(Reference, load_yaml(place), str(path) if path else place.name)


def superb_s_tasks(table: ScoreTable, rows: Sequence[Row], reference: Reference) -> tuple[str, ...]:
    """The tasks that can be counted in all the rows: only over the same tasks are two superb_s comparable."""
    tasks = dict.fromkeys(column.task for column in COLUMNS.values())
    return tuple(
        task
        for task in tasks
        if all(
            name in reference.best and all(_complete(table, row, name) for row in rows)
            for name, column in COLUMNS.items()
            if column.task == task
        )
    )


def superb_s(table: ScoreTable, row: Row, tasks: Sequence[str], reference: Reference) -> list[float]:
    """superb_s of a row over `tasks`, one value a seed.

    Source: recalled from the leaderboard and arXiv 2210.08634, equation unverified. ER is that of the table (fold 1 unless
    it says otherwise), where the leaderboard takes five folds.
    """
    return [
        1000 * sum(_task_score(table, row, task, seed, reference) for task in tasks) / len(tasks)
        for seed in range(len(table.seeds))
    ]


def _task_score(table: ScoreTable, row: Row, task: str, seed: int, reference: Reference) -> float:
    names = [name for name, column in COLUMNS.items() if column.task == task]
    parts = []
    for name in names:
        score = table.cells[row][name][seed] or Decimal(0)
        low, high = reference.fbank[name], reference.best[name]
        parts.append((float(score) - low) / (high - low))
    return sum(parts) / len(parts)


def _complete(table: ScoreTable, row: Row, column: str) -> bool:
    values = table.cells.get(row, {}).get(column, ())
    return bool(values) and all(value is not None for value in values)
