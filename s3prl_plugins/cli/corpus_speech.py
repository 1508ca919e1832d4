"""`s3prl-plugins corpus speech`."""

from __future__ import annotations

import argparse
import time

from s3prl_plugins.cli.numbers import positive, whole

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  s3prl-plugins corpus speech data/speech
  s3prl-plugins corpus speech data/speech-1h --hours 1 --seed 1 --jobs 8

Finished speech of the same hours, seed and generator version is kept. Needs: pip install 's3prl-plugins[mini]'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("directory", metavar="DIR", help="new or empty folder to make the speech in")
    parser.add_argument("--hours", type=positive, default=5.0, help="roughly how much (default: 5)")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="another seed, other voices and texts")
    parser.add_argument("--jobs", type=whole(1), metavar="N", help="processes (default: one a core); changes no byte")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.corpora.build import make_speech

    began = time.monotonic()
    content, made = make_speech(args.directory, args.hours, args.seed, args.jobs)
    how = f"made in {time.monotonic() - began:.0f} s" if made else "kept: it was there already"
    files = content["corpora"]["speech"]["files"]
    print(f"{args.directory}: {content['minutes']:.1f} minutes, {files} files, sha256 {content['sha256'][:12]}, {how}")
    return 0
