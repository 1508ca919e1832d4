"""`s3prl-plugins finetune`: the four scenarios of joint finetuning, each a resumable set of runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from s3prl_plugins.cli.finetune_options import add_arguments
from s3prl_plugins.errors import ConfigError

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Exit status 1 if a run of several failed; the error of a single run is the command's own."""
    from s3prl_plugins.config import load_yaml, override
    from s3prl_plugins.multitask.config import find_config, run_config
    from s3prl_plugins.multitask.ranks import asked_for_ranks
    from s3prl_plugins.sweep.job import execute
    from s3prl_plugins.sweep.launcher import InProcess, Launcher, Processes, Submitit
    from s3prl_plugins.sweep.sweep import Sweep, SweepOptions

    if (world := asked_for_ranks()) > 1:
        raise ConfigError(
            f"finetune starts its own processes (--jobs), found {world} of torchrun; several processes for one run: "
            "torchrun --nproc_per_node N -m s3prl.run_downstream -d multitask ..."
        )
    mapping = _stored(args, override(args.override, load_yaml(find_config(args.config))))
    if args.scenario == "all-task" and args.tasks:
        mapping = {**mapping, "tasks": args.tasks}
    runs = _plan(args, mapping)
    if args.dry_run:
        return _dry_run(args, runs)
    options = SweepOptions(
        args.expdir, _common(args), _heads(args, run_config(mapping).heads),
        _pairs(getattr(args, "init_heads", []), "--init-heads"), getattr(args, "lr_from", None), args.evaluate_split,
    )  # fmt: skip
    sweep = Sweep(runs, options)
    launcher: Launcher = Processes(args.jobs) if args.jobs != 1 else InProcess()
    if args.launcher == "submitit":
        launcher = Submitit(args.expdir / "submitit", args.jobs, _literals(_pairs(args.cluster, "--cluster")))
    if isinstance(launcher, InProcess) and len(runs) == 1 and not sweep.finished:
        execute(*sweep.jobs.values())
        sweep = Sweep(runs, options)
    outcomes = sweep.run(launcher, lambda line: print(line, flush=True))
    _show(sweep, outcomes)
    return int(any(outcome.state in ("failed", "waiting") for outcome in outcomes.values()))


def _plan(args: argparse.Namespace, mapping: Mapping[str, Any]) -> Sequence[Any]:
    from s3prl_plugins.multitask.er_folds import parse_folds
    from s3prl_plugins.sweep import scenarios

    folds = parse_folds(args.er_folds) if getattr(args, "er_folds", "") else ()
    if args.scenario == "ssl":
        return scenarios.ssl(mapping, args.tasks, folds, args.lr_search)
    if args.scenario == "all-task":
        return scenarios.all_task(mapping, folds, args.with_leaks)
    plan = scenarios.leave_one_out if args.scenario == "leave-one-out" else scenarios.transfer
    return plan(mapping, args.tasks)


def _stored(args: argparse.Namespace, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with what --feature-store and --feature-budget say."""
    from s3prl_plugins.config import merge

    given = {"store": args.feature_store, "store_budget": args.feature_budget}
    return merge(mapping, {"encoder": {key: value for key, value in given.items() if value is not None}})


def _common(args: argparse.Namespace) -> dict[str, Any]:
    """s3prl's arguments of every run."""
    return {
        "upstream": args.upstream or ("hubert_local" if args.upstream_ckpt else "hubert_tiny"),
        "upstream_ckpt": args.upstream_ckpt,
        "upstream_model_config": args.upstream_model_config,
        "upstream_feature_selection": args.upstream_feature_selection,
        "upstream_layer_selection": args.upstream_layer_selection, "seed": args.seed, "device": args.device,
        "upstream_trainable": not getattr(args, "frozen", False), "init_ckpt": getattr(args, "init_ckpt", None),
        "config": str(args.config),
    }  # fmt: skip


def _heads(args: argparse.Namespace, of_config: str) -> Any:
    """What the heads start from: the option, else the configuration; a checkpoint given with -i holds them all."""
    given = getattr(args, "heads", None)
    if getattr(args, "init_ckpt", None):
        if given not in (None, "scratch") or args.init_heads:
            raise ConfigError("-i holds the heads too; leave out --heads and --init-heads, or -i")
        return "scratch"
    return given or of_config


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (key, _, value) in zip(texts, pairs):
        if not key or not value:
            raise ConfigError(f"{option} must be KEY=VALUE pairs, found {text!r}")
    return {key: value for key, _, value in pairs}


def _literals(pairs: Mapping[str, str]) -> dict[str, Any]:
    from s3prl_plugins.config import literal

    return {key: literal(value) for key, value in pairs.items()}


def _dry_run(args: argparse.Namespace, runs: Sequence[Any]) -> int:
    """Every run as if it were the first: no head or encoder that another run would leave is needed."""
    from s3prl_plugins.dry_run.run import dry_run
    from s3prl_plugins.multitask.stock import stock_args

    for planned in runs:
        given = _common(args)
        given["upstream_trainable"] = planned.trainable and given["upstream_trainable"]
        print(f"{planned.name}\n{dry_run(stock_args(expdir=str(args.expdir), **given), planned.config, args.gpu)}\n")
    return 0


def _show(sweep: Any, outcomes: Mapping[str, Any]) -> None:
    """What became of several runs, or the scores of one."""
    from s3prl_plugins.multitask.evaluation import saved_results
    from s3prl_plugins.report.table import format_table, results_table
    from s3prl_plugins.sweep.sweep import describe

    if len(outcomes) > 1:
        rows = [["run", "state"], *([name, describe(outcome)[:100]] for name, outcome in outcomes.items())]
        print(f"\n{format_table(rows)}")
    else:
        [(name, _)] = outcomes.items()
        scores = saved_results(sweep.folder(name)).get("scores", {})
        print(
            results_table({(task, split): found for task, splits in scores.items() for split, found in splits.items()})
        )
    print(f"scores and prediction files: {sweep.options.root}")
