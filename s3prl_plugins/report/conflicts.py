"""Conflicts between the gradients of tasks, measured while they were trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from s3prl_plugins.logs import task_metric
from s3prl_plugins.report.heatmaps import signed_map
from s3prl_plugins.report.markup import note, section

__all__ = ["conflict_section", "typical_pairs"]

Entries = Sequence[Mapping[str, float]]
Pairs = dict[tuple[str, str], float]

_COLUMNS = 12
"""Of the map over training, at most."""


def conflict_section(entries: Entries, tasks: Sequence[str]) -> str:
    """Cosines between the tasks' gradients: over training, and pair by pair."""
    logged = [entry for entry in entries if "train/conflict_ratio" in entry]
    if len(tasks) < 2 or not logged:
        return ""
    size = math.ceil(len(logged) / _COLUMNS)
    spans = [logged[first : first + size] for first in range(0, len(logged), size)]
    heads = [f"{int(span[-1]['step'])}" for span in spans]
    over_time = {
        (task, head): fmean(values)
        for head, span in zip(heads, spans)
        for task in tasks
        if (values := _values(span, task_metric("train", task, "cosine")))
    }
    between = typical_pairs(logged, "cosine", tasks, fmean)
    between |= {(other, one): value for (one, other), value in between.items()}
    ratio = fmean(entry["train/conflict_ratio"] for entry in logged)
    text = (
        "Cosine between the gradients of the shared encoder that two tasks' batches give; orange: they conflict. "
        f"{100 * ratio:.0f} % of the pairs do, on average. Single batches: cosines near 0 are noise."
    )
    return section(
        "Conflicts between tasks", note(text), "<div class=maps>",
        f"<div><h3>Mean over the other tasks, up to each step</h3>{signed_map(over_time, tasks, heads)}</div>",
        f"<div><h3>Pair by pair, mean over training</h3>{signed_map(between, tasks, tasks)}</div>", "</div>",
    )  # fmt: skip


def typical_pairs(
    entries: Entries, kind: str, tasks: Sequence[str], average: Callable[[Sequence[float]], float]
) -> Pairs:
    """The average over entries of every logged `<kind>/<task>/<other>`."""
    pairs = {(one, other): _values(entries, task_metric(kind, one, other)) for one in tasks for other in tasks}
    return {pair: average(values) for pair, values in pairs.items() if values and pair[0] != pair[1]}


def _values(entries: Entries, name: str) -> list[float]:
    return [entry[name] for entry in entries if name in entry and math.isfinite(entry[name])]
