"""`s3prl-plugins features`: its nested commands, one module each, which import what they need only when they run."""

from __future__ import annotations

import argparse

from s3prl_plugins.cli import features_build, features_drop, features_info
from s3prl_plugins.cli.nested import add_nested, run_nested

__all__ = ["add_arguments", "run"]

NESTED = {
    "build": (features_build, "compute and store the hidden states that runs on a frozen encoder need"),
    "info": (features_info, "what a feature store holds; find damage"),
    "drop": (features_drop, "delete states of an encoder, of a kind, or of no use any more"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_nested(parser, NESTED)


def run(args: argparse.Namespace) -> int:
    return run_nested(args)
