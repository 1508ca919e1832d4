"""`s3prl-plugins corpus make`."""

from __future__ import annotations

import argparse
import time

from s3prl_plugins.cli.numbers import whole

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  s3prl-plugins corpus make mini-superb
  s3prl-plugins corpus make mini-superb-small --size small --seed 1 --jobs 8

mini is about 75 minutes of audio, small about ten hours.
A finished corpus of the same size, seed and generator version is kept. Needs: pip install 's3prl-plugins[mini]'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("directory", metavar="DIR", help="new or empty folder to make the corpora in")
    parser.add_argument("--size", default="mini", metavar="mini|small", help="default: mini")
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="another seed, other voices and texts (default: 0)"
    )
    parser.add_argument("--jobs", type=whole(1), metavar="N", help="processes (default: one a core); changes no byte")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.corpora.build import make

    began = time.monotonic()
    content, made = make(args.directory, args.size, args.seed, args.jobs)
    for name, corpus in content["corpora"].items():
        splits = ", ".join(f"{split} {counts['files']}" for split, counts in corpus["splits"].items())
        print(f"{name:24}{corpus['minutes']:7.1f} min   {splits}")
    how = f"made in {time.monotonic() - began:.0f} s" if made else "kept: it was there already"
    print(f"{args.directory}: {content['minutes']:.1f} minutes, sha256 {content['sha256'][:12]}, {how}")
    return 0
