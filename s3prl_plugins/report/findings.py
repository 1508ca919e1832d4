"""What the table and the graph say, in words."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from s3prl_plugins.report.graph import NEGLIGIBLE, Edge, Graph
from s3prl_plugins.report.scores import ALL_TASK, COLUMNS, Row, ScoreTable
from s3prl_plugins.report.significance import LEVEL, Verdict, compare

__all__ = ["graph_findings", "scenario_findings"]

_LITTLE = Fraction(1)
"""Percent. Below it a task helps or hurts "a little"."""
_WORDS = {
    "better": "better on",
    "worse": "worse on",
    "equal": "equal on",
    "mixed": "better by one score and worse by another on",
    "unclear": "not told apart by the paired test on",
}
_COMPARISONS = (
    (ALL_TASK, Row("ssl"), "All tasks jointly (b-1) against the frozen encoder (a)"),
    (Row("transfer"), Row("ssl"), "Transfer to the left-out task (c) against the frozen encoder (a)"),
    (Row("transfer"), ALL_TASK, "Transfer to the left-out task (c) against all tasks jointly (b-1)"),
    (Row("all_task_with_leaks"), ALL_TASK, "All tasks with leaks between them against without (b-1)"),
)


def scenario_findings(table: ScoreTable) -> list[str]:
    """For each pair of scenarios that the table has, on which tasks the first is better, worse, or neither.

    What only one of several seeds has is told as such, by the sign of the difference.
    """
    lines = []
    for row, other, title in _COMPARISONS:
        compared = {name: one for name in table.columns if (one := compare(table, row, other, name))}
        single = len(table.seeds) > 1 and all(one.seeds == 1 for one in compared.values())
        groups: dict[str, list[str]] = {}
        for task in dict.fromkeys(COLUMNS[name].task for name in compared):
            its = [one for name, one in compared.items() if COLUMNS[name].task == task]
            verdict = _joined({one.direction if single else one.verdict for one in its})
            groups.setdefault(verdict, []).append(task.upper())
        if groups:
            parts = [f"{word} {_listed(groups[verdict])}" for verdict, word in _WORDS.items() if verdict in groups]
            lines.append(f"{title}{', one seed, not tested' if single else ''}: {'; '.join(parts)}.")
    return lines


def _joined(verdicts: set[Verdict]) -> str:
    """One word over all metrics of a task."""
    if {"better", "worse"} <= verdicts:
        return "mixed"
    return next(word for word in ("better", "worse", "unclear", "equal") if word in verdicts)


def graph_findings(graph: Graph) -> list[str]:
    """For each task who helps it and who hurts it, with the change of its score when that task is left out.

    `*` marks a change that passes the paired test over seeds.
    """
    return [_finding(target.upper(), graph.into(target)) for target in graph.targets]


def _finding(target: str, edges: list[Edge]) -> str:
    if all(abs(edge.change) < NEGLIGIBLE for edge in edges):
        strongest = f"{_name(edges[0])} most" if edges[0].change else "exactly none"
        return f"{target}: the influence of the others is negligible, below {float(NEGLIGIBLE)} % from every one, {strongest}."
    groups = {effect: [edge for edge in edges if edge.effect == effect] for effect in ("helps", "hurts")}
    words = {"helps": "helped", "hurts": "hurt"}
    parts: list[str] = []
    for effect in sorted((effect for effect in words if groups[effect]), key=lambda effect: len(groups[effect])):
        others = [edge for edge in edges if edge.effect != effect]
        parts.append(f"{words[effect]} {_sources(groups[effect], others, last=bool(parts) or not others)}")
    unchanged = [edge.source.upper() for edge in edges if edge.effect == "none"]
    if unchanged:
        parts.append(f"not changed by {_listed(unchanged)}")
    return f"{target} is {', '.join(parts)}."


def _sources(edges: list[Edge], others: list[Edge], last: bool) -> str:
    """Few by name; many as `every other task` or `every task but X`, with the strongest by name."""
    strong = [_name(edge) for edge in edges if abs(edge.change) >= _LITTLE]
    if len(edges) < 4 or len(edges) <= len(others):
        weak = [_name(edge) for edge in edges if abs(edge.change) < _LITTLE]
        return ", ".join(filter(None, (_by("by", strong), _by("a little by", weak))))
    whole = "every other task" if last else f"every task but {_listed([edge.source.upper() for edge in others])}"
    return f"by {whole}, most by {_listed(strong[:2] or [_name(edges[0])])}"


def _by(word: str, names: Sequence[str]) -> str:
    return f"{word} {_listed(names)}" if names else ""


def _name(edge: Edge) -> str:
    digits = 1 if abs(edge.change) >= _LITTLE else 2
    sure = "*" if edge.p is not None and edge.p < LEVEL else ""
    return f"{edge.source.upper()} ({float(edge.change):+.{digits}f} %{sure})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
