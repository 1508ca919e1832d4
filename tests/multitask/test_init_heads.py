"""Heads of s3prl's legacy experts, as stock checkpoints hold them, in our joint model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import s3prl_plugins  # noqa: F401
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config, task_configs
from s3prl_plugins.multitask.init_heads import init_heads, read_head
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.superb.units import CHARACTERS, LETTERS, PHONES

DIM, SPEAKERS = 12, 5
LABELS: dict[str, Any] = {
    "asr": list(LETTERS),
    "pr": list(PHONES),
    "sf": {"characters": list(CHARACTERS), "slots": ["artist", "object"]},
    "sd": None,
    "er": {"emotion": ["neu", "hap", "ang", "sad"]},
    "ic": {"action": ["on", "off", "up"], "object": ["light", "none"], "location": ["a", "b", "c", "d"]},
    "ks": {"keyword": [f"c{i}" for i in range(12)]},
    "asv": [f"id{i}" for i in range(SPEAKERS)],
    "sid": {"speaker": [f"id{i}" for i in range(7)]},
}
RNN = {
    "module": "LSTM", "bidirection": True, "dim": [1024, 1024], "dropout": [0.2, 0.2], "layer_norm": [False, False],
    "proj": [False, False], "sample_rate": [1, 1], "sample_style": "concat", "total_rate": -1,
}  # fmt: skip


class Expert(nn.Module):
    """A legacy expert's parameters under its own names, without its corpora."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def utterance_level(classes: int) -> nn.Module:
    from s3prl.downstream.model import UtteranceLevel

    return Expert(
        projector=nn.Linear(DIM, 256), model=UtteranceLevel(input_dim=256, output_dim=classes, pooling="MeanPooling")
    )


def recurrent(symbols: int) -> nn.Module:
    from s3prl.downstream.asr.model import RNNs

    return Expert(projector=nn.Linear(DIM, 1024), model=RNNs(1024, symbols, 320, **RNN))


def frame_level() -> nn.Module:
    from s3prl.downstream.model import FrameLevel

    return Expert(projector=nn.Linear(DIM, 256), model=FrameLevel(256, len(PHONES) + 3))


def diarization() -> nn.Module:
    from s3prl.downstream.diarization.model import Model

    return Expert(model=Model(input_dim=DIM, output_class_num=2, rnn_layers=1, hidden_size=512))


def verification() -> nn.Module:
    from s3prl.downstream.sv_voxceleb1.model import AMSoftmaxLoss, Model

    model = Model(
        512, 1500, "SP", "XVector", "UtteranceExtractor", {"agg_dim": 1500, "dropout_p": 0.0, "batch_norm": False}
    )
    return Expert(
        connector=nn.Linear(DIM, 512), model=model, objective=AMSoftmaxLoss(hidden_dim=512, speaker_num=SPEAKERS)
    )


EXPERTS: dict[str, Callable[[], nn.Module]] = {
    "asr": lambda: recurrent(len(LETTERS) + 4),
    "sf": lambda: recurrent(len(CHARACTERS) + 7),
    "pr": frame_level,
    "sd": diarization,
    "asv": verification,
    "er": lambda: utterance_level(4),
    "ic": lambda: utterance_level(9),
    "ks": lambda: utterance_level(12),
    "sid": lambda: utterance_level(7),
}


class States(nn.Module):
    """An upstream of three hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def get_downsample_rates(self, key: str) -> int:
        return 320

    def forward(self, waves: list[torch.Tensor]) -> dict[str, Any]:
        return {"hidden_states": [torch.zeros(len(waves), len(waves[0]) // 320, DIM)] * 3}


def joint(*tasks: str, shared: bool = False, **changes: Any) -> JointModel:
    """With SUPERB's own heads."""
    paper = load_yaml(find_config("all_task_paper"))
    own = {task: {"head": {"frame_shift": None}} if task == "sd" else {} for task in tasks}
    configs = task_configs(merge({**paper, "tasks": list(tasks), "superb": own}, {"superb": changes}))
    return JointModel(Trunk(States()), configs, {task: LABELS[task] for task in tasks}, 0, shared_featurizer=shared)


def stock_checkpoint(path: Path, expert: nn.Module, **args: Any) -> dict[str, Any]:
    """What s3prl's runner saves."""
    content = {
        "Optimizer": torch.optim.Adam(expert.parameters()).state_dict(),
        "Step": 4,
        "Epoch": 1,
        "Args": argparse.Namespace(downstream="x", **args),
        "Config": {"downstream_expert": {"datarc": {"test_fold": "fold3"}}},
        "Downstream": expert.state_dict(),
        "Featurizer": {"weights": torch.randn(3)},
    }
    torch.save(content, path)
    return content


