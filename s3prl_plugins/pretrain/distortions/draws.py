"""Single draws from a generator on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

__all__ = ["draw_integer", "draw_one", "draw_seed", "draw_uniform"]

T = TypeVar("T")


def draw_integer(low: int, high: int, random: torch.Generator) -> int:
    """Any of low, ..., high."""
    return int(torch.randint(low, high + 1, (), generator=random))


def draw_seed(random: torch.Generator) -> int:
    """A seed for other generators."""
    return draw_integer(0, 2**62, random)


def draw_uniform(low: float, high: float, random: torch.Generator) -> float:
    """A number from low to high."""
    return low + (high - low) * float(torch.rand((), generator=random))


def draw_one(values: Sequence[T], random: torch.Generator) -> T:
    """One of the values, each as likely."""
    return values[draw_integer(0, len(values) - 1, random)]
