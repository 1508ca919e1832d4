"""`s3prl-plugins upstream`: checkpoints of small encoders to work with."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.cli.numbers import whole
from s3prl_plugins.errors import ConfigError

_EXAMPLES = """examples:
  s3prl-plugins upstream init tiny.pt
  python -m s3prl.run_downstream -m train -u hubert_local -k tiny.pt -d multitask -c all_task_mini.yaml -f -p EXPDIR
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = commands.add_parser("init", help="write a randomly initialised HuBERT in s3prl's converted format")
    init.add_argument("file", type=Path, help="checkpoint to write; load it with -u hubert_local -k FILE")
    init.add_argument(
        "--size", choices=("tiny", "base"), default="tiny", help="3.8 M or 95 M parameters (default: tiny)"
    )
    init.add_argument("--seed", type=whole(0), default=0, help="of the weights (default: 0)")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

    if args.file.exists():
        raise ConfigError(f"{args.file} exists; choose another name or remove it")
    content = random_checkpoint(args.size, args.seed)
    write_checkpoint(args.file, content)
    count = sum(tensor.numel() for tensor in content["model_weight"].values())
    print(f"wrote {args.file}: HuBERT {args.size}, {count / 1e6:.1f} M parameters, random weights of seed {args.seed}")
    return 0
