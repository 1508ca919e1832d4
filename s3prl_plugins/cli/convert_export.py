"""`s3prl-plugins convert export`."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_WRITERS = {
    "fairseq": ("s3prl_plugins.convert.flat", "to_fairseq", "fairseq's load_model_ensemble_and_task(['{}'])"),
    "safetensors": ("s3prl_plugins.convert.flat", "to_safetensors", "safetensors.torch.load_file('{}')"),
    "transformers": (
        "s3prl_plugins.convert.transformers", "to_transformers", "transformers' HubertModel.from_pretrained('{}')",
    ),
}  # fmt: skip
"""Name -> module, function (content, target), what reads it."""
_STOCK = "s3prl"

_EPILOG = """examples:
  s3prl-plugins convert export result/all_task --to transformers -o hubert_folder
  s3prl-plugins convert export hubert.pt --to fairseq -o hubert.fairseq.pt
  s3prl-plugins convert export result/all_task --to s3prl --task ks -o ks
  python -m s3prl.run_downstream -m evaluate -e ks -t test --device cpu

RUN is a joint run that finetuned a HuBERT, or a file of `export`, `pretrain hubert` or `convert fairseq`.
`transformers` is a folder with config.json and model.safetensors; `fairseq` and `safetensors` are files.

`s3prl` takes any run, and whatever `predict` answers with: one task's head, its layer weights and the encoder become
a folder that s3prl's own expert of the task evaluates to the same score. All nine tasks have an expert; those of pr and sf
read corpora with files that only a checkout of s3prl has, asr needs s3prl's len_for_bucket, qbe has no head."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("source", metavar="RUN", type=Path, help="folder or states-*.ckpt of a run, or a HuBERT file")
    parser.add_argument("--to", choices=sorted([*_WRITERS, _STOCK]), required=True, help="toolkit to write for")
    parser.add_argument("--task", help="whose head to take out; of --to s3prl")
    parser.add_argument(
        "--corpus-root", metavar="DIR", type=Path, help="folder of the corpora, if not the run's own; of --to s3prl"
    )
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="file or folder to write")


def run(args: argparse.Namespace) -> int:
    if args.output.exists():
        raise ConfigError(f"{args.output} exists; choose another name or remove it")
    if args.to == _STOCK:
        return _to_stock(args)
    if args.task or args.corpus_root:
        raise ConfigError(f"--task and --corpus-root are of --to s3prl, found --to {args.to}; leave them out")
    from s3prl_plugins.convert.sources import hubert_content

    module, function, reader = _WRITERS[args.to]
    getattr(importlib.import_module(module), function)(hubert_content(args.source), args.output)
    print(f"wrote {args.output}; read it with {reader.format(args.output)}")
    return 0


def _to_stock(args: argparse.Namespace) -> int:
    from s3prl_plugins.convert.stock import to_stock

    if not args.task:
        raise ConfigError("--to s3prl needs --task, the task whose head to take out")
    missing = to_stock(args.source, args.task, args.output, args.corpus_root)
    print(f"wrote {args.output}; evaluate it with python -m s3prl.run_downstream -m evaluate -e {args.output} -t SPLIT")
    for setting, path in missing.items():
        print(f"{path} is not here; name yours with -o config.downstream_expert.{setting}=PATH")
    return 0
