"""Scores as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from s3prl_plugins.superb.cards import CARDS, Metric

__all__ = ["Results", "format_table", "result_rows", "results_table"]

Results = Mapping[tuple[str, str], Mapping[str, float]]
"""(task, split) -> metric -> value."""


def results_table(results: Results, start: Results | None = None) -> str:
    """The rows of `result_rows` as text."""
    return format_table(result_rows(results, start))


def result_rows(results: Results, start: Results | None = None) -> list[list[str]]:
    """A head and one row per task and split, in the order of the paper's table: up to three metrics, and the loss.

    :param start: scores before training, shown as `before -> after` where given.
    """
    rows = [["task", "split", "scores", "loss"]]
    for (task, split), scores in sorted(results.items(), key=lambda item: list(CARDS).index(item[0][0])):
        before = (start or {}).get((task, split), {})
        shown = [metric for metric in CARDS[task].metrics if metric.name in scores][:3]
        cells = [
            f"{_name(metric)} {_change(metric.name, before, scores, 2 if metric.unit else 4)}{metric.unit}"
            for metric in shown
        ]
        loss = _change("loss", before, scores, 3) if "loss" in scores else ""
        rows.append([task, split, "  ".join(cells), loss])
    return rows


def format_table(rows: list[list[str]]) -> str:
    """Rows of cells, the first being the head, padded to columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _name(metric: Metric) -> str:
    return f"{metric.name} {'↑' if metric.higher_is_better else '↓'}"


def _change(name: str, before: Mapping[str, float], after: Mapping[str, float], digits: int) -> str:
    value = f"{after[name]:.{digits}f}"
    return f"{before[name]:.{digits}f} -> {value}" if name in before else value
