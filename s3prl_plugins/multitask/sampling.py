"""Which utterances go together: batches of similar length, within a count and a budget of seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

__all__ = ["balanced_order", "batches_in_order", "training_batches"]


def batches_in_order(
    seconds: Sequence[float], order: Sequence[int], size: int, budget: float | None
) -> list[list[int]]:
    """Cut `order` into batches of at most `size` utterances and `budget` seconds; one longer utterance goes alone.

    :param seconds: length of every utterance.
    :param order: indices into `seconds`.
    """
    batches: list[list[int]] = []
    room, total = 0, 0.0
    for index in order:
        total += seconds[index]
        if not batches or room == 0 or (budget is not None and total > budget):
            batches.append([])
            room, total = size, seconds[index]
        batches[-1].append(index)
        room -= 1
    return batches


def training_batches(
    seconds: Sequence[float],
    order: Sequence[int],
    size: int,
    budget: float | None,
    generator: torch.Generator,
    pool: int = 32,
) -> list[list[int]]:
    """Batches of one epoch: `order` (already random) is cut into pools, each sorted by length; batches then shuffled.

    :param pool: batches whose utterances are sorted together (`BatchConfig.bucket`); 1 keeps batches as `order` has them.
    """
    batches: list[list[int]] = []
    for start in range(0, len(order), pool * size):
        alike = sorted(order[start : start + pool * size], key=lambda index: seconds[index])
        batches += batches_in_order(seconds, alike, size, budget)
    shuffled: Tensor = torch.randperm(len(batches), generator=generator)
    return [batches[i] for i in shuffled.tolist()]


def balanced_order(classes: Sequence[Hashable], generator: torch.Generator) -> list[int]:
    """As many draws with replacement as there are utterances, every class equally likely (SUPERB's KS)."""
    counts = Counter(classes)
    weights = torch.tensor([1.0 / counts[name] for name in classes], dtype=torch.float64)
    drawn: Tensor = torch.multinomial(weights, len(classes), replacement=True, generator=generator)
    return [int(index) for index in drawn]
