"""Horizontal bars as inline SVG, coloured by the style of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s3prl_plugins.report.markup import escape

__all__ = ["Bar", "bar_chart"]

_LEFT, _WIDTH, _RIGHT, _ROW, _THICK = 150.0, 400.0, 90.0, 26.0, 15.0


@dataclass(frozen=True)
class Bar:
    """One row."""

    name: str
    value: float
    text: str
    error: float = 0.0
    """Drawn as a line around the end of the bar."""
    tick: float | None = None
    """A second value, drawn as a short upright line."""


def bar_chart(bars: Sequence[Bar], title: str) -> str:
    """Bars from 0, to the left where negative, on one scale."""
    ends = [end for bar in bars for end in (bar.value - bar.error, bar.value + bar.error, bar.tick or 0.0)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    scale = _WIDTH / ((high - low) or 1.0)

    def x(value: float) -> float:
        return _LEFT + (value - low) * scale

    rows = []
    for index, bar in enumerate(bars):
        top, middle = index * _ROW + (_ROW - _THICK) / 2, (index + 0.5) * _ROW
        left, right = sorted((x(0.0), x(bar.value)))
        rows.append(
            f'<text x="{_LEFT - 8:g}" y="{middle:.1f}" text-anchor="end" dominant-baseline="central">{escape(bar.name)}</text>'
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{_THICK:g}" rx="2" '
            f'style="fill:rgb(var(--weight) / .45)"><title>{escape(f"{bar.name}: {bar.text}")}</title></rect>'
        )
        if bar.error:
            rows.append(
                f'<path d="M{x(bar.value - bar.error):.1f} {middle:.1f}H{x(bar.value + bar.error):.1f}" '
                'style="stroke:var(--ink);stroke-width:1.5"/>'
            )
        if bar.tick is not None:
            rows.append(
                f'<path d="M{x(bar.tick):.1f} {top - 3:.1f}V{top + _THICK + 3:.1f}" '
                'style="stroke:rgb(var(--hurts));stroke-width:2"/>'
            )
        rows.append(
            f'<text class=soft x="{_LEFT + _WIDTH + 8:g}" y="{middle:.1f}" dominant-baseline="central">{escape(bar.text)}</text>'
        )
    height = len(bars) * _ROW
    size = f"0 0 {_LEFT + _WIDTH + _RIGHT:g} {height:g}"
    return f'<svg viewBox="{size}" font-size="13" style="margin:0" role=img aria-label="{escape(title)}">{"".join(rows)}</svg>'
