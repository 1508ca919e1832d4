"""Waveform, speakers, words and phones of a recording on one time axis, as HTML.

Places along the axis are percentages, so that the figure fills any width; below its natural width it scrolls sideways.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.inference.answers import Answers, Stretch
from s3prl_plugins.report.markup import escape

__all__ = ["figure", "lanes"]

_SCALE, _NARROWEST = 140.0, 640.0
"""Pixels that a second has, and the whole axis, at least."""
_LETTER, _MARGIN = 8.3, 9.0
"""Width of a letter and of what is around a label, in pixels."""
_COLUMNS = 4000
"""Columns of the waveform at most."""
_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between ticks."""
_COLOURS = 6


def figure(wave: Tensor, answers: Answers) -> str:
    """One row for the waveform, one for each speaker, one for words, one for phones; those without an answer left out.

    :param wave: (samples,) at 16 kHz.
    """
    seconds = answers.seconds
    rows = [_row("wave", "Signal", _waveform(wave))]
    if answers.sd is not None:
        speakers = sorted({turn.label for turn in answers.sd.turns})
        for number, speaker in enumerate(speakers):
            turns = [turn for turn in answers.sd.turns if turn.label == speaker]
            bars = "".join(_bar(turn, seconds, f"speaker {speaker}") for turn in turns)
            rows.append(_row(f"turns c{number % _COLOURS}", f"Speaker {speaker}", bars))
        if not speakers:
            rows.append(_row("turns", "Speakers", "<i>nobody speaks</i>"))
    if answers.asr is not None:
        rows.append(_labels("words", "Words", answers.asr.words, seconds))
    if answers.pr is not None:
        rows.append(_labels("phones", "Phones", answers.pr.phones, seconds))
    width = math.ceil(seconds * _scale(seconds))
    return (
        f'<div class=figure role=group tabindex=0 aria-label="Waveform and tracks of {escape(answers.name)}"><div class=rows '
        f'style="min-width:{width}px">{_axis(seconds)}{"".join(rows)}</div></div>'
    )


def lanes(stretches: Sequence[Stretch], seconds: float) -> list[int]:
    """For each label the first line on which it covers no other at the figure's smallest scale."""
    ends: list[float] = []
    found = []
    for part in stretches:
        left, right = _extent(part, seconds)
        lane = next((number for number, end in enumerate(ends) if end <= left), len(ends))
        ends[lane : lane + 1] = [right]
        found.append(lane)
    return found


def _scale(seconds: float) -> float:
    """Pixels that a second has at least."""
    return max(_SCALE, _NARROWEST / seconds)


def _extent(part: Stretch, seconds: float) -> tuple[float, float]:
    """Pixels from where to where a label is drawn; at the end of the figure it is moved left to fit in."""
    width, scale = len(part.label) * _LETTER + _MARGIN, _scale(seconds)
    left = part.start * scale
    return (max(seconds * scale - width, 0.0), seconds * scale) if _late(part, seconds) else (left, left + width)


def _late(part: Stretch, seconds: float) -> bool:
    """Whether a label would stand out at the end of the figure."""
    return len(part.label) * _LETTER + _MARGIN > (seconds - part.start) * _scale(seconds)


def _row(kind: str, title: str, content: str, lines: int = 1) -> str:
    return (
        f'<div class="row {kind}"><span class=title>{escape(title)}</span>'
        f'<div class=track style="--lines:{lines}">{content}</div></div>'
    )


def _percent(time: float, seconds: float) -> str:
    return f"{100 * min(max(time / seconds, 0.0), 1.0):.3f}%"


def _bar(part: Stretch, seconds: float, what: str) -> str:
    tip = f"{what}, {part.start:.2f} to {part.stop:.2f} s"
    left, width = _percent(part.start, seconds), _percent(min(part.stop, seconds) - part.start, seconds)
    return f'<b style="left:{left};width:{width}" title="{escape(tip)}"></b>'


def _labels(kind: str, title: str, parts: Sequence[Stretch], seconds: float) -> str:
    places = lanes(parts, seconds)
    items = []
    for part, lane in zip(parts, places):
        side = "late" if _late(part, seconds) else ""
        at = "right:0" if side else f"left:{_percent(part.start, seconds)}"
        tip = escape(f"{part.label}, {part.start:.2f} to {part.stop:.2f} s")
        items.append(_bar(part, seconds, part.label))
        items.append(f'<span style="{at};--lane:{lane}" title="{tip}">{escape(part.label)}</span>')
    return _row(kind, title, "".join(items) or "<i>none heard</i>", max(places, default=0) + 1)


def _waveform(wave: Tensor) -> str:
    """Greatest and least sample of each column, filled; the largest of all reaches the edge."""
    samples = wave.cpu().numpy()
    columns = min(_COLUMNS, max(math.ceil(len(samples) / SAMPLE_RATE * _SCALE), 800), len(samples))
    starts = np.linspace(0, len(samples), columns, endpoint=False).astype(np.int64)
    peak = float(np.abs(samples).max()) or 1.0
    top = 50 - 48 / peak * np.maximum.reduceat(samples, starts)
    bottom = 50 - 48 / peak * np.minimum.reduceat(samples, starts)
    forth = "L".join(f"{column} {y:.1f}" for column, y in enumerate(top))
    back = "L".join(f"{column} {bottom[column]:.1f}" for column in range(columns - 1, -1, -1))
    return f'<svg viewBox="0 0 {columns - 1} 100" preserveAspectRatio="none"><path d="M{forth}L{back}Z"/></svg>'


def _axis(seconds: float) -> str:
    ticks = "".join(
        f'<span style="left:{_percent(time, seconds)}">{time:g} s</span>' for time in _ticks(seconds)
    )  # fmt: skip
    return _row("axis", "", ticks)


def _ticks(seconds: float) -> Iterator[float]:
    """At most twelve, or one a second; none so near to the end that its writing would stand out."""
    step = next(step for step in _STEPS if step >= 1 or seconds / step <= 12)
    for number in range(math.ceil(seconds / step)):
        if number == 0 or (seconds - number * step) * _scale(seconds) > 30:
            yield round(number * step, 1)
