"""The shipped configurations of joint runs, all nine tasks, with every balancer: trained, evaluated and loaded again.

Two steps of a few in the suite; twenty steps of every pair with `make test-slow`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import s3prl_plugins
from s3prl_plugins.balancers import BALANCERS
from s3prl_plugins.config import load_yaml, merge, override
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import find_config, shipped_configs
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

CONFIGS = sorted(path.stem for path in (shipped_configs() / "multitask").glob("*.yaml"))


def configuration(name: str, balancer: str, corpus: Path, steps: int) -> dict[str, Any]:
    """As shipped, with mini-SUPERB's corpora and sizes of heads, and few steps that are all logged."""
    mapping = override(f"config.balancer.name='{balancer}'", load_yaml(find_config(name)))
    runner = {
        "total_steps": steps, "warmup_steps": 1, "log_step": 1, "save_step": steps, "eval_step": 0,
        "eval_at_start": False, "num_workers": 0,
    }  # fmt: skip
    files = {task: load_yaml(shipped_configs() / "superb" / f"{task}_mini.yaml") for task in FINETUNED_TASKS}
    small = {task: {"corpus": file["corpus"], "head": file["head"]} for task, file in files.items()}
    superb = merge(small, mapping["superb"])
    return merge(mapping, {"corpus_root": str(corpus), "runner": runner, "superb": superb})


def check(name: str, balancer: str, steps: int, corpus: Path, folder: Path) -> None:
    mapping = configuration(name, balancer, corpus, steps)
    try:
        build_balancer(mapping["balancer"], FINETUNED_TASKS)
    except ConfigError as error:
        if "needs packages that are not here" in str(error):
            pytest.skip(str(error))
        raise
    hubert, place = folder / "tiny.pt", folder / "run"
    write_checkpoint(hubert, random_checkpoint("tiny", 0))
    args = stock_args(
        expdir=str(place), upstream="hubert_local", upstream_ckpt=str(hubert), upstream_trainable=True, device="cpu"
    )
    experiment = Experiment(args, mapping)
    before = {key: value.clone() for key, value in experiment.model.state_dict().items() if value.is_floating_point()}
    experiment.train()
    entries = [entry for entry in read_metrics(place) if "train/asr/loss" in entry]
    assert [entry["step"] for entry in entries] == list(range(1, steps + 1))
    for entry in entries:
        assert entry["train/skipped_steps"] == 0
        for task in FINETUNED_TASKS:
            assert math.isfinite(entry[f"train/{task}/loss"]) and math.isfinite(entry[f"train/{task}/weight"])
            assert entry[f"train/{task}/left_out"] == 0
    after = experiment.model.state_dict()
    moved = {key for key, value in before.items() if not value.equal(after[key])}
    for part in ("trunk.", "featurizers.", *(f"heads.{task}." for task in FINETUNED_TASKS)):
        assert any(key.startswith(part) for key in moved), part
    scores = experiment.evaluate("ks:dev,pr:dev")
    assert 0 <= scores["ks", "dev"]["acc"] <= 100 and math.isfinite(scores["pr", "dev"]["per"])
    wave = next((corpus / "SNIPS").rglob("*.wav"))
    assert s3prl_plugins.load(place, "cpu")(wave).asr is not None


@pytest.mark.parametrize(("name", "balancer"), [("all_task_paper", "pcgrad"), ("scenarios_mini", "uncertainty")])
def test_two_steps(name: str, balancer: str, tiny_corpus: Path, tmp_path: Path) -> None:
    check(name, balancer, 2, tiny_corpus, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("balancer", sorted(BALANCERS))
@pytest.mark.parametrize("name", CONFIGS)
def test_twenty_steps(name: str, balancer: str, tiny_corpus: Path, tmp_path: Path) -> None:
    check(name, balancer, 20, tiny_corpus, tmp_path)
