"""`s3prl-plugins features info`."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  s3prl-plugins features info result/seed1/features
  s3prl-plugins features info result/seed1/features --check"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder of the feature store")
    parser.add_argument(
        "--check", action="store_true", help="read everything, compare checksums; damage makes exit status 1"
    )


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.features.budget import format_size
    from s3prl_plugins.features.contents import holdings
    from s3prl_plugins.report.table import format_table

    found = holdings(args.directory, args.check)
    rows = [["encoder", "upstream", "view", "kind", "layers", "utterances", "hours", "size"]]
    for one in found:
        about = one.about
        layers = f"{about['layers']} x {about['dim']}" if about else "-"
        view = str(about.get("view", "-")) + ("" if about.get("layer") is None else f" {about['layer']}")
        rows.append(
            [
                one.identity, str(about.get("upstream", "-")), view, one.kind, layers, str(one.utterances),
                f"{one.hours:.2f}", format_size(one.bytes),
            ]
        )  # fmt: skip
    print(format_table(rows))
    print(f"{args.directory}: {format_size(sum(one.bytes for one in found))}")
    useless = [reason for one in found for reason in one.useless.values()]
    for reason in useless:
        print(f"useless: {reason}")
    if useless:
        print(f"delete them: s3prl-plugins features drop {args.directory} --stale")
    elif args.check:
        print("every checksum is right")
    return int(args.check and bool(useless))
