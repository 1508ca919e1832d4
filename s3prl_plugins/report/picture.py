"""The relation graph as a picture of its own, for a README or a slide."""

from __future__ import annotations

from collections.abc import Sequence

from s3prl_plugins.report.drawing import SIZE, draw_graph
from s3prl_plugins.report.graph import Graph

__all__ = ["EFFECTS", "graph_picture"]

EFFECTS = (("helps", "B helps A: A is worse without B"), ("hurts", "B hurts A: A is better without B"))
"""Effect and the title of its graph."""
_HEAD = 70
_STYLE = """
text { font-family: system-ui, sans-serif; fill: #1d2330; text-anchor: middle; dominant-baseline: central; }
.title { font-size: 24px; font-weight: 600; }
.node { fill: #fff; stroke: #5c6676; stroke-width: 1.5; }
.name { font-size: 17px; font-weight: 650; }
.size { font-size: 13.5px; font-weight: 600; paint-order: stroke; stroke: #fff; stroke-width: 5px; stroke-linejoin: round; }
.edge path { fill: none; stroke: currentColor; }
.edge polygon { fill: currentColor; }
.helps { color: #1d63c4; }
.hurts { color: #cb5410; }
.negligible path { stroke-dasharray: 4 4; }
"""


def graph_picture(graph: Graph, tasks: Sequence[str]) -> str:
    """Both graphs side by side as an SVG file, on white; it needs no style of a page."""
    widest = max((abs(float(edge.change)) for edge in graph.edges), default=1.0)
    halves = "".join(
        f'<g transform="translate({place * SIZE:g} 0)"><text class="title" x="{SIZE / 2:g}" y="{_HEAD / 2:g}">{title}</text>'
        f'<svg y="{_HEAD}" width="{SIZE:g}" height="{SIZE:g}">{draw_graph(graph.edges, tasks, effect, widest)}</svg></g>'
        for place, (effect, title) in enumerate(EFFECTS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * SIZE:g} {SIZE + _HEAD:g}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{halves}</svg>\n'
    )
