"""What parts of a pretraining are good for: pretrain variants of it, then train SUPERB's heads on the frozen encoders.

    python benchmarks/variants.py benchmarks/variants/pase_left_out.yaml DIR CORPUS --speech FOLDER [--seeds 1 2 3]

CORPUS is a folder made by `s3prl-plugins corpus make`, FOLDER one made by `s3prl-plugins corpus speech`. The file says which
pretraining, its variants, and what is probed (`Experiment`). Every variant and seed has a folder of its own below DIR; the
same command continues what was cut off, and several may work on other seeds or variants (--only) at once. Of each probe
the first seed of the first variant, and of each reference its first seed, search the heads' learning rates on dev; the
others take them over. DIR/scores.csv has the test scores of what the last command asked for (ask for everything in the end:
nothing is computed twice); the table their mean, standard deviation over seeds, and change against the first variant.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.config import build, load_yaml, merge
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.evaluation import saved_results
from s3prl_plugins.plugin import PRETRAININGS, resolve
from s3prl_plugins.pretrain.config import find_pretrain_config
from s3prl_plugins.report.table import format_table
from s3prl_plugins.superb.cards import card
from s3prl_plugins.sweep.launcher import InProcess
from s3prl_plugins.sweep.scenarios import ssl
from s3prl_plugins.sweep.sweep import Sweep, SweepOptions


@dataclass(frozen=True)
class Probe:
    """Heads of some tasks on one view of an encoder."""

    upstream: str
    """Name in s3prl's hub; of a variant one that takes its checkpoint."""
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """Content of a file in benchmarks/variants."""

    pretraining: str
    """As `s3prl-plugins pretrain` names it."""
    config: str
    """Its configuration, as -c takes it."""
    probes: dict[str, Probe]
    """View -> what is probed of every variant."""
    variants: dict[str, dict[str, Any]]
    """Name -> what differs from `config` and `override`; the first is what others are set beside."""
    override: dict[str, Any] = field(default_factory=dict)
    """What differs from `config` in all variants."""
    references: dict[str, Probe] = field(default_factory=dict)
    """Encoders that are there."""
    head_steps: int | None = None
    """Steps of a head; None is the recipes'."""

    def __post_init__(self) -> None:
        if not self.variants or set(self.variants) & set(self.references):
            raise ConfigError("variants must name at least one, none of them among references")

    def views(self, name: str) -> Mapping[str, Probe]:
        """What is probed of a variant or reference."""
        return {"probe": self.references[name]} if name in self.references else self.probes

    def leader(self, name: str) -> str:
        """Whose learning rates a variant or reference follows."""
        return name if name in self.references else next(iter(self.variants))


class Score(NamedTuple):
    """A row of scores.csv."""

    name: str
    view: str
    task: str
    metric: str
    seed: int
    value: float


@dataclass(frozen=True)
class Plan:
    """An experiment, and where things are."""

    experiment: Experiment
    folder: Path
    corpus: Path
    speech: tuple[str, ...]
    first_seed: int

    def place(self, name: str, seed: int) -> Path:
        return self.folder / name.replace(" ", "_") / f"seed{seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, metavar="FILE")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--speech", nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--first-seed", type=int, default=1, help="which searches learning rates (default: 1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="variants and references to work on now")
    args = parser.parse_args()
    keep_freed_memory()
    experiment = build(Experiment, load_yaml(args.experiment))
    plan = Plan(experiment, args.folder, args.corpus, tuple(args.speech), args.first_seed)
    names = args.only or [*experiment.references, *experiment.variants]
    found = [score for seed in args.seeds for name in names for score in scores(plan, name, seed)]
    with (args.folder / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([Score._fields, *found])
    print(format_table(table(experiment, found)))


def scores(plan: Plan, name: str, seed: int) -> Iterator[Score]:
    """Pretrain a variant where that is not done, train a head for every task of its views, and give the test scores."""
    checkpoint = pretrained(plan, name, seed) if name in plan.experiment.variants else None
    for view, probe in plan.experiment.views(name).items():
        sweep = heads(plan, name, view, seed, checkpoint)
        for task in probe.tasks:
            saved = saved_results(sweep.folder(f"ssl/{task}"))["scores"][task][card(task).test]
            metric = card(task).best_metric.name
            yield Score(name, view, task, metric, seed, saved[metric])


def pretrained(plan: Plan, name: str, seed: int) -> Path:
    """The checkpoint of a variant."""
    done = plan.place(name, seed) / "checkpoint"
    if not done.is_file():
        config = merge(find_pretrain_config(plan.experiment.config), {"speech": {"folders": list(plan.speech)}})
        config = merge(merge(config, plan.experiment.override), plan.experiment.variants[name])
        run = resolve(PRETRAININGS[plan.experiment.pretraining])
        written: Path = run(config, done.parent / "pretraining", seed, torch.device("cpu"))
        done.write_text(f"{written.relative_to(done.parent)}\n", encoding="utf-8")
    return done.parent / done.read_text(encoding="utf-8").strip()


def heads(plan: Plan, name: str, view: str, seed: int, checkpoint: Path | None) -> Sweep:
    """A head for every task of a view, as `s3prl-plugins finetune ssl` trains them."""
    place, leader = plan.place(name, seed), plan.place(plan.experiment.leader(name), plan.first_seed)
    probe = plan.experiment.views(name)[view]
    args: dict[str, Any] = {"upstream": probe.upstream, "seed": seed, "device": "cpu"}
    if checkpoint:
        args["upstream_ckpt"] = str(checkpoint)
    store, searches = place / "features", place == leader
    given = {
        "corpus_root": str(plan.corpus), "encoder": {"store": str(store)}, "ssl": {"steps": plan.experiment.head_steps},
    }  # fmt: skip
    runs = ssl(merge(load_yaml(find_config("scenarios_mini")), given), probe.tasks, search=searches)
    splits = ",".join(f"{task}:{card(task).test}" for task in probe.tasks)
    sweep = Sweep(runs, SweepOptions(place / view, args, rates=None if searches else leader / view, splits=splits))
    sweep.run(InProcess())
    # The states of dozens of encoders would fill a disk.
    shutil.rmtree(store, ignore_errors=True)
    return sweep


def table(experiment: Experiment, found: list[Score]) -> list[list[str]]:
    """A head, and one row a variant or reference and view."""
    values: dict[tuple[str, str, str], dict[int, float]] = {}
    for score in found:
        values.setdefault((score.name, score.view, score.task), {})[score.seed] = score.value
    tasks = list(dict.fromkeys(score.task for score in found))
    rows = [["variant", "view", *(f"{task.upper()} {card(task).best_metric.name}" for task in tasks)]]
    first = next(iter(experiment.variants))
    for name, view in dict.fromkeys((score.name, score.view) for score in found):
        cells = []
        for task in tasks:
            own = values.get((name, view, task), {})
            beside = next((seeds for key, seeds in values.items() if key[0] == first and key[2] == task), {})
            cells.append(cell(own, beside if name != first else {}))
        rows.append([name, view, *cells])
    return rows


def cell(own: Mapping[int, float], beside: Mapping[int, float]) -> str:
    """Mean, spread over seeds, and mean change."""
    if not own:
        return ""
    spread = f" ± {statistics.stdev(own.values()):.2f}" if len(own) > 1 else ""
    both = own.keys() & beside.keys()
    change = f" ({statistics.mean(own[seed] - beside[seed] for seed in both):+.2f})" if both else ""
    return f"{statistics.mean(own.values()):.2f}{spread}{change}"


if __name__ == "__main__":
    main()
