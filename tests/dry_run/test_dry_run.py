"""What a dry run counts, against hand-made figures, and what it says with and without corpora."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.dry_run.costs import Cost, Curve, curve, measure
from s3prl_plugins.dry_run.fake_tasks import INVENTORIES, MEAN_SECONDS, FakeReader, fake_label, fake_wave
from s3prl_plugins.dry_run.gpus import STEP_SECONDS, hours
from s3prl_plugins.dry_run.run import dry_run
from s3prl_plugins.dry_run.run_costs import RunCosts
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.task import build_head
from s3prl_plugins.multitask.config import find_config, task_configs
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.streams import Batch
from s3prl_plugins.multitask.tasks import read_tasks
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "base.pt"
    write_checkpoint(path, random_checkpoint("base", 0))
    return path


def counted(module: nn.Module, *inputs: torch.Tensor) -> Cost:
    def run() -> torch.Tensor:
        output = module(*inputs)
        return (output[0] if isinstance(output, tuple) else output).sum()

    return measure(run, module.parameters())


def test_products_and_what_the_graph_keeps() -> None:
    layer, inputs = nn.Linear(20, 30), torch.randn(7, 20)
    cost = counted(layer, inputs)
    assert cost.forward == 2 * 7 * 20 * 30
    assert cost.both == 2 * cost.forward  # the input needs no gradient
    assert cost.saved == 4 * 7 * 20  # the input; the weight is no part of the graph
    assert layer.weight.grad is None
    assert counted(layer, inputs.requires_grad_()).both == 3 * cost.forward


def test_convolutions_count_their_groups() -> None:
    inputs = torch.randn(2, 8, 50, requires_grad=True)
    for groups in (1, 4):
        cost = counted(nn.Conv1d(8, 12, 5, stride=3, groups=groups), inputs)
        assert cost.forward == 2 * 2 * 16 * (12 * 8 * 5 // groups)
        assert cost.both == 3 * cost.forward
    transposed = counted(nn.ConvTranspose1d(8, 12, 5, stride=3, groups=4), inputs)
    assert transposed.both == 3 * transposed.forward == 3 * 2 * 2 * 50 * (8 * 12 * 5 // 4)


@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_layers_count_all_frames_and_directions(packed: bool) -> None:
    network = nn.LSTM(6, 10, 2, bidirectional=True, batch_first=True)
    inputs: Any = torch.randn(2, 9, 6, requires_grad=True)
    if packed:
        inputs = nn.utils.rnn.pack_padded_sequence(inputs, torch.tensor([9, 9]), batch_first=True)
    cost = measure(lambda: network(inputs)[1][0].sum() + network(inputs)[1][1].sum(), network.parameters())
    weights = sum(parameter.numel() for parameter in network.parameters() if parameter.dim() == 2)
    assert cost.forward == 2 * (2 * 2 * 9 * weights)
    assert cost.both >= 2.5 * cost.forward


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_counts_whatever_kernel_runs(dropout: float) -> None:
    query, key, value = (torch.randn(2, 3, 40, 16, requires_grad=True) for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention
    cost = measure(lambda: attend(query, key, value, dropout_p=dropout).sum(), [])
    assert cost.forward == 2 * (2 * 2 * 3 * 40 * 40 * 16)
    assert cost.both == 3 * cost.forward


def test_a_curve_is_exact_for_quadratics_and_sums_over_utterances() -> None:
    def exact(length: float) -> Cost:
        return Cost(2 + 3 * length + 5 * length**2, 7 * length, length**2)

    found = curve(exact)
    assert isinstance(found, Curve)
    for lengths in ([0.5], [12.0], [4.0, 9.0, 9.0]):
        total = sum(map(exact, lengths), Cost())
        assert vars(found(lengths)) == pytest.approx(vars(total))


def test_hubert_base_costs_what_arithmetic_says(base: Path) -> None:
    """Forward 13.9 GFLOP a second of audio and 0.092 a second more for each second of length; backward twice that."""
    from s3prl import hub

    trunk = Trunk(hub.hubert_local(ckpt=str(base)), "batch", conv_grad_mult=0.1).train()

    def cost(seconds: float) -> Cost:
        wave = torch.randn(round(16000 * seconds), generator=torch.Generator().manual_seed(0))
        return measure(lambda: torch.stack(trunk([wave])[0].layers).sum(), trunk.parameters())

    found = curve(cost)
    for seconds, forward, both in ((1.0, 14.0, 42.0), (5.0, 14.4, 43.1), (10.0, 14.8, 44.5), (34.0, 17.1, 51.1)):
        each = found([seconds])
        assert each.forward / seconds / 1e9 == pytest.approx(forward, abs=0.06)
        assert each.both / seconds / 1e9 == pytest.approx(both, abs=0.06)
    trunk.upstream.model.feature_grad_mult = 0.0
    assert cost(1.0).both / 1e9 == pytest.approx(32.2, abs=0.06)
    assert cost(1.0).saved < 0.9 * found([1.0]).saved


def test_hours_add_the_time_recurrent_layers_wait() -> None:
    alone, together = hours("h100", 1.41e18, 0.0), hours("h100", 1.41e18, 3600 / STEP_SECONDS)
    assert alone["fp32"] == pytest.approx(9.7, abs=0.05) and alone["bf16"] == pytest.approx(0.99, abs=0.01)
    assert together["fp32"] - alone["fp32"] == pytest.approx(1.0)
    assert "bf16" not in hours("v100", 1.0, 0.0)


@pytest.mark.parametrize("task", FINETUNED_TASKS)
def test_fake_labels_are_ones_the_head_learns(task: str, tiny_corpus: Path) -> None:
    config = task_configs({**load_yaml(find_config("all_task_mini")), "tasks": [task]})[task]
    data = read_tasks({task: config}, tiny_corpus)[task]
    inventories = [data.labels(), *([INVENTORIES[task]] if task in INVENTORIES else [])]
    assert task in MEAN_SECONDS
    for inventory in inventories:
        reader = FakeReader(config.card, inventory, 0)
        examples = reader.examples("train", Problems())
        waves = [reader.waveform(example, None) for example in examples]
        assert [wave.numel() / 16000 for wave in waves] == [example.seconds for example in examples]
        assert not torch.equal(waves[0][:100], waves[1][:100])
        head: Any = build_head(config, inventory, 8, 320)
        if hasattr(head, "known"):
            assert all(head.known(example.label) == example.label for example in examples)
        features = [torch.randn(wave.numel() // 320, 8) for wave in waves]
        loss = head.loss(features, [example.label for example in examples]).mean
        assert loss.isfinite() and loss > 0


def arguments(folder: Path, ckpt: Path | None, **given: Any) -> Any:
    chosen = {"upstream": "hubert_local", "upstream_trainable": True, "upstream_ckpt": str(ckpt) if ckpt else None}
    return stock_args(expdir=str(folder / "run"), device="cpu", seed=3, **{**chosen, **given})


def table(text: str, title: str) -> dict[str, list[str]]:
    """The rows of one section by their first cell."""
    section = next(part for part in text.split("\n\n") if part.startswith(title))
    rows = [re.split(r"  +", line.strip()) for line in section.splitlines()[1:]]
    return {row[0]: row[1:] for row in rows}


def test_a_run_on_corpora_that_are_there(tiny_corpus: Path, tiny: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpora"
    shutil.copytree(tiny_corpus, root)
    shutil.rmtree(root / "SNIPS")
    config = merge(load_yaml(find_config("all_task_mini")), {"corpus_root": str(root)})
    text = dry_run(arguments(tmp_path, tiny), config, "A100")
    assert f"sf   missing: {root / 'SNIPS'}" in text
    assert re.search(r"asr  train 8 \(\d\.\d min\), dev-clean 4 .*", text)
    assert re.search(r"sid  train \d+ .*; \d+ training utterances left out, others' tests", text)
    step = table(text, "One optimizer step")
    assert step["sf"][-1] == "SUPERB's mean length" and step["sf"][1] == "3.0"
    assert {step[task][-1] for task in FINETUNED_TASKS if task != "sf"} == {"corpus"}
    parts = table(text, "Parameters")
    assert parts["encoder"] == ["3,764,928", "3,764,928"]
    assert "random weights" not in text
    assert list(table(text, "Hours of the"))[1] == "a100"
    tried = table(text, "Two optimizer steps")
    assert "every loss is finite" in text and tried.keys() >= set(FINETUNED_TASKS)
    assert not (tmp_path / "run").exists()


def test_a_frozen_upstream_without_parameters_and_corpora(tmp_path: Path) -> None:
    change = {"corpus_root": str(tmp_path / "none"), "tasks": ["ks", "asr"], "encoder": {"conv_grad_mult": None}}
    config = merge(load_yaml(find_config("all_task_mini")), change)
    text = dry_run(arguments(tmp_path, None, upstream="fbank", upstream_trainable=False), config)
    assert "the folder is missing, so all 2 tasks are: set config.corpus_root" in text
    assert f"s3prl-plugins corpus make {tmp_path / 'none'}" in text
    assert table(text, "Parameters")["encoder"] == ["0", "0"]
    assert "the frozen encoder's states are kept" in text


@pytest.mark.parametrize("padding", ["batch", "none"])
def test_costs_of_a_batch_are_those_of_running_it(padding: str, tiny_corpus: Path, tiny: Path, tmp_path: Path) -> None:
    change = {"corpus_root": str(tiny_corpus), "tasks": ["asr", "sd", "asv"], "encoder": {"padding": padding}}
    experiment = Experiment(arguments(tmp_path, tiny), merge(load_yaml(find_config("all_task_mini")), change))
    costs, model = RunCosts.of(experiment, 0), experiment.model
    for task, data in experiment.tasks.items():
        lengths = [5.0, 2.5]
        draw = torch.Generator().manual_seed(0)
        examples = [
            Example(str(seconds), Path(), seconds, fake_label(data.config.card, model.labels[task], seconds, draw))
            for seconds in lengths
        ]
        batch = Batch(examples, [fake_wave(seconds, draw) for seconds in lengths])
        found = measure(lambda task=task, batch=batch: model.loss(task, batch).mean, model.parameters())
        expected = costs.batch(task, lengths)
        assert expected.forward == pytest.approx(found.forward, rel=0.02)
        assert expected.both == pytest.approx(found.both, rel=0.02)
        assert expected.saved == pytest.approx(found.saved, rel=0.1)


@pytest.mark.parametrize("balancer", ["fixed", "pcgrad"])
def test_memory_adds_up(balancer: str, tiny: Path, tmp_path: Path) -> None:
    change = {"corpus_root": str(tmp_path), "tasks": ["sid"], "balancer": {"name": balancer}}
    text = dry_run(arguments(tmp_path, tiny), merge(load_yaml(find_config("all_task_mini")), change))
    rows = {
        name: float(cells[0]) for name, cells in table(text, "Memory of training").items() if name != "GB" and cells
    }
    together = rows.pop("together")
    assert together == pytest.approx(sum(rows.values()), abs=0.03)
    weights = 4 * int(table(text, "Parameters")["all"][0].replace(",", "")) / 1e9
    assert rows["weights"] == rows["gradients"] == pytest.approx(weights, abs=0.005)
    assert rows["optimizer states"] == pytest.approx(2 * weights, abs=0.01)  # AdamW
    kept = rows.get("one gradient a task (pcgrad)", 0)
    assert 0.5 * weights < kept < weights if balancer == "pcgrad" else not kept


def test_hubert_base_with_random_weights_stands_in(tmp_path: Path) -> None:
    """Unlike other upstreams, whose size nobody knows."""
    change = {"corpus_root": str(tmp_path), "tasks": ["ks", "er"]}
    config = merge(load_yaml(find_config("all_task_paper")), change)
    text = dry_run(arguments(tmp_path, tmp_path / "gone.pt"), config, "h100")
    assert "The encoder is HuBERT Base with random weights: 'hubert_local' with -k" in text
    assert table(text, "Parameters")["encoder"][0].startswith("94,5")
    with pytest.raises(CheckpointError, match="upstream 'wav2vec2_local' needs a checkpoint file"):
        dry_run(arguments(tmp_path, None, upstream="wav2vec2_local"), config)


def test_a_gpu_must_be_known(tmp_path: Path) -> None:
    config = load_yaml(find_config("all_task_mini"))
    with pytest.raises(ConfigError, match=r"unknown GPU 'h10' \(--gpu\); did you mean 'h100'"):
        dry_run(arguments(tmp_path, None), config, "h10")
