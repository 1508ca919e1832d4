"""Table 1 of arXiv 2110.09930 ready to print: labels, cells with their marks, and the caption that explains them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

from s3prl_plugins.report.scores import ALL_TASK, COLUMNS, Row, ScoreTable
from s3prl_plugins.report.significance import LEVEL, compare

__all__ = ["CLOSED_WORLD", "Cell", "PaperTable", "paper_table"]

CLOSED_WORLD = (
    "Mini-SUPERB is synthetic speech: these numbers compare methods on it with each other and must never be set "
    "beside published SUPERB scores."
)
_LABELS = {
    "ssl": "(a) encoder frozen, one head alone",
    "all_task": "(b-1) all tasks jointly",
    "all_task_er_folds": "(b-1) ER over folds 1-5",
    "all_task_with_leaks": "(b-1) with leaks",
    "transfer": "(c) transfer to an unseen task",
}


@dataclass(frozen=True)
class Cell:
    """One score as it is shown."""

    text: str = ""
    """The mean; `-` where the row can have no score, empty where one is missing."""
    spread: str = ""
    """Sample standard deviation over seeds; empty with one."""
    mark: Literal["better", "worse", ""] = ""
    """Against the all-task row."""
    note: str = ""
    """Seeds and test, for those who ask."""


@dataclass(frozen=True)
class PaperTable:
    """The whole table."""

    tasks: tuple[tuple[str, int], ...]
    """Titles of the first line of the head, and how many columns each spans."""
    metrics: tuple[str, ...]
    """The second line: metric and arrow."""
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """Label and cells."""
    main: int
    """The place among them of the row that the others are compared with; -1 where it is missing."""
    caption: tuple[str, ...]
    """Sentences."""


def paper_table(table: ScoreTable, origin: Literal["mini", "paper", "file"]) -> PaperTable:
    """The table of one or several seeds.

    :param origin: for the caption: scores on mini-SUPERB, on SUPERB, or read from a CSV of which nothing else is known.
    """
    names = table.columns
    spans: dict[str, int] = {}
    for name in names:
        spans[COLUMNS[name].task] = spans.get(COLUMNS[name].task, 0) + 1
    rows = tuple((_label(table, row), tuple(_cell(table, row, name) for name in names)) for row in table.rows)
    metrics = tuple(_metric_title(name) for name in names)
    tasks = tuple((task.upper(), span) for task, span in spans.items())
    main = table.rows.index(ALL_TASK) if ALL_TASK in table.cells else -1
    return PaperTable(tasks, metrics, rows, main, _caption(table, origin))


def _metric_title(name: str) -> str:
    metric = COLUMNS[name].metric
    return f"{name.rpartition('_')[2].upper()} {'↑' if metric.higher_is_better else '↓'}"


def _label(table: ScoreTable, row: Row) -> str:
    label = f"(b-2) all but {row.left_out.upper()}" if row.left_out else _LABELS[row.scenario]
    counts = {len(table.values(row, name)) for name in table.columns} - {0}
    if len(table.seeds) == 1 or counts <= {len(table.seeds)}:
        return label
    return (
        f"{label} [{'-'.join(str(count) for count in sorted({min(counts), max(counts)}))} of {len(table.seeds)} seeds]"
    )


def _cell(table: ScoreTable, row: Row, name: str) -> Cell:
    values, mean = table.values(row, name), table.mean(row, name)
    if mean is None:
        return Cell("" if _due(row, name) else "-")
    digits = 2 if COLUMNS[name].metric.unit else 4
    spread = f"{statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    compared = compare(table, row, ALL_TASK, name) if row != ALL_TASK else None
    notes = [f"{len(values)} of {len(table.seeds)} seeds"] if len(table.seeds) > 1 else []
    if compared and compared.p is not None:
        notes.append(f"paired t-test against all tasks jointly: p = {compared.p:.3g} ({compared.seeds} seeds)")
    mark: Literal["better", "worse", ""] = ""
    if compared and (compared.verdict == "better" or compared.verdict == "worse"):
        mark = compared.verdict
    return Cell(f"{mean:.{digits}f}", spread, mark, "; ".join(notes))


def _caption(table: ScoreTable, origin: str) -> tuple[str, ...]:
    lines = [
        "Test scores of the scenarios of arXiv 2110.09930 (its Table 1), in percent; arrows point to the better side."
    ]
    if "qbe_mtwv" in table.columns:
        lines.append("QbE is MTWV, at most 1, of the layer that is best on dev, without training.")
    if len(table.seeds) > 1:
        lines.append(_tested(table))
    else:
        lines.append(
            "Bold: better than all tasks jointly; underlined: worse. One seed: a difference, not a tested one."
        )
    if Row("all_task_er_folds") in table.cells:
        lines.append("ER is fold 1 except in the row over folds 1-5; comparisons are made on fold 1.")
    elif origin != "file":
        lines.append("ER is fold 1 of 5.")
    if any(not table.values(row, name) for row in table.rows for name in table.columns if _due(row, name)):
        lines.append("Empty cells: not measured yet.")
    return (*lines, CLOSED_WORLD) if origin == "mini" else tuple(lines)


def _due(row: Row, name: str) -> bool:
    """Whether a row can have a score there. QbE of a transferred model is that of its leave-one-out model."""
    task = COLUMNS[name].task
    if row.scenario == "all_task_er_folds":
        return task == "er"
    return task != row.left_out and not (task == "qbe" and row.scenario == "transfer")


def _tested(table: ScoreTable) -> str:
    compared = [compare(table, row, ALL_TASK, name) for row in table.rows if row != ALL_TASK for name in table.columns]
    count = sum(1 for one in compared if one and one.p is not None)
    by_chance = f"{count} cells were tested, of which {LEVEL * count:.1f} would pass by chance alone"
    return (
        f"Mean and sample standard deviation over {len(table.seeds)} seeds. Bold: better than all tasks jointly, "
        f"underlined: worse, by a two-sided paired t-test over seeds, p < {LEVEL}, each cell by itself ({by_chance}); "
        "what fewer than two seeds have is not tested. Comparisons and edges are made within the seeds that have both scores."
    )
