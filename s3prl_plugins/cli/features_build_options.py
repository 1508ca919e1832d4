"""Options and help of `s3prl-plugins features build`."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.cli.numbers import whole
from s3prl_plugins.cli.upstream_options import add_upstream

__all__ = ["add_arguments"]

_EPILOG = """examples:
  s3prl-plugins features build --feature-store result/seed1/features
  s3prl-plugins features build --feature-store features --tasks ks sid --kind int8 --feature-budget 50GB
  s3prl-plugins features build --feature-store features -c all_task_paper -u hubert -o "config.encoder.padding=none" --dry-run

Stores what `s3prl-plugins finetune ssl` with the same config, upstream and seed reads (its default folder is EXPDIR/features),
or a joint run on a frozen encoder (--joint). Size and time are told first. Cut off, the same command goes on where it was."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("-c", "--config", default="scenarios_mini", help="YAML file, or the name of a shipped one")
    add_upstream(parser)
    parser.add_argument("-l", "--upstream-layer-selection", type=int, metavar="N", help="only this layer of the view")
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE, several joined by ',,'")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="default: those of the config")
    parser.add_argument(
        "--splits", nargs="+", default=("train", "dev", "test"), metavar="SPLIT", help="default: train dev test"
    )
    parser.add_argument("--joint", action="store_true", help="for a joint run with --frozen, not for `finetune ssl`")
    parser.add_argument("--kind", help="of stored frames (default: the config's encoder.store_kind)")
    parser.add_argument("--feature-store", type=Path, required=True, metavar="DIR", help="folder of the store")
    parser.add_argument(
        "--feature-budget", metavar="SIZE", help="disk it may take, such as 50GB (default: the config's)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=1337, help="of the runs, whose crops follow from it (default: 1337)"
    )
    parser.add_argument("--device", default="cuda", help="falls back to cpu where no GPU is visible (default: cuda)")
    parser.add_argument("--dry-run", action="store_true", help="tell size and time, store nothing")
