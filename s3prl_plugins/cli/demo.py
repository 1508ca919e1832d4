"""`s3prl-plugins demo`: everything once, offline, in minutes on two CPU cores."""

from __future__ import annotations

import argparse
from pathlib import Path

from s3prl_plugins.cli.numbers import whole

_EXAMPLES = """examples:
  s3prl-plugins demo
  s3prl-plugins demo --dir demo -o "config.runner.total_steps=50"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--dir", type=Path, default=Path("demo"), help="folder for corpus, checkpoint and run (default: demo)"
    )
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE, several joined by ',,'")
    parser.add_argument("--device", default="cuda", help="falls back to cpu where no GPU is visible (default: cuda)")
    parser.add_argument("--seed", type=whole(0), default=1337)


def run(args: argparse.Namespace) -> int:
    """Make mini-SUPERB, train the shipped HuBERT with nine heads, and show what that changed. Goes on where it was."""
    from s3prl_plugins.config import load_yaml, override
    from s3prl_plugins.corpora.build import make
    from s3prl_plugins.logs import logged_scores
    from s3prl_plugins.multitask import checkpoint
    from s3prl_plugins.multitask.config import find_config, run_config
    from s3prl_plugins.multitask.experiment import Experiment
    from s3prl_plugins.multitask.stock import stock_args
    from s3prl_plugins.report.page import write_page
    from s3prl_plugins.report.table import results_table

    corpus, folder = args.dir / "mini-superb", args.dir / "all_task"
    config = load_yaml(find_config("all_task_mini"))
    config = override(args.override, {**config, "corpus_root": str(corpus)})
    run_config(config)
    make(corpus)
    given = stock_args(
        upstream="hubert_tiny", upstream_trainable=True, expdir=str(folder), seed=args.seed, device=args.device,
        past_exp=str(folder) if checkpoint.find(folder) else None,
    )  # fmt: skip
    experiment = Experiment(given, config)
    experiment.train()
    results = experiment.evaluate("dev")
    print("\nDev split, heads as initialised -> after joint training:")
    print(results_table(results, logged_scores(folder, 0)))
    print("\nTest split:")
    print(results_table(experiment.evaluate("test")))
    print("\nMini-SUPERB is synthetic speech: never set these numbers beside published SUPERB scores.")
    print(f"report: {write_page(folder)}")
    return 0
