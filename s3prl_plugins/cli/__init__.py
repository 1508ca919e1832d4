"""The `s3prl-plugins` command: one file per subcommand, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn

from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.errors import Interrupted, UserError
from s3prl_plugins.files import full_disk_named
from s3prl_plugins.terminal import write_any_letter

__all__ = ["main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("s3prl_plugins.cli.demo", "make mini-SUPERB, train nine tasks jointly on it, show the result"),
    "list": ("s3prl_plugins.cli.list_names", "names this package adds to s3prl, and the SUPERB tasks"),
    "doctor": ("s3prl_plugins.cli.doctor", "what is installed, which repairs are in force, what is missing"),
    "corpus": ("s3prl_plugins.cli.corpus", "make mini-SUPERB; check real or mini corpora"),
    "upstream": ("s3prl_plugins.cli.upstream", "write a small randomly initialised HuBERT checkpoint"),
    "pretrain": ("s3prl_plugins.cli.pretrain", "train an encoder from scratch on unlabelled speech"),
    "select-pretext": (
        "s3prl_plugins.cli.select_pretext",
        "which pretext labels suit a downstream task, and their weights, without training",
    ),
    "finetune": (
        "s3prl_plugins.cli.finetune",
        "the scenarios of joint finetuning: ssl, all-task, leave-one-out, transfer",
    ),
    "features": ("s3prl_plugins.cli.features", "the hidden states of frozen encoders: compute ahead, look, delete"),
    "report": ("s3prl_plugins.cli.report", "the paper's table, relation graph and page of sweeps; the page of a run"),
    "qbe": ("s3prl_plugins.cli.qbe", "score an encoder by query by example, which needs no training"),
    "choose": (
        "s3prl_plugins.cli.choose",
        "which checkpoint of a joint run to take, by all tasks' dev scores; or their mean",
    ),
    "export": ("s3prl_plugins.cli.export", "write the finetuned encoder of a joint run, alone or with its heads"),
    "convert": ("s3prl_plugins.cli.convert", "checkpoints of fairseq in, ours out to other toolkits"),
    "predict": ("s3prl_plugins.cli.predict", "every task's answer for any audio files, from a trained model"),
    "serve": ("s3prl_plugins.cli.serve", "a local page: drop or record audio, see every task's answer"),
    "submit": ("s3prl_plugins.cli.submit", "collect and check prediction files for the SUPERB leaderboard"),
}
"""Subcommand -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        said = re.sub("^argument ([^:]*): must ", r"\1 must ", message)
        raise UserError(f"{said}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; a `UserError` becomes one line on stderr and exit status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    parser = _Parser(
        prog="s3prl-plugins",
        description="Joint SUPERB finetuning, synthetic mini-SUPERB and new upstreams for s3prl.",
        epilog="s3prl-plugins COMMAND --help shows examples. Errors a user can mend exit with status 2.",
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from; goes anywhere")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module_name, help_line) in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=help_line, description=help_line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            module = importlib.import_module(module_name)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    title = f"s3prl-plugins {chosen}" if chosen in COMMANDS else "s3prl-plugins"
    keep_freed_memory()
    _quiet()
    write_any_letter()
    try:
        args = parser.parse_args(arguments)
        with full_disk_named():
            return int(args.run(args))
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"{title}: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"{title}: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(f"{title}: interrupted", file=sys.stderr)
        return 130


def _quiet() -> None:
    """Leave out what importing s3prl's hub always says and a user can do nothing about."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")
    logging.getLogger("s3prl.upstream.espnet_hubert.expert").setLevel(logging.ERROR)
