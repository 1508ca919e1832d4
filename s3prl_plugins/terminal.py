"""What goes to the terminal."""

from __future__ import annotations

import io
import sys

__all__ = ["write_any_letter"]


def write_any_letter() -> None:
    """Let stdout write what its encoding lacks, such as bytes of a file's name that are no UTF-8, as Python does: `\\udcff`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
