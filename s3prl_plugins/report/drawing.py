"""The relation graph as inline SVG: tasks on a circle, one arrow an edge."""

from __future__ import annotations

import math
from collections.abc import Sequence

from s3prl_plugins.report.graph import NEGLIGIBLE, Edge
from s3prl_plugins.report.markup import escape
from s3prl_plugins.report.scores import COLUMNS, GRAPH_COLUMN

__all__ = ["SIZE", "draw_graph", "edge_text"]

SIZE = 640.0
"""Width and height of the drawing."""
_RADIUS, _NODE = 262.0, 33.0
_BEND = 0.14
"""How far an arrow bows out to its right, in its length: opposite arrows between two tasks lie apart."""
_LABELS = 10
"""Strongest edges that carry their size in writing."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def draw_graph(edges: Sequence[Edge], tasks: Sequence[str], effect: str, widest: float) -> str:
    """The edges of one effect.

    :param effect: `helps` or `hurts`: also the class that colours the arrows.
    :param widest: the change in percent that is drawn widest; widths grow with the root of the change.
    """
    places = {task: _on_circle(index, len(tasks)) for index, task in enumerate(tasks)}
    shown = sorted((edge for edge in edges if edge.effect == effect), key=lambda edge: -abs(edge.change))
    arrows, taken = [], [(x - _NODE, y - _NODE, x + _NODE, y + _NODE) for x, y in places.values()]
    labels = []
    for rank, edge in enumerate(shown):
        start, end = places[edge.source], places[edge.target]
        arrows.append(_arrow(edge, start, end, math.sqrt(abs(float(edge.change)) / (widest or 1))))
        if rank < _LABELS and abs(edge.change) >= 1:
            labels.append(_label(edge, start, end, taken))
    nodes = "".join(
        f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{_NODE}"/>'
        f'<text class="name" x="{x:.1f}" y="{y:.1f}">{task.upper()}</text>'
        for task, (x, y) in places.items()
    )
    title = f"{len(shown)} edges where a task {effect} another"
    return (
        f'<svg class="graph" viewBox="0 0 {SIZE:g} {SIZE:g}" role="img" aria-label="{title}">'
        f"{''.join(arrows)}{nodes}{''.join(labels)}</svg>"
    )


def edge_text(edge: Edge) -> str:
    """An edge in words, for tooltips."""
    metric = GRAPH_COLUMN[edge.target].rpartition("_")[2].upper()
    sure = "" if edge.seeds < 2 else f"; {edge.seeds} seeds" + ("" if edge.p is None else f", p = {edge.p:.3g}")
    verb = "does not change" if edge.effect == "none" else edge.effect
    arrow = "up" if COLUMNS[GRAPH_COLUMN[edge.target]].metric.higher_is_better else "down"
    return (
        f"{edge.source.upper()} {verb} {edge.target.upper()}: {metric} {float(edge.change):+.3f} % "
        f"without {edge.source.upper()} ({arrow} is better{sure})"
    )


def _on_circle(index: int, count: int) -> Point:
    angle = 2 * math.pi * index / count - math.pi / 2
    return SIZE / 2 + _RADIUS * math.cos(angle), SIZE / 2 + _RADIUS * math.sin(angle)


def _control(start: Point, end: Point) -> Point:
    """The control point of the curve: the middle, moved aside."""
    (x0, y0), (x1, y1) = start, end
    return (x0 + x1) / 2 - _BEND * (y1 - y0), (y0 + y1) / 2 + _BEND * (x1 - x0)


def _arrow(edge: Edge, start: Point, end: Point, share: float) -> str:
    """:param share: 0..1, of the greatest width."""
    width = 0.8 + 7.2 * share
    bend = _control(start, end)
    head, half = 7 + 1.5 * width, 3 + 0.95 * width
    tail = _towards(start, bend, _NODE)
    tip = _towards(end, bend, _NODE + 2)
    base = _towards(end, bend, _NODE + 2 + head)
    nx, ny = (tip[1] - base[1]) / head * half, (base[0] - tip[0]) / head * half
    points = (tip, (base[0] + nx, base[1] + ny), (base[0] - nx, base[1] - ny))
    kind = "edge negligible" if abs(edge.change) < NEGLIGIBLE else "edge"
    return (
        f'<g class="{kind} {edge.effect}" opacity="{0.4 + 0.55 * share:.2f}"><title>{escape(edge_text(edge))}</title>'
        f'<path d="M{_xy(tail)}Q{_xy(bend)} {_xy(base)}" stroke-width="{width:.1f}"/>'
        f'<polygon points="{" ".join(map(_xy, points))}"/></g>'
    )


def _label(edge: Edge, start: Point, end: Point, taken: list[Box]) -> str:
    """The size of an edge, at the first place along it that is free; `taken` grows."""
    text = f"{abs(float(edge.change)):.1f} %"
    wide, high = 4.6 * len(text), 9.0
    bend = _control(start, end)
    boxes = []
    for share in (0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73, 0.2, 0.8):
        x, y = ((1 - share) ** 2 * a + 2 * share * (1 - share) * b + share**2 * c for a, b, c in zip(start, bend, end))
        boxes.append((x - wide, y - high, x + wide, y + high))
    box = next((one for one in boxes if not any(_overlap(one, other) for other in taken)), boxes[0])
    taken.append(box)
    return f'<text class="size" x="{(box[0] + box[2]) / 2:.1f}" y="{(box[1] + box[3]) / 2:.1f}">{text}</text>'


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _towards(start: Point, goal: Point, distance: float) -> Point:
    """The point at a distance from `start` on the way to `goal`."""
    length = math.dist(start, goal) or 1.0
    return start[0] + (goal[0] - start[0]) * distance / length, start[1] + (goal[1] - start[1]) * distance / length


def _xy(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"
