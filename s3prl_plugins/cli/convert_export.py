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

_EPILOG = """examples:
  s3prl-plugins convert export result/all_task --to transformers -o hubert_folder
  s3prl-plugins convert export hubert.pt --to fairseq -o hubert.fairseq.pt

RUN is a joint run that finetuned a HuBERT, or a file of `export`, `pretrain hubert` or `convert fairseq`.
`transformers` is a folder with config.json and model.safetensors; the others are files."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("source", metavar="RUN", type=Path, help="folder or states-*.ckpt of a run, or a HuBERT file")
    parser.add_argument("--to", choices=sorted(_WRITERS), required=True, help="toolkit to write for")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="file or folder to write")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.convert.sources import hubert_content

    if args.output.exists():
        raise ConfigError(f"{args.output} exists; choose another name or remove it")
    module, function, reader = _WRITERS[args.to]
    getattr(importlib.import_module(module), function)(hubert_content(args.source), args.output)
    print(f"wrote {args.output}; read it with {reader.format(args.output)}")
    return 0
