"""`s3prl-plugins features`: its nested commands, one module each, which import what they need only when they run."""

from __future__ import annotations

import argparse

from s3prl_plugins.cli import features_build, features_drop, features_info

__all__ = ["add_arguments", "run"]

NESTED = {
    "build": (features_build, "compute and store the hidden states that runs on a frozen encoder need"),
    "info": (features_info, "what a feature store holds; find damage"),
    "drop": (features_drop, "delete states of an encoder, of a kind, or of no use any more"),
}
"""Nested command -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    nested = parser.add_subparsers(dest="features_command", metavar="|".join(NESTED), required=True)
    for name, (module, help_line) in NESTED.items():
        one = nested.add_parser(
            name, help=help_line, description=help_line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(one)
        one.set_defaults(run_nested=module.run)


def run(args: argparse.Namespace) -> int:
    return int(args.run_nested(args))
