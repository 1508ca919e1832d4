"""Answers as text: for people, JSON, RTTM, Praat's TextGrid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from s3prl_plugins.errors import printable
from s3prl_plugins.inference.answers import Answers, Label, Stretch

__all__ = ["rttm", "text", "textgrid"]


def text(answers: Answers) -> str:
    """One line a task under the recording's name."""
    lines = [
        f"{printable(answers.name)} ({answers.seconds:.2f} s)",
        *(f"  {task:4} {line}" for task, line in _lines(answers)),
    ]
    return "\n".join(lines) + "\n"


def rttm(answers: Answers) -> str:
    """NIST's RTTM, a line for each turn; the recording is called by its file's stem."""
    assert answers.sd is not None
    name = printable(re.sub(r"\s", "_", Path(answers.name).stem)) or "_"
    return "".join(
        f"SPEAKER {name} 1 {turn.start:.3f} {turn.stop - turn.start:.3f} <NA> <NA> speaker{turn.label} <NA> <NA>\n"
        for turn in answers.sd.turns
    )


def textgrid(answers: Answers) -> str:
    """Praat's long text format: tiers `words`, `phones` and one for each speaker; silent intervals are empty."""
    tiers: list[tuple[str, Sequence[Stretch]]] = []
    if answers.asr is not None:
        tiers.append(("words", answers.asr.words))
    if answers.pr is not None:
        tiers.append(("phones", answers.pr.phones))
    if answers.sd is not None:
        for speaker in sorted({turn.label for turn in answers.sd.turns}):
            tiers.append((f"speaker{speaker}", [turn for turn in answers.sd.turns if turn.label == speaker]))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {answers.seconds:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, stretches) in enumerate(tiers, 1):
        intervals = list(_filled(stretches, answers.seconds))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {answers.seconds:.6f}"]
        lines.append(f"        intervals: size = {len(intervals)}")
        for place, part in enumerate(intervals, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {part.start:.6f}"]
            quoted = part.label.replace('"', '""')
            lines += [f"            xmax = {part.stop:.6f}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


def _filled(stretches: Sequence[Stretch], seconds: float) -> Iterator[Stretch]:
    """The stretches and, between them, empty ones, so that everything from 0 to the end is covered."""
    time = 0.0
    for part in stretches:
        start, stop = max(part.start, time), min(part.stop, seconds)
        if start >= stop:
            continue
        if start > time:
            yield Stretch("", time, start)
        yield Stretch(part.label, start, stop)
        time = stop
    if time < seconds:
        yield Stretch("", time, seconds)


def _lines(answers: Answers) -> Iterator[tuple[str, str]]:
    if answers.asr is not None:
        yield "asr", answers.asr.text
    if answers.pr is not None:
        yield "pr", answers.pr.text
    if answers.sf is not None:
        slots = "".join(f"  [{slot.name}: {slot.value}]" for slot in answers.sf.slots)
        yield "sf", answers.sf.text + slots
    if answers.sd is not None:
        turns = [f"{turn.label}: {turn.start:.2f}-{turn.stop:.2f}" for turn in answers.sd.turns]
        yield "sd", ", ".join(turns) or "nobody speaks"
    for task, label in (("er", answers.er), ("ks", answers.ks), ("sid", answers.sid)):
        if label is not None:
            yield task, _choices(label)
    if answers.ic is not None:
        yield (
            "ic",
            "; ".join(f"{slot} {label.label} {label.probability:.2f}" for slot, label in answers.ic.slots.items()),
        )
    if answers.asv is not None:
        yield "asv", f"embedding of {len(answers.asv.vector)} values"


def _choices(label: Label) -> str:
    return ", ".join(f"{choice.label} {choice.probability:.2f}" for choice in label.top)
