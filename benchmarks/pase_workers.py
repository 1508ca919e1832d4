"""What PASE's workers are good for: pretrain with some of them, then train SUPERB's heads on the frozen encoder.

    python benchmarks/pase_workers.py DIR CORPUS --speech FOLDER [-c pase_tiny] [--variants FILE] [--seeds 1 2 3]
        [-o config.train.steps=300,,config.speech.batch=20]

CORPUS is a folder made by `s3prl-plugins corpus make`, FOLDER one made by `s3prl-plugins corpus speech`. Variants are all
workers of the configuration, and all but one of each; FILE, in YAML, has others: name -> worker -> weight. fbank goes
with them. Every variant and seed is pretrained and probed in a folder of its own below DIR; the same command continues
what was cut off. The first seed of fbank and of the first variant search the heads' learning rates on dev, all others
take them over. The table has test scores: mean, standard deviation over seeds, and change against the first variant.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.config import load_yaml, merge, override
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.pretrain.config import find_pretrain_config
from s3prl_plugins.report.table import format_table
from s3prl_plugins.superb.cards import card
from s3prl_plugins.sweep.launcher import InProcess
from s3prl_plugins.sweep.run_state import saved_results
from s3prl_plugins.sweep.scenarios import ssl
from s3prl_plugins.sweep.sweep import Sweep, SweepOptions
from s3prl_plugins.upstream.pase.pretraining import pretrain

FBANK = "fbank"

Scores = Mapping[str, float]
"""Task -> test score."""


@dataclass(frozen=True)
class Plan:
    """What all runs have in common."""

    folder: Path
    corpus: Path
    pretraining: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, float]]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    head_steps: int | None

    def place(self, name: str, seed: int) -> Path:
        return self.folder / name / f"seed{seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--speech", nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("-c", "--config", default="pase_tiny")
    parser.add_argument("--variants", type=Path, metavar="FILE", help="default: all workers, and all but one of each")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--tasks", nargs="+", default=["pr", "ks", "sid", "er"])
    parser.add_argument("-o", "--override", default="", help="config.KEY=VALUE of the pretraining, joined by ',,'")
    parser.add_argument("--head-steps", type=int, help="default: the recipes'")
    args = parser.parse_args()
    config = override(args.override, merge(find_pretrain_config(args.config), {"speech": {"folders": args.speech}}))
    variants = load_yaml(args.variants) if args.variants else left_out(config["workers"])
    if not variants or FBANK in variants:
        raise ConfigError(f"variants must name at least one set of workers, none of them {FBANK!r}")
    plan = Plan(
        args.folder, args.corpus, config, variants, tuple(args.tasks), tuple(args.seeds), args.head_steps
    )  # fmt: skip
    found = {(name, seed): probe(plan, name, seed) for seed in plan.seeds for name in (FBANK, *variants)}
    print(format_table(table(plan, found)))


def left_out(workers: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """All workers, and all but one of each."""
    without = {f"without {name}": {**workers, name: 0.0} for name in workers}
    return {"all": dict(workers), **without}


def probe(plan: Plan, name: str, seed: int) -> Scores:
    """Pretrain a variant where that is not done, train a head for every task, and give the test scores."""
    place = plan.place(name, seed)
    of_runs: dict[str, Any] = {"upstream": FBANK, "seed": seed, "device": "cpu"}
    if name != FBANK:
        # Merging would keep the configuration's workers beside those of a file.
        config = {**plan.pretraining, "workers": dict(plan.variants[name])}
        options = plan.pretraining.get("worker_options", {})
        config["worker_options"] = {key: value for key, value in options.items() if key in config["workers"]}
        checkpoint = place / "pretraining" / "pase.pt"
        if not checkpoint.is_file():
            pretrain(config, checkpoint.parent, seed, torch.device("cpu"))
        of_runs |= {"upstream": "pase_multitask_local", "upstream_ckpt": str(checkpoint)}
    store = place / "features"
    given = {"corpus_root": str(plan.corpus), "encoder": {"store": str(store)}, "ssl": {"steps": plan.head_steps}}
    mapping = merge(load_yaml(find_config("scenarios_mini")), given)
    first = plan.place(FBANK if name == FBANK else next(iter(plan.variants)), plan.seeds[0])
    searches = place == first
    rates = None if searches else first / "probe"
    splits = ",".join(f"{task}:{card(task).test}" for task in plan.tasks)
    sweep = Sweep(
        ssl(mapping, plan.tasks, search=searches), SweepOptions(place / "probe", of_runs, rates=rates, splits=splits)
    )
    sweep.run(InProcess())
    # The states of dozens of encoders would fill a disk.
    shutil.rmtree(store, ignore_errors=True)
    saved = {task: saved_results(sweep.folder(f"ssl/{task}"))["scores"][task] for task in plan.tasks}
    return {task: saved[task][card(task).test][card(task).best_metric.name] for task in plan.tasks}


def table(plan: Plan, found: Mapping[tuple[str, int], Scores]) -> list[list[str]]:
    """A head and one row a variant."""
    reference = next(iter(plan.variants))
    rows = [["variant", *(f"{task.upper()} {card(task).best_metric.name}" for task in plan.tasks)]]
    for name in (FBANK, *plan.variants):
        cells = []
        for task in plan.tasks:
            values = [found[name, seed][task] for seed in plan.seeds]
            change = statistics.mean(value - found[reference, seed][task] for value, seed in zip(values, plan.seeds))
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread} ({change:+.2f})")
        rows.append([name, *cells])
    return rows


if __name__ == "__main__":
    main()
