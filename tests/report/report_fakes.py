"""Sweeps that look as if they had been run: the paper's Table 1 with noise, in the folders that `finetune` writes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.superb.cards import CARDS, FINETUNED_TASKS

TABLE = Path(__file__).with_name("table1.csv")
STEPS = 200


def paper_rows() -> dict[tuple[str, str], dict[str, float]]:
    """(scenario, left-out task) -> column -> score, read without this package."""
    rows = {}
    with TABLE.open() as file:
        for row in csv.DictReader(file):
            left_out = row["mtl_tasks"].removeprefix("all but ") if row["scenario"] == "leave_one_out" else ""
            scores = {
                name: float(text) for name, text in row.items() if text and name[-1] != "s" and name != "scenario"
            }
            rows[row["scenario"], left_out] = {name: value for name, value in scores.items() if name != "mtl_tasks"}
    return rows


def write_results(folder: Path, scores: Mapping[str, float], seed: int, **about: object) -> Path:
    """A `results.json` with scores given by the columns of Table 1, test split and, as a trap, another dev split."""
    by_task: dict[str, dict[str, dict[str, float]]] = {}
    for task, card in CARDS.items():
        given = {metric.name: scores[metric.column] for metric in card.metrics if metric.column in scores}
        if given:
            by_task[task] = {card.test: {**given, "loss": 1.0}, card.dev: dict.fromkeys(given, 1.0)}
    if "qbe_mtwv" in scores:
        by_task["qbe"] = {"eval": {"mtwv": scores["qbe_mtwv"], "layer": 3}, "dev": {"mtwv": 0.5, "layer": 3}}
    told = {
        "upstream": "hubert_local", "upstream_ckpt": "hubert_tiny.pt", "finetuned": "ssl" not in folder.parts,
        "seed": seed, "tasks": sorted(by_task), "padding": "none", "size": "mini", "config": "all_task_mini",
        "versions": {"torch": "2.14.1", "python": "3.11.7"}, "device": "cpu",
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    path.write_text(json.dumps({"step": STEPS, "about": {**told, **about}, "scores": by_task}))
    return path


def write_insides(folder: Path, tasks: list[str], generator: np.random.Generator, layers: int = 5) -> None:
    """Losses that fall, and a checkpoint with layer weights."""
    lines = []
    for step in range(10, STEPS + 1, 10):
        losses = {f"train/{task}/loss": 4 * math.exp(-step / 60) + 0.3 + 0.1 * generator.random() for task in tasks}
        lines.append(json.dumps({"step": step, **losses}))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    weights = {f"{task}.weights": torch.tensor(generator.normal(0, 0.6, layers)) for task in tasks}
    checkpoint.save(folder, STEPS, {}, {}, {"model": {"featurizers": weights}}, keep=1)


def write_sweep(folder: Path, seed: int, noise: float = 0.01, insides: bool = False, **about: object) -> Path:
    """All 28 runs of one seed.

    :param noise: standard deviation of each score, relative to it.
    :param insides: logs and checkpoints as well.
    """
    generator = np.random.default_rng(seed)
    for (scenario, left_out), row in paper_rows().items():
        scores = {name: min(value * (1 + noise * generator.standard_normal()), 100.0) for name, value in row.items()}
        if scenario in ("ssl", "transfer"):
            for task in FINETUNED_TASKS:
                own = {name: value for name, value in scores.items() if name.startswith(f"{task}_")}
                write_results(folder / scenario / task, own, seed, **about)
        else:
            write_results(folder / scenario / left_out, scores, seed, **about)
    if insides:
        for path in sorted(folder.rglob("results.json")):
            write_insides(path.parent, json.loads(path.read_text())["about"]["tasks"], generator)
    return folder
