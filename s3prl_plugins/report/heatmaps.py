"""Numbers on coloured grids: the relation graph task by task, and layer weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from s3prl_plugins.report.drawing import edge_text
from s3prl_plugins.report.graph import Edge
from s3prl_plugins.report.markup import escape
from s3prl_plugins.report.significance import LEVEL

__all__ = ["relation_map", "signed_map", "weight_map"]


def relation_map(edges: Sequence[Edge], tasks: Sequence[str], widest: float) -> str:
    """A row for each task left out, a column for each task scored.

    :param widest: the change in percent with the fullest colour; colour grows with the root of the change.
    """
    lookup = {(edge.source, edge.target): edge for edge in edges}
    head = "".join(f"<th scope=col>{task.upper()}</th>" for task in tasks)
    rows = "".join(
        f"<tr><th scope=row>without {source.upper()}</th>"
        + "".join(_relation(lookup.get((source, target)), source == target, widest) for target in tasks)
        + "</tr>\n"
        for source in tasks
    )
    return f"<div class=scroll><table class=map><thead><tr><th></th>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"


def _relation(edge: Edge | None, own: bool, widest: float) -> str:
    if edge is None:
        return f"<td class=blank>{'' if own else '?'}</td>"
    depth = 0.62 * math.sqrt(min(abs(float(edge.change)) / (widest or 1), 1))
    digits = 1 if abs(edge.change) >= 10 else 2
    sure = " sure" if edge.p is not None and edge.p < LEVEL else ""
    return (
        f'<td class="{edge.effect}{sure}" style="--a:{depth:.2f}" title="{escape(edge_text(edge))}">'
        f"{float(edge.change):+.{digits}f}</td>"
    )


def weight_map(weights: Mapping[str, Sequence[float]], most: float) -> str:
    """A row for each task, a column for each hidden state, in percent: every row sums to 100.

    :param weights: task -> one weight a hidden state.
    :param most: the weight with the fullest colour.
    """
    layers = max(map(len, weights.values()))
    head = "".join(f"<th scope=col>{layer}</th>" for layer in range(layers))
    rows = "".join(
        f"<tr><th scope=row>{task.upper()}</th>"
        + "".join(f'<td class=weight style="--a:{0.7 * one / most:.2f}">{100 * one:.0f}</td>' for one in row)
        + "</tr>\n"
        for task, row in weights.items()
    )
    return f"<table class=map><thead><tr><th></th>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"


def signed_map(
    values: Mapping[tuple[str, str], float], rows: Sequence[str], columns: Sequence[str], rows_title: str = ""
) -> str:
    """Numbers around zero, positive ones blue, negative ones orange; colour grows with the root of the number.

    :param values: (row, column) -> number; a cell without one stays empty.
    :param rows_title: what stands before the name of each row.
    """
    widest = max(map(abs, values.values()), default=1.0) or 1.0
    head = "".join(f"<th scope=col>{escape(name.upper())}</th>" for name in columns)
    body = "".join(
        f"<tr><th scope=row>{escape(rows_title + row.upper())}</th>"
        + "".join(_signed(values.get((row, column)), widest) for column in columns)
        + "</tr>\n"
        for row in rows
    )
    return f"<div class=scroll><table class=map><thead><tr><th></th>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def _signed(value: float | None, widest: float) -> str:
    if value is None:
        return "<td class=blank></td>"
    depth = 0.62 * math.sqrt(abs(value) / widest)
    digits = 2 if widest >= 0.1 else 3
    return f'<td class="{"helps" if value >= 0 else "hurts"}" style="--a:{depth:.2f}">{value:+.{digits}f}</td>'