@pytest.mark.parametrize("task", FINETUNED_TASKS)
def test_every_parameter_of_a_legacy_expert_finds_its_place(task: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expert = EXPERTS[task]()
    content = stock_checkpoint(tmp_path / "dev-best.ckpt", expert)
    model = joint(task)
    init_heads(model, {task: tmp_path / "dev-best.ckpt"}, shared=False)
    # In order: that each stands at the right place is shown by the parity tests of the heads, which copy in order.
    ours, theirs = list(model.heads[task].parameters()), list(expert.parameters())
    assert len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))
    assert torch.equal(model.featurizers[task].weights, content["Featurizer"]["weights"])


@pytest.mark.parametrize("task", ["ks", "asr", "sf", "pr"])
def test_the_head_computes_what_the_expert_does(task: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expert: Any = EXPERTS[task]().eval()
    stock_checkpoint(tmp_path / "states-4.ckpt", expert)
    head: Any = joint(task).heads[task].eval()
    head.load_state_dict(read_head(tmp_path / "states-4.ckpt", task).head)
    features, lengths = torch.randn(2, 30, DIM), torch.IntTensor([30, 20])
    expected, _ = expert.model(expert.projector(features), lengths)
    found = head.network(features, lengths)
    assert torch.equal(found[0] if isinstance(found, tuple) else found, expected)


def test_shared_layer_weights_stay_as_they_are(tmp_path: Path) -> None:
    stock_checkpoint(tmp_path / "states-4.ckpt", EXPERTS["ks"]())
    model = joint("ks", "er", shared=True)
    init_heads(model, {"ks": tmp_path / "states-4.ckpt"}, shared=True)
    assert model.featurizers["ks"].weights.eq(0).all()


def test_the_fold_of_a_stock_er_head_is_known(tmp_path: Path) -> None:
    expert = EXPERTS["er"]()
    stock_checkpoint(tmp_path / "a.ckpt", expert)
    stock_checkpoint(tmp_path / "b.ckpt", expert, downstream_variant="fold5")
    assert [read_head(tmp_path / f"{name}.ckpt", "er").er_fold for name in "ab"] == ["fold3", "fold5"]


def our_run(folder: Path, model: JointModel) -> None:
    labels = {task: LABELS[task] for task in model.heads}
    tensors = {"heads": model.heads.state_dict(), "featurizers": model.featurizers.state_dict(), "labels": labels}
    config = {"tasks": list(model.heads), "superb": {"er": {"corpus": {"fold": "fold2"}}}}
    checkpoint.save(folder, 3, {"seed": 1}, config, {"model": tensors}, 1)


def test_a_head_of_one_of_our_runs_is_found_by_its_folder_or_states_file(tmp_path: Path) -> None:
    source, model = joint("er", "ks"), joint("ks", "er", "pr")
    nn.init.normal_(source.featurizers["er"].weights)
    our_run(tmp_path / "run", source)
    before = {name: tensor.clone() for name, tensor in model.heads["pr"].state_dict().items()}
    init_heads(model, {"er": tmp_path / "run", "ks": tmp_path / "run" / "states-3.ckpt"}, shared=False)
    for task in ("er", "ks"):
        assert all(map(torch.equal, model.heads[task].parameters(), source.heads[task].parameters()))
        assert torch.equal(model.featurizers[task].weights, source.featurizers[task].weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.heads["pr"].state_dict().items())
    assert read_head(tmp_path / "run", "er").er_fold == "fold2"


def test_heads_that_do_not_fit_are_named(tmp_path: Path) -> None:
    stock, run = tmp_path / "states-4.ckpt", tmp_path / "run"
    stock_checkpoint(stock, EXPERTS["ks"]())
    our_run(run, joint("ks"))
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    cases: list[tuple[JointModel, dict[str, Path], type[Exception], str]] = [
        (joint("pr"), {"ks": stock}, ConfigError, "--init-heads names task 'ks', which is not trained; .*Known: pr"),
        (joint("sid"), {"sid": stock}, CheckpointError, "the 'sid' head in .*states-4.ckpt does not fit .*final_proj"),
        (joint("asr"), {"asr": run}, CheckpointError, "run holds no head of 'asr'; .*Known: ks"),
        (joint("asv"), {"asv": run / "states-3.ckpt"}, CheckpointError, "holds no head of 'asv'"),
        (joint("ks"), {"ks": tmp_path / "text.ckpt"}, CheckpointError, "text.ckpt cannot be read"),
        (joint("ks"), {"ks": tmp_path / "gone.ckpt"}, CheckpointError, "gone.ckpt cannot be read"),
    ]
    for model, paths, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            init_heads(model, paths, shared=False)
        assert "\n" not in str(caught.value)
    other = joint("ks")
    other.labels["ks"] = {"keyword": [f"c{i}" for i in reversed(range(12))]}
    with pytest.raises(CheckpointError, match="labels of the 'ks' head in .* are not those of the corpus"):
        init_heads(other, {"ks": run}, shared=False)
