"""Learning curves of a run as an inline SVG picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from s3prl_plugins.errors import UserError
from s3prl_plugins.logs import task_metric
from s3prl_plugins.superb.cards import card

__all__ = ["learning_curves"]

_COLUMNS = 3


def learning_curves(entries: Sequence[dict[str, float]], tasks: Sequence[str]) -> str:
    """One small picture a task: training and dev loss over steps, as an `<svg>` element.

    :param entries: lines of `metrics.jsonl`.
    :raises UserError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("learning curves need matplotlib: pip install 's3prl-plugins[plots]'") from error
    rows = -(-len(tasks) // _COLUMNS)
    figure = Figure(figsize=(3.2 * _COLUMNS, 2.2 * rows), layout="constrained")
    for place, task in enumerate(tasks, 1):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        for split, style in (("train", "-"), (card(task).dev, "o--")):
            name = task_metric(split, task, "loss")
            points = [(entry["step"], entry[name]) for entry in entries if name in entry]
            if points:
                axes.plot(*zip(*points), style, markersize=4, linewidth=1.2, label=split)
        axes.set_title(f"{task}: loss", fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7)
    figure.supxlabel("step", fontsize=8)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
