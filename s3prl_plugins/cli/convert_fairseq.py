"""`s3prl-plugins convert fairseq`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  s3prl-plugins convert fairseq hubert_base_ls960.fairseq.pt -o hubert_base_ls960.pt
  python -m s3prl.run_downstream -m train -u hubert_local -k hubert_base_ls960.pt -d TASK -c TASK.yaml -p EXPDIR

Reads pretrained models in both forms, `args` and `cfg`. The file is read without executing what it says: classes of
fairseq, omegaconf and argparse become plain data, any other is refused by its name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("file", metavar="FILE", type=Path, help="checkpoint of fairseq")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="checkpoint to write")
    parser.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="unpickle FILE, which EXECUTES whatever it says, if it names other classes; they must be installed",
    )


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.convert.fairseq import FAMILIES, convert_fairseq

    if not args.file.is_file():
        raise ConfigError(f"no file {str(args.file)!r}; pass a checkpoint of fairseq")
    if args.output.exists():
        raise ConfigError(f"{args.output} exists; choose another name or remove it")
    if args.trust_checkpoint:
        print(f"warning: --trust-checkpoint executes whatever {args.file} says", file=sys.stderr)
    done = convert_fairseq(args.file, args.output, args.trust_checkpoint)
    size = args.output.stat().st_size / 1e6
    print(
        f"wrote {args.output} ({size:.1f} MB): {done.family}, {done.layers} layers of {done.dim}; "
        f"load it with -u {FAMILIES[done.family]} -k {args.output}"
    )
    return 0
