"""`s3prl-plugins export`: the finetuned encoder of a joint run as an upstream checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_EXAMPLES = """examples:
  s3prl-plugins export result/all_task -o mtl.pt
  python -m s3prl.run_downstream -m train -u mtl_hubert_local -k mtl.pt -d TASK -c TASK.yaml -p EXPDIR

The file is s3prl's converted HuBERT format, so `-u hubert_local` loads it too, always with its own padding."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "run_folder", metavar="RUN", type=Path, help="folder of a joint run, or one of its states-*.ckpt"
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--half", action="store_true", help="float16 on disk (float32 again when loaded)")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.multitask.export import export_upstream

    if args.output.exists():
        raise ConfigError(f"{args.output} exists; choose another name or remove it")
    path = export_upstream(args.run_folder, args.output, args.half)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB); load it with -u mtl_hubert_local -k {path}")
    return 0
