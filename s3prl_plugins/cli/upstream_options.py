"""The options that name an upstream, as s3prl's own command has them."""

from __future__ import annotations

import argparse

__all__ = ["DEFAULT", "add_upstream"]

DEFAULT = "name in s3prl's hub (default: hubert_tiny, which is shipped; with -k hubert_local)"


def add_upstream(parser: argparse.ArgumentParser, name: str = DEFAULT) -> None:
    """:param name: help of `-u`."""
    parser.add_argument("-u", "--upstream", help=name)
    parser.add_argument("-k", "--upstream-ckpt", metavar="FILE", help="checkpoint of a *_local upstream")
    parser.add_argument(
        "-g", "--upstream-model-config", metavar="FILE", help="model configuration, where one is needed"
    )
    parser.add_argument(
        "-s", "--upstream-feature-selection", default="hidden_states", metavar="VIEW", help="default: hidden_states"
    )
