"""Learning curves as small inline SVG pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from s3prl_plugins.logs import task_metric
from s3prl_plugins.report.markup import escape
from s3prl_plugins.superb.cards import card

__all__ = ["Line", "learning_curves", "loss_points", "panels"]

_WIDTH, _HEIGHT = 320.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 8.0, 22.0, 22.0
_MOST = 150
"""Points drawn of a line; more are averaged in stretches."""
_LEAST = 1e-30
"""Where no value is higher, the axis goes up to 1."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One curve."""

    kind: str
    """Class of the style sheet, and key of the legend."""
    points: Points
    """(step, value)."""
    dots: bool = False
    """Draw the points themselves: few measurements rather than a course."""


def loss_points(entries: Sequence[Mapping[str, float]], task: str, split: str) -> Points:
    """(step, loss) of a task on a split from lines of `metrics.jsonl`."""
    name = task_metric(split, task, "loss")
    return [(entry["step"], entry[name]) for entry in entries if name in entry]


def learning_curves(entries: Sequence[Mapping[str, float]], tasks: Sequence[str]) -> str:
    """One small picture a task: training and dev loss of one run over steps."""
    lines = {
        task: [
            Line("all_task", loss_points(entries, task, "train")),
            Line("dev", loss_points(entries, task, card(task).dev), dots=True),
        ]
        for task in tasks
    }
    return panels(lines, {"all_task": "train", "dev": "dev"})


def panels(lines: Mapping[str, Sequence[Line]], legend: Mapping[str, str]) -> str:
    """A legend and one picture a task, side by side as the window allows."""
    keys = "".join(f"<li class={kind}><span>{escape(name)}</span></li>" for kind, name in legend.items())
    pictures = "\n".join(_panel(f"{task.upper()}: loss", ones) for task, ones in lines.items())
    return f"<ul class=key>{keys}</ul>\n<div class=panels>{pictures}</div>"


def _panel(title: str, lines: Sequence[Line]) -> str:
    thin = [Line(line.kind, _thinned(line.points), line.dots) for line in lines]
    finite = [point for line in thin for point in line.points if math.isfinite(point[1])]
    right = max(1, max((step for step, _ in finite), default=1))
    highest = max((value for _, value in finite), default=1)
    top = highest if highest > _LEAST else 1

    def place(step: float, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / right
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / (top * 1.05)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<text x="{_LEFT}" y="13" font-weight="600">{escape(title)}</text>']
    for value in _ticks(top):
        parts.append(f'<polyline class=frame points="{place(0, value)} {place(right, value)}"/>')
        x, y = place(0, value).split(",")
        parts.append(
            f'<text class=soft x="{float(x) - 4:.1f}" y="{float(y) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for step in _ticks(right):
        x = place(step, 0).split(",")[0]
        end = "end" if step > 0.9 * right else "middle"
        parts.append(f'<text class=soft x="{x}" y="{_HEIGHT - 6}" text-anchor="{end}">{_short(step)}</text>')
    for line in thin:
        points = [place(*point) for point in line.points if math.isfinite(point[1])]
        if len(points) > 1:
            dotted = " dotted" if line.dots else ""
            parts.append(f'<polyline class="line {line.kind}{dotted}" points="{" ".join(points)}"/>')
        if line.dots or len(points) == 1:
            dots = "".join('<circle cx="{}" cy="{}" r="2.6"/>'.format(*point.split(",")) for point in points)
            parts.append(f"<g class={line.kind}>{dots}</g>")
    if not finite:
        parts.append(f'<text class=soft x="{_WIDTH / 2}" y="{_HEIGHT / 2}" text-anchor="middle">not logged</text>')
    return (
        f'<figure><svg class=curve viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role=img aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _thinned(points: Points) -> Points:
    size = math.ceil(len(points) / _MOST)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _ticks(top: float) -> list[float]:
    """Zero and a few round values up to `top`.

    >>> _ticks(7.3)
    [0.0, 2.0, 4.0, 6.0]
    """
    unit = 10.0 ** math.floor(math.log10(top / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if top / (unit * factor) <= 5)
    return [round(step * index, 12) for index in range(math.floor(top / step * (1 + 1e-9)) + 1)]


def _short(step: float) -> str:
    return f"{step / 1000:g}k" if step >= 10000 else f"{step:g}"
