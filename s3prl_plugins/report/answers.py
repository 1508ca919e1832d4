"""One head's answer for one utterance, as a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

__all__ = ["answer_text", "runs", "segments"]


def answer_text(answer: Any, stretch: float) -> str:
    """Words and classes as they are; speaker activity as segments; an embedding as its size.

    :param answer: `Prediction.output`.
    :param stretch: seconds a frame lasts, for logits (frames, speakers).
    """
    if isinstance(answer, Tensor) and answer.dim() == 2:
        return "  ".join(
            f"speaker {number}: "
            + (", ".join(f"{start:.2f}-{stop:.2f} s" for start, stop in segments(column, stretch)) or "-")
            for number, column in enumerate(answer.T, 1)
        )
    if isinstance(answer, Tensor):
        return f"embedding of {answer.numel()} values"
    return " ".join(answer) if isinstance(answer, tuple) else str(answer)


def segments(logits: Tensor, stretch: float) -> list[tuple[float, float]]:
    """Start and end in seconds of every run of frames with probability above one half.

    :param logits: (frames,).
    """
    return [(start * stretch, stop * stretch) for start, stop in runs((logits > 0).tolist())]


def runs(active: Sequence[bool]) -> list[tuple[int, int]]:
    """First index of every run of true values, and one past its last."""
    padded = [False, *active, False]
    edges = [index for index in range(len(active) + 1) if padded[index] != padded[index + 1]]
    return list(zip(edges[::2], edges[1::2]))
