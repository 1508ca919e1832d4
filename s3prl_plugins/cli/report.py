"""`s3prl-plugins report`: the table, the relation graph and the page of sweeps; or the graph of a table alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from s3prl_plugins.errors import UserError

if TYPE_CHECKING:
    from s3prl_plugins.report.sweep import Sweep

_EXAMPLES = """examples:
  s3prl-plugins report result/seed1                       table, graph and page of one seed, in result/seed1/report
  s3prl-plugins report result/seed1 result/seed2 result/seed3 -o docs/results
  s3prl-plugins report result/seed1/all_task              the page of one run, in its folder
  s3prl-plugins report --table table1.csv --edges edges.csv
"""
_BRACKETS = "In brackets: relative change of the score when that task is left out"
_FORMATS = ("csv", "md", "tex", "edges", "svg", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="DIR", help="folder of a sweep (one seed each), or of a single run"
    )
    parser.add_argument("--table", type=Path, metavar="CSV", help="a table in the form of the paper's Table 1 instead")
    parser.add_argument("--edges", type=Path, metavar="OUT.csv", help="with --table: where its relation graph goes")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: the first DIR/report")
    parser.add_argument(
        "--formats", nargs="+", choices=_FORMATS, default=_FORMATS, help="files to write (default: all)"
    )
    parser.add_argument(
        "--superb-s-reference", type=Path, metavar="FILE", help="YAML with other reference values of superb_s"
    )


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.report.sweep import is_sweep, read_sweep

    if bool(args.table) == bool(args.folders):
        raise UserError("report takes either folders or --table CSV; name one of the two")
    if args.table:
        return _report_table(args)
    if args.edges:
        raise UserError("--edges goes with --table; the graph of folders is edges.csv in the output folder")
    if len({folder.resolve() for folder in args.folders}) < len(args.folders):
        raise UserError(f"a folder is named twice: {', '.join(map(str, args.folders))}; name each once")
    sweeps = [folder for folder in args.folders if is_sweep(folder)]
    if not sweeps:
        return _report_runs(args)
    for folder in args.folders:
        if folder not in sweeps:
            raise UserError(f"{folder} is no sweep, the other folders are; report it apart")
    return _report_sweeps(args, [read_sweep(folder) for folder in args.folders])


def _report_table(args: argparse.Namespace) -> int:
    """The graph of a table; with -o its other forms too."""
    from s3prl_plugins.report.files import write_report
    from s3prl_plugins.report.findings import graph_findings
    from s3prl_plugins.report.graph import relation_graph
    from s3prl_plugins.report.reading import read_table
    from s3prl_plugins.report.superb_s import read_reference
    from s3prl_plugins.report.writing import write_text

    scores = read_table(args.table)
    graph = relation_graph(scores)
    if graph.gaps:
        raise UserError(f"{args.table}: {graph.gaps[0]}; the graph needs all_task, and each task left out")
    print(_BRACKETS + ".")
    print("\n".join(graph_findings(graph)))
    written = [write_text(args.edges, graph.to_csv())] if args.edges else []
    if args.output:
        written += write_report(args.output, args.formats, scores, (), read_reference(args.superb_s_reference))[1]
    for path in written:
        print(f"written: {path}")
    return 0


def _report_runs(args: argparse.Namespace) -> int:
    """A page for each run."""
    from s3prl_plugins.report.page import read_results, write_page
    from s3prl_plugins.report.table import results_table

    if args.output and len(args.folders) > 1:
        raise UserError(
            "-o takes the page of one run, found several; leave it out, each page goes into its run's folder"
        )
    for folder in args.folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; pass that of a sweep (finetune -p) or of a run")
        splits = read_results(folder)["scores"]
        print(results_table({(task, split): one for task in splits for split, one in splits[task].items()}))
        page = write_page(folder, args.output / "report.html" if args.output else None)
        print(f"written: {page}")
    return 0


def _report_sweeps(args: argparse.Namespace, sweeps: list[Sweep]) -> int:
    """One table over all sweeps."""
    from s3prl_plugins.report.files import write_report
    from s3prl_plugins.report.findings import graph_findings, scenario_findings
    from s3prl_plugins.report.formats import terminal
    from s3prl_plugins.report.graph import relation_graph
    from s3prl_plugins.report.provenance import seed_notes
    from s3prl_plugins.report.superb_s import read_reference
    from s3prl_plugins.report.sweep import score_table

    scores = score_table(sweeps)
    folder = args.output or args.folders[0] / "report"
    paper, written = write_report(folder, args.formats, scores, sweeps, read_reference(args.superb_s_reference))
    print(terminal(paper))
    graph = graph_findings(relation_graph(scores))
    legend = [f"{_BRACKETS}; * passes the paired test over seeds:"] if graph else []
    print("\n".join(["", *scenario_findings(scores), "", *legend, *graph, *seed_notes(sweeps)]))
    for sweep in sweeps:
        if sweep.missing:
            print(f"not there yet in {sweep.name}: {', '.join(sweep.missing)}")
    for path in written:
        print(f"written: {path}")
    return 0
