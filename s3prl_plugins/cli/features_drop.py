"""`s3prl-plugins features drop`."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  s3prl-plugins features drop result/seed1/features --identity 3fa9
  s3prl-plugins features drop result/seed1/features --kind float16
  s3prl-plugins features drop result/seed1/features --stale
  s3prl-plugins features drop result/seed1/features --all

What is deleted is computed again when a run needs it, also by one that goes on meanwhile. Files that are not a feature
store's are left alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder of the feature store")
    parser.add_argument("--identity", metavar="PREFIX", help="of this encoder, as `features info` names it")
    parser.add_argument("--kind", metavar="KIND", help="of this kind")
    parser.add_argument(
        "--stale", action="store_true", help="what is damaged, of another version, or in the wrong place"
    )
    parser.add_argument("--all", action="store_true", help="everything")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.features.budget import format_size
    from s3prl_plugins.features.contents import holdings, remove

    if not (args.identity or args.kind or args.stale or args.all):
        raise ConfigError("what to delete must be said: --identity PREFIX, --kind KIND, --stale or --all")
    known = holdings(args.directory, check=args.stale)
    chosen = [one for one in known if one.identity.startswith(args.identity or "") and args.kind in (None, one.kind)]
    if known and not chosen:
        there = ", ".join(f"{one.identity} {one.kind}" for one in known)
        raise ConfigError(f"nothing in {args.directory} is of that encoder and kind; it holds {there}")
    freed = 0
    for one in chosen:
        only = set(one.useless) if args.stale else None
        size = remove(args.directory, one, only)
        if size:
            what = f"{len(one.useless)} files of " if args.stale else ""
            print(f"deleted {what}{one.identity} {one.kind}: {format_size(size)}")
        freed += size
    print(f"{args.directory}: {format_size(freed)} freed")
    return 0
