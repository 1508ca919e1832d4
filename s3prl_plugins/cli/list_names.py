"""`s3prl-plugins list`: the names this package adds to s3prl, the SUPERB tasks, and where the configurations are."""

from __future__ import annotations

import argparse
import importlib.resources

from s3prl_plugins import plugin
from s3prl_plugins.superb.cards import CARDS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: s3prl-plugins list"


def run(args: argparse.Namespace) -> int:  # noqa: ARG001
    kinds = {
        "upstreams (-u)": plugin.UPSTREAMS,
        "downstreams (-d)": plugin.DOWNSTREAMS,
        "pretrainings": plugin.PRETRAININGS,
    }
    for title, table in kinds.items():
        if table:
            _section(title, dict(table))
    _section("tasks", {name: f"{card.title} ({card.aspect})" for name, card in CARDS.items()})
    folder = importlib.resources.files("s3prl_plugins.configs")
    configs = sorted(
        f"{group.name}/{file.name}" for group in folder.iterdir() if group.is_dir() for file in group.iterdir()
    )
    _section(f"configurations, below {next(iter(_paths(folder)))}", dict.fromkeys(configs, ""))
    return 0


def _section(title: str, lines: dict[str, str]) -> None:
    print(f"{title}:")
    width = max(map(len, lines), default=0)
    for name, text in lines.items():
        print(f"  {name:<{width}}  {text}".rstrip())


def _paths(folder: object) -> list[object]:
    """A namespace package may have several folders; ours has one."""
    return list(getattr(folder, "_paths", [folder]))
