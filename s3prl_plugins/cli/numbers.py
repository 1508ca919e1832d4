"""Numbers on the command line, with their ranges."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["not_negative", "positive", "whole"]

_MOST = 10**15
"""No count comes near it."""


def whole(least: int, most: int = _MOST) -> Callable[[str], int]:
    """A whole number in a range, for `type` of an argument."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, found {text[:80]!r}") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, found {text[:80]}")
        if value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most:,}, found {text[:80]}")
        return value

    return convert


def positive(text: str) -> float:
    """A number above 0, for `type` of an argument."""
    value = not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"must be above 0, found {text[:80]}")
    return value


def not_negative(text: str) -> float:
    """A number from 0 on, for `type` of an argument."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, found {text[:80]!r}") from None
    if not 0 <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"must be at least 0 and at most {_MOST:,}, found {value}")
    return value
