"""The parts of the page that come from inside the runs: layer weights and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from s3prl_plugins.logs import read_metrics
from s3prl_plugins.report.curves import Line, loss_points, panels
from s3prl_plugins.report.heatmaps import weight_map
from s3prl_plugins.report.layers import layer_weights
from s3prl_plugins.report.markup import note, section
from s3prl_plugins.report.sweep import Sweep

__all__ = ["curves_section", "layers_section"]

_TITLES = {
    "ssl": "(a) encoder frozen, one head alone",
    "all_task": "(b-1) all tasks jointly",
    "leave_one_out": "(b-2) one task left out, mean of the runs",
    "transfer": "(c) transfer to an unseen task",
}


def layers_section(sweeps: Sequence[Sweep], tasks: Sequence[str]) -> str:
    """The weights of each scenario, averaged over seeds (and over runs, where a scenario trains a task in several)."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for sweep in sweeps:
        for name, run in sweep.runs.items():
            scenario = name.partition("/")[0]
            if scenario in _TITLES:
                for task, weights in layer_weights(run.folder, run.step).items():
                    found.setdefault(scenario, {}).setdefault(task, []).append(weights)
    means = {
        scenario: {task: [fmean(column) for column in zip(*rows[task])] for task in tasks if task in rows}
        for scenario, rows in found.items()
    }
    most = max((weight for rows in means.values() for row in rows.values() for weight in row), default=1.0)
    parts = [
        f"<div><h3>{title}</h3>{weight_map(means[scenario], most)}</div>"
        for scenario, title in _TITLES.items()
        if means.get(scenario)
    ]
    if not parts:
        return ""
    text = (
        "How much of each hidden state a task's features take, in percent. State 0 enters the first layer, the last "
        "one leaves the top. Means over seeds."
    )
    return section("Layer weights", note(text), f"<div class=maps>{''.join(parts)}</div>")


def curves_section(sweeps: Sequence[Sweep], tasks: Sequence[str]) -> str:
    """Training losses of the three scenarios in which a task is trained for its own sake, a line a seed."""
    lines: dict[str, list[Line]] = {task: [] for task in tasks}
    for sweep in sweeps:
        logs = {
            name: read_metrics(run.folder) for name, run in sweep.runs.items() if not name.startswith("leave_one_out")
        }
        for task in tasks:
            for scenario, name in (("ssl", f"ssl/{task}"), ("all_task", "all_task"), ("transfer", f"transfer/{task}")):
                points = loss_points(logs.get(name, []), task, "train")
                lines[task] += [Line(scenario, points)] if points else []
    kinds = {line.kind for ones in lines.values() for line in ones}
    if not kinds:
        return ""
    text = (
        "Training loss over steps, each line one run. Steps of the scenarios are not the same amount of data, and the "
        "leave-one-out runs are not drawn."
    )
    legend: dict[str, str] = {kind: _TITLES[kind] for kind in ("ssl", "all_task", "transfer") if kind in kinds}
    return section("Learning curves", note(text), panels(lines, legend))
