"""`s3prl-plugins choose`: one of a joint run's checkpoints, or their mean, by the dev scores of all tasks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from s3prl_plugins.choosing.rules import RULES

if TYPE_CHECKING:
    from s3prl_plugins.choosing.choice import Choice

__all__ = ["add_arguments", "run"]

_EXAMPLES = f"""examples:
  s3prl-plugins finetune all-task -p result/seed1 \\
      -o "config.runner.save_step=50,,config.runner.eval_step=50,,config.runner.max_keep=5"
  s3prl-plugins choose result/seed1/all_task --rule mean
  s3prl-plugins choose result/seed1/all_task --rule soup:3 -o result/soup
  python -m s3prl.run_downstream -m evaluate -e result/soup -d multitask

rules, over the checkpoints that runner.max_keep has left:
{"".join(f"  {name:<10}{what}{chr(10)}" for name, what in RULES.items())}\
A task's gain is the part of the errors of a head trained alone (`finetune ssl`) that is gone: 0 as good, 1 no errors,
below 0 worse; the errors are its first metric on dev, or 100 less it where higher is better. Dev scores that the run has logged
(runner.eval_step) are taken, others measured; test splits are never looked at. With -o the choice becomes a run folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "run_folder", metavar="RUN", type=Path, help="folder of a joint run that kept several checkpoints"
    )
    parser.add_argument("--rule", required=True, metavar="RULE", help="last, mean, worst, per-task or soup:K")
    parser.add_argument(
        "--baseline", metavar="DIR", type=Path, help="folder of `finetune ssl -p DIR` (default: the one RUN lies in)"
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="folder to write; without it only the table")
    parser.add_argument("--corpus-root", metavar="DIR", type=Path, help="of the dev splits (default: as the run)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: as the run)")


def run(args: argparse.Namespace) -> int:
    from s3prl_plugins.choosing.choice import choose
    from s3prl_plugins.choosing.dev_scores import Measuring
    from s3prl_plugins.choosing.rules import parse_rule
    from s3prl_plugins.choosing.writing import write_choice
    from s3prl_plugins.errors import ConfigError
    from s3prl_plugins.report.table import results_table

    rule = parse_rule(args.rule)
    if args.output is not None and args.output.exists():
        raise ConfigError(f"{args.output} exists; choose another name with -o or remove it")
    measuring = Measuring(args.corpus_root, args.device)
    choice = choose(args.run_folder, rule, args.baseline, measuring)
    print(_table(choice))
    if choice.by_task:
        print(f"{rule}: {', '.join(f'{task} at step {step}' for task, step in choice.by_task.items())}")
    else:
        print(f"{rule}: step {' and '.join(map(str, choice.steps))}")
    if args.output is not None:
        print(results_table(write_choice(choice, args.output, measuring)))
        print(f"wrote {args.output}")
    return 0


def _table(choice: Choice) -> str:
    """A row a checkpoint: dev score and, in brackets, gain of every task; mean and lowest gain."""
    from s3prl_plugins.report.table import format_table

    rows = [["step", *choice.tasks, "mean gain", "worst gain"]]
    for step, scores in choice.scores.items():
        gains = choice.gains[step]
        known = [f"{scores[task]:.2f}" if task in scores else "-" for task in choice.tasks]
        gained = [f" ({gains[task]:+.2f})" if task in gains else "" for task in choice.tasks]
        whole = [f"{value:+.3f}" for value in choice.together(step) or ()] or ["-", "-"]
        rows.append([str(step), *map("".join, zip(known, gained)), *whole])
    return format_table(rows)
