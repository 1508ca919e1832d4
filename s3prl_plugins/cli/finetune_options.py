"""Options and help of `s3prl-plugins finetune`."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.cli.numbers import whole
from s3prl_plugins.cli.upstream_options import add_upstream

__all__ = ["add_arguments"]

_SCENARIOS = {
    "ssl": (
        "(a) encoder untouched, one head a task, each by its own SUPERB recipe",
        """examples:
  s3prl-plugins finetune ssl -p result/seed1 --seed 1
  s3prl-plugins finetune ssl -p result/seed1 --seed 1 --tasks asr pr --lr-search --jobs 2
  s3prl-plugins finetune ssl -p result/seed2 --seed 2 --lr-from result/seed1
  s3prl-plugins finetune ssl -u fbank -p result/fbank --device cpu
writes result/seed1/ssl/<task>/ and, for the other folds of ER, result/seed1/ssl_er_fold<N>/""",
    ),
    "all-task": (
        "(b-1) encoder and heads of all tasks together",
        """examples:
  s3prl-plugins finetune all-task -p result/seed1 --seed 1
  s3prl-plugins finetune all-task -p result/two --tasks ks sid -o "config.runner.total_steps=200"
  s3prl-plugins finetune all-task -c all_task_paper -u hubert -p result/paper --er-folds 1-5 --launcher submitit \\
      --cluster slurm_partition=gpu gpus_per_node=1 timeout_min=4000 --jobs 5
  s3prl-plugins finetune all-task -p result/stock --init-heads asr=result/asr/dev-best.ckpt
writes result/seed1/all_task/, and all_task_er_fold<N>/, all_task_with_leaks/ where asked for""",
    ),
    "leave-one-out": (
        "(b-2) the same without one task, a run for each task left out",
        """examples:
  s3prl-plugins finetune leave-one-out -p result/seed1 --seed 1 --jobs 2
  s3prl-plugins finetune leave-one-out -p result/seed1 --seed 1 --tasks asv sid
writes result/seed1/leave_one_out/<task left out>/""",
    ),
    "transfer": (
        "(c) the frozen encoder of a leave-one-out run with the head of the task it never saw",
        """examples:
  s3prl-plugins finetune transfer -p result/seed1 --seed 1 --jobs 2
  s3prl-plugins finetune transfer -p result/seed1 --seed 1 --tasks ks
makes the leave-one-out runs that are missing, and writes result/seed1/transfer/<task>/""",
    ),
}
_EXAMPLES = """The scenarios of arXiv 2110.09930. A folder (-p) holds one seed and one configuration; the same command again goes
on where it was cut off and repeats nothing that is finished. The joint runs start their heads from those of `ssl` in the
same folder (--heads), so run `ssl` first. `s3prl-plugins finetune SCENARIO --help` shows examples.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    scenarios = parser.add_subparsers(dest="scenario", metavar="SCENARIO", required=True)
    for name, (help_line, examples) in _SCENARIOS.items():
        scenario = scenarios.add_parser(
            name, help=help_line, description=help_line, epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        _add_common(scenario)
        _ADD[name](scenario)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", default="scenarios_mini", help="YAML file, or the name of a shipped one")
    add_upstream(parser)
    parser.add_argument("-l", "--upstream-layer-selection", type=int, metavar="N", help="only this layer of the view")
    parser.add_argument("-p", "--expdir", type=Path, required=True, help="folder of the runs; one for each seed")
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE, several joined by ',,'")
    parser.add_argument("-t", "--evaluate-split", default="test", help="scored at the end of a run (default: test)")
    parser.add_argument("--seed", type=whole(0), default=1337)
    parser.add_argument("--device", default="cuda", help="falls back to cpu where no GPU is visible (default: cuda)")
    parser.add_argument(
        "--feature-store", metavar="DIR",
        help="where hidden states of frozen encoders are kept, or none (default: EXPDIR/features)",
    )  # fmt: skip
    parser.add_argument(
        "--feature-budget", metavar="SIZE", help="disk it may take, such as 50GB (default: the config's)"
    )
    parser.add_argument(
        "--jobs", type=whole(1), default=1, metavar="N", help="runs at once, as separate processes (default: 1)"
    )
    parser.add_argument(
        "--launcher", choices=("local", "submitit"), default="local", help="where runs go (default: local)"
    )
    parser.add_argument(
        "--cluster", nargs="+", default=[], metavar="KEY=VALUE",
        help="submitit's parameters: cluster=slurm|local slurm_partition=... timeout_min=... gpus_per_node=...",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="build and count every run, try two steps, write nothing"
    )
    parser.add_argument("--gpu", help="with --dry-run: estimate the hours on this one only")


def _add_tasks(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help=f"{what}; default: those of the config")


def _add_folds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--er-folds", default="", metavar="1-5", help="runs of their own for these folds of ER, too")


def _add_heads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--heads", choices=("auto", "ssl", "scratch"),
        help="start heads and layer weights from EXPDIR/ssl/<task> (auto: where that is there); default: the config's",
    )  # fmt: skip
    parser.add_argument(
        "--init-heads", nargs="+", default=[], metavar="TASK=PATH",
        help="start a head from one of our runs, or from a checkpoint of s3prl's own runner",
    )  # fmt: skip


def _add_lr_from(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--lr-from",
        type=Path,
        metavar="DIR",
        help="take the learning rates that --lr-search chose there (another seed)",
    )


def _add_ssl(parser: argparse.ArgumentParser) -> None:
    _add_tasks(parser, "tasks to train, each alone")
    _add_folds(parser)
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "--lr-search", action="store_true", help="choose each learning rate on dev by short runs (config.ssl.lr_search)"
    )
    _add_lr_from(rate)


def _add_all_task(parser: argparse.ArgumentParser) -> None:
    _add_tasks(parser, "tasks to train together")
    _add_folds(parser)
    _add_heads(parser)
    parser.add_argument(
        "--with-leaks", action="store_true", help="also a run that trains on what other tasks are tested on"
    )
    parser.add_argument("--frozen", action="store_true", help="train the heads only")
    parser.add_argument("-i", "--init-ckpt", metavar="CKPT", help="start from the weights of another joint run")


def _add_leave_one_out(parser: argparse.ArgumentParser) -> None:
    _add_tasks(parser, "tasks to leave out, each in a run of its own")
    _add_heads(parser)


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    _add_tasks(parser, "tasks to transfer to")
    _add_heads(parser)
    _add_lr_from(parser)


_ADD = {
    "ssl": _add_ssl,
    "all-task": _add_all_task,
    "leave-one-out": _add_leave_one_out,
    "transfer": _add_transfer,
}
