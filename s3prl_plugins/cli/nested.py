"""Commands of a command, one module each."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import ModuleType

__all__ = ["add_nested", "run_nested"]


def add_nested(parser: argparse.ArgumentParser, commands: Mapping[str, tuple[ModuleType, str]]) -> None:
    """:param commands: name -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)."""
    nested = parser.add_subparsers(dest="nested", metavar="|".join(commands), required=True)
    for name, (module, help_line) in commands.items():
        one = nested.add_parser(
            name, help=help_line, description=help_line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(one)
        one.set_defaults(run_nested=module.run)


def run_nested(args: argparse.Namespace) -> int:
    """Carry out the command that was named."""
    return int(args.run_nested(args))
