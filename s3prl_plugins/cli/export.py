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
  s3prl-plugins export result/all_task --to-folder model
  s3prl-plugins export result/all_task --push-to org/name --private
  s3prl-plugins predict org/name recording.wav

The file is s3prl's converted HuBERT format, so `-u hubert_local` loads it too, always with its own padding. With heads it
answers for recordings too, and a model card is written beside it. From the dev splits of SD and ASV, if their corpora are there,
come the settings that evaluation takes (threshold and filter of speaker activity) and the threshold of verification.
For the Hugging Face Hub the model, heads and all, is a folder of config.json, model.safetensors and the card (README.md); instead
of a run an exported file or folder can be given then. Log in with `hf auth login` before, or set HF_TOKEN."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "run_folder", metavar="RUN", type=Path, help="folder of a joint run, or one of its states-*.ckpt"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("-o", "--output", metavar="FILE", type=Path, help="checkpoint to write")
    target.add_argument("--to-folder", metavar="DIR", type=Path, help="with heads, as a repository of the Hub has it")
    target.add_argument("--push-to", metavar="ORG/NAME", help="with heads, to that repository of the Hub")
    parser.add_argument("--private", action="store_true", help="make the repository private if it is made now")
    parser.add_argument("--half", action="store_true", help="float16 on disk (float32 again when loaded)")
    parser.add_argument("--with-heads", action="store_true", help="add heads, labels and settings; write a model card")
    parser.add_argument(
        "--corpus-root", metavar="DIR", type=Path, help="of the dev splits of SD and ASV (default: as the run)"
    )


def run(args: argparse.Namespace) -> int:
    if args.private and not args.push_to:
        raise ConfigError("--private goes with --push-to; add that or leave it out")
    if args.push_to:
        return _push(args)
    target = args.output or args.to_folder
    if target.exists():
        raise ConfigError(f"{target} exists; choose another name or remove it")
    if args.to_folder:
        return _to_folder(args)
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
    _name_missing(missing)
    return 0


def _to_folder(args: argparse.Namespace) -> int:
    from s3prl_plugins.inference.exporting import export_folder

    folder, missing = export_folder(args.run_folder, args.to_folder, args.half, args.corpus_root)
    print(f"wrote {folder}; use it with s3prl-plugins predict {folder} FILE")
    _name_missing(missing)
    return 0


def _push(args: argparse.Namespace) -> int:
    from s3prl_plugins.inference.hub import push_to_hub

    private = args.private or None
    address = push_to_hub(args.run_folder, args.push_to, private=private, half=args.half, corpus_root=args.corpus_root)
    print(f"wrote {address}; use it with s3prl-plugins predict {args.push_to} FILE")
    return 0


def _name_missing(tasks: list[str]) -> None:
    if tasks:
        print(f"without dev settings of {', '.join(tasks)}: no corpus there; --corpus-root DIR adds them")
