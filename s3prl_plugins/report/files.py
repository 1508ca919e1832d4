"""The files of a report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from s3prl_plugins.report.formats import latex, markdown
from s3prl_plugins.report.graph import relation_graph
from s3prl_plugins.report.papertable import PaperTable, paper_table
from s3prl_plugins.report.picture import graph_picture
from s3prl_plugins.report.scores import ScoreTable
from s3prl_plugins.report.superb_s import Reference
from s3prl_plugins.report.sweep import Sweep
from s3prl_plugins.report.sweep_page import Origin, sweep_page
from s3prl_plugins.report.writing import write_text

__all__ = ["FILES", "origin_of", "write_report"]

FILES: dict[str, str] = {
    "csv": "table.csv", "md": "table.md", "tex": "table.tex", "edges": "edges.csv", "svg": "graph.svg",
    "html": "report.html",
}  # fmt: skip
"""Format -> file."""


def origin_of(sweeps: Sequence[Sweep]) -> Origin:
    """The corpora behind sweeps; those that do not say are taken for SUPERB itself. Without sweeps: a table alone."""
    if not sweeps:
        return "file"
    sizes = {run.about.get("size") for sweep in sweeps for run in sweep.runs.values()}
    return "mini" if "mini" in sizes else "paper"


def write_report(
    folder: Path, formats: Collection[str], scores: ScoreTable, sweeps: Sequence[Sweep], reference: Reference
) -> tuple[PaperTable, list[Path]]:
    """Write the files of the chosen formats; returns the table they show, and their paths."""
    origin = origin_of(sweeps)
    paper, graph = paper_table(scores, origin), relation_graph(scores)
    makers: dict[str, Callable[[], str]] = {
        "csv": scores.to_csv,
        "md": lambda: markdown(paper),
        "tex": lambda: latex(paper),
        "edges": graph.to_csv,
        "svg": lambda: graph_picture(graph, scores.tasks),
        "html": lambda: sweep_page(scores, paper, graph, sweeps, origin, reference),
    }
    if not graph.edges:
        makers.pop("svg")
    return paper, [write_text(folder / FILES[name], make()) for name, make in makers.items() if name in formats]
