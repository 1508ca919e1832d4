"""`s3prl-plugins export`: the finetuned encoder of a joint run as an upstream checkpoint, with its heads if asked."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_EXAMPLES = """examples:
  s3prl-plugins export result/all_task -o mtl.pt
  python -m s3prl.run_downstream -m train -u mtl_hubert_local -k mtl.pt -d TASK -c TASK.yaml -p EXPDIR
  s3prl-plugins export result/all_task -o model.pt --with-heads --half --corpus-root data/mini-superb
  s3prl-plugins predict model.pt recording.wav

The file is s3prl's converted HuBERT format, so `-u hubert_local` loads it too, always with its own padding. With heads it
answers for recordings too, and a model card is written beside it. From the dev splits of SD and ASV, if their corpora are there,
come the settings that evaluation takes (threshold and filter of speaker activity) and the threshold of verification."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "run_folder", metavar="RUN", type=Path, help="folder of a joint run, or one of its states-*.ckpt"
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--half", action="store_true", help="float16 on disk (float32 again when loaded)")
    parser.add_argument("--with-heads", action="store_true", help="add heads, labels and settings; write a model card")
    parser.add_argument(
        "--corpus-root", metavar="DIR", type=Path, help="of the dev splits of SD and ASV (default: as the run)"
    )


def run(args: argparse.Namespace) -> int:
    if args.output.exists():
        raise ConfigError(f"{args.output} exists; choose another name or remove it")
    if args.with_heads:
        return _with_heads(args)
    if args.corpus_root:
        raise ConfigError("--corpus-root goes with --with-heads; add that or leave it out")
    from s3prl_plugins.multitask.export import export_upstream

    path = export_upstream(args.run_folder, args.output, args.half)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB); load it with -u mtl_hubert_local -k {path}")
    return 0


def _with_heads(args: argparse.Namespace) -> int:
    from s3prl_plugins.inference.exporting import export_model

    path, card, missing = export_model(args.run_folder, args.output, args.half, args.corpus_root)
    print(
        f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB) and {card}; use it with s3prl-plugins predict {path} FILE"
    )
    if missing:
        print(f"without dev settings of {', '.join(missing)}: no corpus there; --corpus-root DIR adds them")
    return 0
