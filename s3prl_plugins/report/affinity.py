"""How much a step for one task helped another, beside the relation graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from s3prl_plugins.logs import read_metrics
from s3prl_plugins.report.conflicts import typical_pairs
from s3prl_plugins.report.graph import Graph
from s3prl_plugins.report.heatmaps import signed_map
from s3prl_plugins.report.markup import note, section
from s3prl_plugins.report.scores import COLUMNS, GRAPH_COLUMN
from s3prl_plugins.report.sweep import Sweep

__all__ = ["Agreement", "affinity_section", "agreement"]


def affinity_section(sweeps: Sequence[Sweep], graph: Graph, tasks: Sequence[str]) -> str:
    """Affinities measured in the all-task runs (medians over training, for a loss near 0 makes any number; means over runs), and
    how far they foretell the relation graph."""
    measured = [
        pairs
        for sweep in sweeps
        if "all_task" in sweep.runs
        and (pairs := typical_pairs(read_metrics(sweep.runs["all_task"].folder), "affinity", tasks, median))
    ]
    if not measured:
        return ""
    keys = [(i, j) for i in tasks for j in tasks if any((i, j) in pairs for pairs in measured)]
    means = {key: 100 * fmean(pairs[key] for pairs in measured if key in pairs) for key in keys}
    text = (
        "How many percent of the column's loss a short step for the row's task alone takes away (task affinity, "
        "arXiv 2109.04617), median over training. Blue: the step helps the other task too. "
        f"Measured in {len(measured)} {'runs' if len(measured) > 1 else 'run'}."
    )
    grid = signed_map(means, tasks, tasks, rows_title="a step for ")
    return section("Task affinity", note(text), grid, note(_told(agreement(means, graph))))


@dataclass(frozen=True)
class Agreement:
    """Rank correlation (Spearman) of affinities with what leaving tasks out showed."""

    pairs: int
    overall: float
    p: float
    """Of the overall one, two-sided, as if pairs were independent of each other, which they are not quite."""
    targets: Mapping[str, float]
    """For each task scored, over the tasks that may help it."""


def agreement(affinities: Mapping[tuple[str, str], float], graph: Graph) -> Agreement | None:
    """How the affinity of i to j goes with how much i's presence helps j; None below three common pairs."""
    from scipy.stats import spearmanr

    common = []
    for edge in graph.edges:
        if (edge.source, edge.target) in affinities:
            higher = COLUMNS[GRAPH_COLUMN[edge.target]].metric.higher_is_better
            help_ = -float(edge.change) if higher else float(edge.change)
            common.append((edge.target, affinities[edge.source, edge.target], help_))
    if len(common) < 3:
        return None
    overall = spearmanr([a for _, a, _ in common], [h for _, _, h in common])
    targets = {}
    for target in dict.fromkeys(target for target, _, _ in common):
        own = [(a, h) for name, a, h in common if name == target]
        if len(own) > 2:
            targets[target] = float(spearmanr(*zip(*own)).statistic)
    return Agreement(len(common), float(overall.statistic), float(overall.pvalue), targets)


def _told(found: Agreement | None) -> str:
    if found is None:
        return "There are no leave-one-out runs to compare with."
    each = ", ".join(f"{target.upper()} {rho:+.2f}" for target, rho in found.targets.items())
    return (
        f"Rank correlation with the relation graph above, over {found.pairs} pairs: {found.overall:+.2f} "
        f"(p = {found.p:.2g}, taking pairs for independent). For each task over those that may help it: {each}; "
        f"mean {fmean(found.targets.values()):+.2f}."
    )
