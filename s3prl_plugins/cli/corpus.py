"""`s3prl-plugins corpus`: its nested commands, one module each, which import what they need only when they run."""

from __future__ import annotations

import argparse

from s3prl_plugins.cli import corpus_check, corpus_make, corpus_speech

__all__ = ["add_arguments", "run"]

NESTED = {
    "make": (corpus_make, "make mini-SUPERB, a synthetic miniature of the ten SUPERB corpora"),
    "speech": (corpus_speech, "make unlabelled synthetic speech to pretrain on"),
    "check": (corpus_check, "find what is missing or damaged in real or mini corpora, and leaks between tasks"),
}
"""Nested command -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    nested = parser.add_subparsers(dest="corpus_command", metavar="|".join(NESTED), required=True)
    for name, (module, help_line) in NESTED.items():
        one = nested.add_parser(
            name, help=help_line, description=help_line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(one)
        one.set_defaults(run_nested=module.run)


def run(args: argparse.Namespace) -> int:
    return int(args.run_nested(args))
