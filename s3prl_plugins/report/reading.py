"""Reading a table in the form of Table 1 of arXiv 2110.09930 from a CSV."""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path

from s3prl_plugins.errors import UserError, nearest
from s3prl_plugins.report.scores import COLUMNS, PAPER_COLUMNS, SCENARIOS, Row, ScoreTable, any_value
from s3prl_plugins.superb.cards import FINETUNED_TASKS

__all__ = ["read_table"]


def read_table(path: Path) -> ScoreTable:
    """Read a CSV in the form of the paper's Table 1: `scenario,mtl_tasks,asr_wer,...,sid_acc`, one seed.

    Columns it does not know are passed over. An empty cell, or `-`, is no value.

    :raises UserError: unreadable; a column missing or there twice; an unknown scenario; a row there twice; a cell that
        is no number of at least 0; a score of a task in the row that leaves it out.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"table {path} cannot be read ({error}); pass a CSV in the form of the paper's Table 1"
        ) from error
    head = [name.strip() for name in lines[0][1]] if lines else []
    for name in ("scenario", "mtl_tasks", *PAPER_COLUMNS):
        if head.count(name) != 1:
            found = "is missing" if name not in head else "is there twice"
            raise UserError(
                f"{path}: column {name!r} {found}; the head must name scenario,mtl_tasks,{','.join(PAPER_COLUMNS)}"
            )
    cells: dict[Row, dict[str, tuple[Decimal | None, ...]]] = {}
    for number, texts in lines[1:]:
        where = f"{path}, line {number}"
        if len(texts) != len(head):
            raise UserError(f"{where} has {len(texts)} cells where the head has {len(head)}; mend the line")
        given = dict(zip(head, map(str.strip, texts)))
        row = _row(given["scenario"], given["mtl_tasks"], where)
        if row in cells:
            raise UserError(f"{where}: the row {row} is there twice; keep one")
        cells[row] = {name: (_number(given[name], name, where),) for name in COLUMNS if name in given}
        own = [name for name, column in COLUMNS.items() if column.task == row.left_out and any_value(cells[row][name])]
        if own:
            raise UserError(
                f"{where}: a model without {row.left_out} has no {own[0]}, found {given[own[0]]}; empty the cell"
            )
    return ScoreTable((path.stem,), cells)


def _row(scenario: str, tasks: str, where: str) -> Row:
    if scenario not in SCENARIOS:
        raise UserError(f"{where}: unknown scenario {scenario!r}; {nearest(scenario, SCENARIOS)}")
    if scenario != "leave_one_out":
        return Row(scenario)
    *words, task = tasks.lower().split() or [""]
    if words != ["all", "but"] or task not in FINETUNED_TASKS:
        raise UserError(
            f"{where}: mtl_tasks of leave_one_out must read 'all but TASK', found {tasks!r}; {nearest(task, FINETUNED_TASKS)}"
        )
    return Row(scenario, task)


def _number(text: str, column: str, where: str) -> Decimal | None:
    if text in ("", "-"):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    # Only MTWV can be negative.
    if not value.is_finite() or (value < 0 and column in PAPER_COLUMNS):
        raise UserError(f"{where}: {column} must be a number of at least 0, found {text!r}; mend or empty the cell")
    return value
