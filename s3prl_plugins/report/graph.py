"""The relation graph of arXiv 2110.09930 (its Figure 2): what leaving a task out does to the others."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from s3prl_plugins.report.scores import ALL_TASK, COLUMNS, GRAPH_COLUMN, Row, ScoreTable, mean
from s3prl_plugins.report.significance import paired_p

__all__ = ["NEGLIGIBLE", "Edge", "Graph", "relation_graph"]

NEGLIGIBLE = Fraction(1, 4)
"""Percent. Changes below it, from every source, are remarked on as negligible; they keep their effect."""


@dataclass(frozen=True)
class Edge:
    """What `source` does to `target`."""

    source: str
    target: str
    change: Fraction
    """(target's score without source - its all-task score) / all-task score x 100: percent, exact."""
    effect: Literal["helps", "hurts", "none"]
    """The target is worse without the source: it helps. Better: it hurts. By the sign of the exact change."""
    seeds: int = 1
    """Seeds that have both scores; the change is that of the means over them."""
    p: float | None = None
    """Of the paired test over these seeds; None where it cannot be made."""

    @property
    def percent(self) -> str:
        """Three decimals, ties to even; keeps the sign of a change that rounds to zero."""
        thousandths = round(abs(self.change) * 1000)
        return f"{'-' if self.change < 0 else ''}{thousandths // 1000}.{thousandths % 1000:03d}"


@dataclass(frozen=True)
class Graph:
    """All edges between the tasks of a table."""

    edges: tuple[Edge, ...]
    gaps: tuple[str, ...] = ()
    """For each edge that has no value, why."""

    def into(self, target: str) -> list[Edge]:
        """The edges that end at a task, the strongest first."""
        return sorted((edge for edge in self.edges if edge.target == target), key=lambda edge: -abs(edge.change))

    @property
    def targets(self) -> list[str]:
        return list(dict.fromkeys(edge.target for edge in sorted(self.edges, key=lambda edge: _place(edge.target))))

    def to_csv(self) -> str:
        """`from,to,effect,relative_change_percent`, the change with three decimals."""
        lines = [f"{edge.source},{edge.target},{edge.effect},{edge.percent}" for edge in self.edges]
        return "\n".join(["from,to,effect,relative_change_percent", *lines]) + "\n"


def relation_graph(table: ScoreTable) -> Graph:
    """The graph of a table; every task but SF by its one score, SF by its CER.

    Scores are decimal numbers and the change is a fraction of two of them, so it is computed exactly: binary floating
    point could turn a tie in the third decimal, or a difference of nothing, either way.
    """
    edges, gaps = [], []
    for source in table.tasks:
        for target in table.tasks:
            if source == target:
                continue
            edge = _edge(table, source, target)
            if isinstance(edge, Edge):
                edges.append(edge)
            else:
                gaps.append(edge)
    return Graph(tuple(edges), tuple(gaps))


def _edge(table: ScoreTable, source: str, target: str) -> Edge | str:
    """The edge, or why there is none."""
    row, column = Row("leave_one_out", source), GRAPH_COLUMN[target]
    for needed in (ALL_TASK, row):
        if not any(table.values(needed, name) for name in COLUMNS):
            return f"the row {needed} is missing"
        if not table.values(needed, column):
            return f"the row {needed} has no {column}"
    pairs = table.pairs(row, ALL_TASK, column)
    without, together = mean([one for one, _ in pairs]), mean([two for _, two in pairs])
    if without is None or together is None:
        return f"no seed has {column} both in {row} and in {ALL_TASK}"
    if not together:
        return f"{column} of {ALL_TASK} is 0, so that a relative change has no value"
    change = (Fraction(without) / Fraction(together) - 1) * 100
    better = change > 0 if COLUMNS[column].metric.higher_is_better else change < 0
    effect: Literal["helps", "hurts", "none"] = "none" if not change else "hurts" if better else "helps"
    return Edge(source, target, change, effect, len(pairs), paired_p(pairs))


def _place(task: str) -> int:
    return list(GRAPH_COLUMN).index(task)
