"""From one head's output for one recording to its answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.ctc import CtcHead
from s3prl_plugins.heads.diarization_score import decisions
from s3prl_plugins.inference.answers import (
    Choice,
    Diarization,
    Embedding,
    Intent,
    Label,
    Phones,
    Slot,
    SlotFilling,
    Stretch,
    Transcript,
)  # fmt: skip

__all__ = ["Heard", "answer_of", "runs", "slots_of"]


@dataclass(frozen=True)
class Heard:
    """What a head is given, and how its output is to be read."""

    feature: Tensor
    """(frames, dim)."""
    shift: float
    """Seconds a frame lasts."""
    top: int
    """Classes to name at most."""
    calibration: Mapping[str, float]
    """Of the head's task: `threshold` and `median` for SD."""
    slots: tuple[str, ...] = ()
    """Names of the slots of IC or SF."""


def answer_of(task: str, head: Any, heard: Heard) -> Any:
    """The task's field of `Answers`; no gradients, evaluation mode set by the caller."""
    return _ANSWERS[task](head, heard)


def slots_of(marked: str, names: Sequence[str]) -> tuple[str, tuple[Slot, ...]]:
    """Text without marks, and the slots in it.

    :param marked: `PLAY B-artist THE BEATLES E-artist`; marks without their partner are taken out too.
    :param names: of the slots the network knows; nothing else is a mark.
    """
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    pieces = re.split(rf"(B-(?:{known})(?= )|(?<= )E-(?:{known}))", marked) if names else [marked]
    words: list[str] = []
    slots = []
    opened: tuple[str, int] | None = None
    for text, mark in itertools.zip_longest(pieces[::2], pieces[1::2], fillvalue=""):
        words += text.split()
        if mark.startswith("E") and opened is not None and opened[0] == mark[2:] and opened[1] < len(words):
            value = " ".join(words[opened[1] :])
            start = len(" ".join([*words[: opened[1]], ""]))
            slots.append(Slot(mark[2:], value, start, start + len(value)))
        opened = (mark[2:], len(words)) if mark.startswith("B") else None
    return " ".join(words), tuple(slots)


def _ctc(head: CtcHead, heard: Heard) -> tuple[str, list[tuple[str, int, int]]]:
    """The text, and every symbol of the likeliest path with its first frame and one past its last."""
    log_probs, frames = head.log_probs([heard.feature])
    path = log_probs[0, : int(frames[0])].argmax(dim=-1).cpu()
    symbols: list[tuple[str, int, int]] = []
    start = 0
    for index, run in itertools.groupby(path.tolist()):
        stop = start + len(list(run))
        symbols += [(unit, start, stop) for unit in head.vocabulary.units([index])]
        start = stop
    return head.join([unit for unit, _, _ in symbols]), symbols


def _stretch(label: str, first: int, stop: int, shift: float) -> Stretch:
    """From frames to seconds, without what binary fractions add."""
    return Stretch(label, round(first * shift, 6), round(stop * shift, 6))


def _words(symbols: list[tuple[str, int, int]], ends: str, shift: float) -> Iterator[Stretch]:
    letters: list[tuple[str, int, int]] = []
    for symbol in [*symbols, (ends, 0, 0)]:
        if symbol[0] != ends:
            letters.append(symbol)
        elif letters:
            word = "".join(unit for unit, _, _ in letters)
            yield _stretch(word, letters[0][1], letters[-1][2], shift)
            letters = []


def _transcript(head: Any, heard: Heard) -> Transcript:
    from s3prl_plugins.heads.asr import WORD_END

    text, symbols = _ctc(head, heard)
    return Transcript(text, tuple(_words(symbols, WORD_END, heard.shift)))


def _phones(head: Any, heard: Heard) -> Phones:
    text, symbols = _ctc(head, heard)
    return Phones(text, tuple(_stretch(*symbol, heard.shift) for symbol in symbols))


def _slot_filling(head: Any, heard: Heard) -> SlotFilling:
    marked, _ = _ctc(head, heard)
    return SlotFilling(*slots_of(marked, heard.slots), marked)


def _labels(head: Any, heard: Heard) -> list[Label]:
    found = []
    for logits, values in zip(head.logits([heard.feature]), head.values):
        probabilities = logits[0].float().softmax(dim=0).tolist()
        order = logits[0].sort(descending=True, stable=True).indices[: max(heard.top, 1)].tolist()
        choices = tuple(Choice(values[number], probabilities[number]) for number in order)
        found.append(Label(choices[0].label, choices[0].probability, choices))
    return found


def _label(head: Any, heard: Heard) -> Label:
    return _labels(head, heard)[0]


def _intent(head: Any, heard: Heard) -> Intent:
    return Intent(dict(zip(heard.slots, _labels(head, heard))))


def _embedding(head: Any, heard: Heard) -> Embedding:
    [prediction] = head.predict([heard.feature], [_ANYTHING])
    return Embedding(tuple(prediction.output.tolist()))


def _diarization(head: Any, heard: Heard) -> Diarization:
    [prediction] = head.predict([heard.feature], [_ANYTHING])
    threshold, median = heard.calibration.get("threshold", 0.5), int(heard.calibration.get("median", 1))
    active = decisions(prediction.output, threshold, median)
    shift = heard.shift / head.repeats
    turns = [
        _stretch(str(number), start, stop, shift)
        for number, column in enumerate(active.T, 1)
        for start, stop in runs(column.tolist())
    ]
    return Diarization(tuple(sorted(turns, key=lambda turn: (turn.start, turn.label))))


def runs(active: Sequence[bool]) -> list[tuple[int, int]]:
    """First index of every run of true values, and one past its last."""
    padded = [False, *active, False]
    edges = [index for index in range(len(active) + 1) if padded[index] != padded[index + 1]]
    return list(zip(edges[::2], edges[1::2]))


_ANYTHING = Example("", Path(), 0.0, None)
_ANSWERS: dict[str, Callable[[Any, Heard], Any]] = {
    "asr": _transcript, "pr": _phones, "sf": _slot_filling, "sd": _diarization, "er": _label, "ic": _intent,
    "ks": _label, "asv": _embedding, "sid": _label,
}  # fmt: skip
