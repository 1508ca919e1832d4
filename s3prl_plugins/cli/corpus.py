"""`s3prl-plugins corpus`: its nested commands, one module each, which import what they need only when they run."""

from __future__ import annotations

import argparse

from s3prl_plugins.cli import corpus_check, corpus_make, corpus_speech
from s3prl_plugins.cli.nested import add_nested, run_nested

__all__ = ["add_arguments", "run"]

NESTED = {
    "make": (corpus_make, "make mini-SUPERB, a synthetic miniature of the ten SUPERB corpora"),
    "speech": (corpus_speech, "make unlabelled synthetic speech to pretrain on"),
    "check": (corpus_check, "find what is missing or damaged in real or mini corpora, and leaks between tasks"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_nested(parser, NESTED)


def run(args: argparse.Namespace) -> int:
    return run_nested(args)
