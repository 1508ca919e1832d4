"""What pretext selection promised against what training gave: rank correlation of utilities and scores.

    s3prl-plugins select-pretext --task sid -p DIR/sid
    python benchmarks/variants.py benchmarks/variants/pase_selected.yaml DIR/runs CORPUS --speech FOLDER
    python benchmarks/pretext_promise.py DIR/runs/scores.csv DIR/sid/selection.json ...

Of each selection's task: Spearman's and Kendall's correlation, over labels, of the utility (lower is better) with the
score of `only LABEL`, whose sign is such that 1 is a promise wholly kept; of the mean score over seeds, and of each seed.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections import defaultdict
from pathlib import Path

from scipy.stats import kendalltau, spearmanr

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.report.table import format_table
from s3prl_plugins.superb.cards import card

Scores = dict[int, dict[str, float]]
"""Seed -> label -> score."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path)
    parser.add_argument("selections", type=Path, nargs="+")
    args = parser.parse_args()
    rows = [["task", "labels, most useful first", "seeds", "Spearman", "Kendall", "Spearman of seeds"]]
    for path in args.selections:
        selection = json.loads(path.read_text(encoding="utf-8"))
        task = selection["about"]["task"]
        utility = {label: float(found["utility"]) for label, found in selection["labels"].items()}
        rows.append(row(task, utility, read_scores(args.scores, task)))
    print(format_table(rows))


def read_scores(path: Path, task: str) -> Scores:
    """Test scores of `only LABEL`, with the sign that makes lower better."""
    sign = -1 if card(task).best_metric.higher_is_better else 1
    found: Scores = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for entry in csv.DictReader(file):
            word, _, label = entry["name"].partition(" ")
            if word == "only" and entry["task"] == task:
                found[int(entry["seed"])][label] = sign * float(entry["value"])
    return found


def row(task: str, utility: dict[str, float], scores: Scores) -> list[str]:
    """:raises ConfigError: a label was not trained with every seed."""
    labels = sorted(utility, key=lambda label: utility[label])
    for seed, found in scores.items():
        if missing := utility.keys() - found.keys():
            raise ConfigError(f"scores must have `only {min(missing)}` with seed {seed}; run benchmarks/variants.py")
    if not scores:
        raise ConfigError(f"scores must have `only LABEL` of task {task}, found none; run benchmarks/variants.py")
    promised = [utility[label] for label in labels]
    means = [statistics.mean(found[label] for found in scores.values()) for label in labels]
    each = [spearmanr(promised, [found[label] for label in labels]).statistic for found in scores.values()]
    return [
        task, " ".join(labels), str(len(scores)), f"{spearmanr(promised, means).statistic:+.2f}",
        f"{kendalltau(promised, means).statistic:+.2f}", " ".join(f"{value:+.2f}" for value in each),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
