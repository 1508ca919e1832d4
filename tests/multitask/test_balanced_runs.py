"""Joint runs with every balancer: they train, log what they did, and go on exactly where they were."""

from __future__ import annotations

import argparse
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes_multitask import Run, config, joint_model

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.balancers import BALANCERS, GradientBalancer, GradientOptions
from s3prl_plugins.config import load_yaml, merge, override
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

TASKS = ("ks", "sid", "er")
OPTIONS: dict[str, dict[str, Any]] = {
    "dwa": {"window": 2},
    "pcgrad": {"per": "layer", "reduction": "mean", "rows": "bfloat16"},
    "fixed": {"weights": {"sid": 0.5, "asr": 3}},
}


def settings(name: str) -> dict[str, Any]:
    return {"name": name, **OPTIONS.get(name, {})}


def run(name: str, seed: int = 0) -> Run:
    steps = config(settings(name), total_steps=6, save_step=3, log_step=1, warmup_steps=1)
    return Run(steps, joint_model(TASKS, seed), TASKS)


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("name", BALANCERS)
def test_a_run_trains_and_resumes_bit_identical(name: str) -> None:
    try:
        straight = run(name)
    except ConfigError as error:
        if "needs packages that are not here" in str(error):
            pytest.skip(str(error))
        raise
    before = [p.clone() for p in straight.model.parameters()]
    straight.trainer.run(1)
    assert not any(torch.equal(a, b) for a, b in zip(before, straight.model.parameters()))
    for entry in straight.log.steps.values():
        assert entry["train/skipped_steps"] == 0 and all(map(math.isfinite, entry.values()))
        assert all(f"train/{task}/weight" in entry for task in TASKS)
        assert "train/conflict_ratio" in entry and all(f"train/{task}/cosine" in entry for task in TASKS)

    resumed = run(name, seed=5)
    resumed.restore(straight.states[3])
    resumed.trainer.run(4)
    for key, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[key]), key
    for step in (4, 5, 6):
        timeless = [{k: v for k, v in r.log.steps[step].items() if "seconds" not in k} for r in (straight, resumed)]
        assert timeless[0] == timeless[1]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchjd.aggregation", None)
    with pytest.raises(
        ConfigError, match=r"balancer.name is 'mgda', which needs packages .* pip install 's3prl-plugins\[mtl\]'"
    ):
        build_balancer({"name": "mgda"}, TASKS)


@pytest.mark.parametrize("path", ["all_task_mini", "all_task_paper", "scenarios_mini"])
def test_a_shipped_configuration_takes_any_balancer_by_its_name_alone(path: str) -> None:
    """Its weights for `fixed` stay in force: the losses are multiplied by them first."""
    for name, (kind, _) in BALANCERS.items():
        changed = override(f"config.balancer.name='{name}'", load_yaml(find_config(path)))["balancer"]
        try:
            built = build_balancer(changed, ("er", "sid"))
        except ConfigError as error:
            assert "needs packages that are not here" in str(error)
            continue
        assert isinstance(built, GradientBalancer) == issubclass(kind, GradientOptions)
        if name != "random":
            assert built.weights(1) == {task: changed.get("weights", {}).get(task, 1.0) for task in ("er", "sid")}


def test_an_experiment_saves_its_balancer(tiny_corpus: Path, tmp_path: Path) -> None:
    """GradNorm on two real tasks, cut off and continued: equal weights in the log to the end."""
    hubert, folder, cut = tmp_path / "tiny.pt", tmp_path / "run", tmp_path / "cut"
    write_checkpoint(hubert, random_checkpoint("tiny", 0))
    small = {"total_steps": 4, "warmup_steps": 1, "log_step": 1, "save_step": 2, "eval_step": 0, "eval_at_start": False}
    sizes = {name: {"train_batch": {"size": 1}} for name in ("ks", "ic")}
    mapping = merge(load_yaml(find_config("all_task_mini")), {"runner": small, "superb": sizes})
    mapping = merge(mapping, {"corpus_root": str(tiny_corpus), "tasks": ["ks", "ic"]})
    mapping = override("config.balancer.name='gradnorm',,config.balancer.lr=0.1", mapping)
    args = stock_args(
        expdir=str(folder), upstream="hubert_local", upstream_ckpt=str(hubert), upstream_trainable=True, device="cpu"
    )
    Experiment(args, mapping).train()
    shutil.copytree(folder, cut)
    (cut / "states-4.ckpt").unlink()
    saved, _ = checkpoint.newest_whole(cut)
    Experiment(argparse.Namespace(**{**saved.args, "past_exp": str(cut)}), saved.config).train()
    straight, continued = (
        [{k: v for k, v in entry.items() if "seconds" not in k} for entry in read_metrics(place)]
        for place in (folder, cut)
    )
    assert straight == continued and len(straight) == 4
    assert straight[-1]["train/ks/weight"] != 1
    assert straight[-1]["train/ks/weight"] + straight[-1]["train/ic/weight"] == pytest.approx(2)
