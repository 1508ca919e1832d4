"""The page of the whole experiment."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from s3prl_plugins.report.affinity import affinity_section
from s3prl_plugins.report.drawing import draw_graph
from s3prl_plugins.report.findings import graph_findings, scenario_findings
from s3prl_plugins.report.graph import Graph
from s3prl_plugins.report.heatmaps import relation_map
from s3prl_plugins.report.learned import curves_section, layers_section
from s3prl_plugins.report.markup import bullets, document, escape, note, section, table, warning
from s3prl_plugins.report.papertable import CLOSED_WORLD, Cell, PaperTable
from s3prl_plugins.report.picture import EFFECTS
from s3prl_plugins.report.provenance import provenance, seed_notes
from s3prl_plugins.report.scores import ALL_TASK, Row, ScoreTable
from s3prl_plugins.report.superb_s import FORMULA, Reference, superb_s, superb_s_tasks
from s3prl_plugins.report.sweep import Sweep

__all__ = ["Origin", "sweep_page"]

Origin = Literal["mini", "paper", "file"]


def sweep_page(
    scores: ScoreTable, paper: PaperTable, graph: Graph, sweeps: Sequence[Sweep], origin: Origin, reference: Reference
) -> str:
    """`report.html`: everything the sweeps (or, without any, a table alone) have to tell."""
    seeds = f"{len(scores.seeds)} seeds" if len(scores.seeds) > 1 else "one seed"
    title = "Joint finetuning of SUPERB tasks" + (" on mini-SUPERB" if origin == "mini" else "")
    parts = [
        f"<h1>{escape(title)}</h1>",
        note(f"{', '.join(scores.seeds)}: " + ("a table as given" if origin == "file" else seeds)),
        warning(CLOSED_WORLD) if origin == "mini" else "",
        section("In short", bullets(scenario_findings(scores)), bullets(seed_notes(sweeps))),
        section("Scores", _score_table(paper), note(" ".join(paper.caption)), _missing(sweeps)),
        _graph_section(graph, scores),
        affinity_section(sweeps, graph, scores.tasks),
        layers_section(sweeps, scores.tasks),
        curves_section(sweeps, scores.tasks),
        _superb_s_section(scores, origin, reference),
        _provenance_section(sweeps),
    ]
    return document(title, parts)


def _score_table(paper: PaperTable) -> str:
    titles = "".join(
        f"<th scope=col{f' colspan={span}' if span > 1 else ''}>{escape(task)}</th>" for task, span in paper.tasks
    )
    metrics = "".join(f"<th scope=col>{escape(metric)}</th>" for metric in paper.metrics)
    body = []
    for place, (label, cells) in enumerate(paper.rows):
        kind = " class=main" if place == paper.main else ""
        body.append(f"<tr{kind}><th scope=row>{escape(label)}</th>{''.join(map(_score, cells))}</tr>")
    return (
        f"<div class=scroll><table class=numbers><thead><tr><th>Scenario</th>{titles}</tr><tr><th></th>{metrics}</tr></thead>"
        f"\n<tbody>{chr(10).join(body)}</tbody></table></div>"
    )


def _score(cell: Cell) -> str:
    if cell.text in ("", "-"):
        return f"<td class=own>{'–' if cell.text else ''}</td>"
    spread = f"<small>± {cell.spread}</small>" if cell.spread else ""
    kind = f' class="{cell.mark}"' if cell.mark else ""
    title = f' title="{escape(cell.note)}"' if cell.note else ""
    return f"<td{kind}{title}><span>{cell.text}</span>{spread}</td>"


def _missing(sweeps: Sequence[Sweep]) -> str:
    lines = [f"Not there yet in {sweep.name}: {', '.join(sweep.missing)}." for sweep in sweeps if sweep.missing]
    return "".join(map(note, lines))


def _graph_section(graph: Graph, scores: ScoreTable) -> str:
    if not graph.edges:
        return ""
    widest = max(abs(float(edge.change)) for edge in graph.edges)
    pictures = "".join(
        f"<figure><h3>{title}</h3>{draw_graph(graph.edges, scores.tasks, effect, widest)}</figure>"
        for effect, title in EFFECTS
    )
    text = (
        "An arrow from B to A is the relative change of A's score when B is left out of the joint training, against all "
        "tasks jointly (Figure 2 of arXiv 2110.09930; SF by its CER). Width and strength grow with the root of the "
        "change; the strongest carry it in percent; dashed: below 0.25 %."
    )
    several = max(edge.seeds for edge in graph.edges) > 1
    in_map = "The same as numbers, in percent; blue helps, orange hurts." + (
        " Bold, and * in words: passes the paired test over seeds." if several else " One seed: none of it is tested."
    )
    grid = relation_map(graph.edges, scores.tasks, widest)
    count = f"{len(graph.edges)} of {len(graph.edges) + len(graph.gaps)} edges have a value." if graph.gaps else ""
    gaps = f"Without a value: {'; '.join(dict.fromkeys(graph.gaps))}." if graph.gaps else ""
    return section(
        "Which task helps which", note(f"{text} {count}".strip()), f"<div class=pair>{pictures}</div>",
        note(in_map), f"<div class=beside>{grid}{bullets(graph_findings(graph))}</div>", note(gaps),
    )  # fmt: skip


def _superb_s_section(scores: ScoreTable, origin: Origin, reference: Reference) -> str:
    names = [name for name in scores.columns if name in reference.best]
    values = [["", *names], ["0 (fbank)", *(f"{reference.fbank[name]:g}" for name in names)]]
    values.append(["1000 (best)", *(f"{reference.best[name]:g}" for name in names)])
    intro = note(f"{FORMULA}. Formula and values are unverified. Reference: {reference.source}.")
    if origin != "file" and origin != reference.size:
        text = (
            f"Not computed: the scores are those of {_corpora(origin)}, the reference values those of "
            f"{_corpora(reference.size)}. Measure references there and pass --superb-s-reference FILE.yaml. "
            "The reference, not to be compared with any number above:"
        )
        return section("superb_s", intro, note(text), table(values))
    candidates = [row for row in (Row("ssl"), ALL_TASK, Row("all_task_with_leaks")) if row in scores.cells]
    rows = [row for row in candidates if superb_s_tasks(scores, [row], reference)]
    tasks = superb_s_tasks(scores, rows, reference)
    if not rows or not tasks:
        return section("superb_s", intro, note("Not computed: no task has scores in every scenario and seed."))
    shown = [["scenario", "superb_s"]]
    for row in rows:
        found = superb_s(scores, row, tasks, reference)
        spread = f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else ""
        shown.append([row.scenario, f"{statistics.fmean(found):.1f}{spread}"])
    counted = f"Over {len(tasks)} tasks: {', '.join(task.upper() for task in tasks)}. ER as in the table above."
    return section("superb_s", table(shown), intro, note(counted), table(values))


def _corpora(size: str) -> str:
    return "mini-SUPERB" if size == "mini" else "SUPERB"


def _provenance_section(sweeps: Sequence[Sweep]) -> str:
    if not sweeps:
        return ""
    same, runs = provenance(sweeps)
    return section(
        "What the numbers were made from",
        table(same, "about"),
        "<h3>What differs between runs</h3>",
        table(runs, "runs"),
    )
