"""`s3prl-plugins convert`: its nested commands, one module each, which import what they need only when they run."""

from __future__ import annotations

import argparse

from s3prl_plugins.cli import convert_export, convert_fairseq
from s3prl_plugins.cli.nested import add_nested, run_nested

__all__ = ["add_arguments", "run"]

NESTED = {
    "fairseq": (convert_fairseq, "a fairseq HuBERT or wav2vec 2.0 in s3prl's format; fairseq is not needed"),
    "export": (convert_export, "a HuBERT for fairseq, transformers or safetensors, or a task for s3prl's own expert"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_nested(parser, NESTED)


def run(args: argparse.Namespace) -> int:
    return run_nested(args)
