"""Models of stock s3prl's checkpoints: the logits of its own experts, the labels of its corpora."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import s3prl_plugins
from s3prl_plugins.cli import main
from s3prl_plugins.downstream.multitask.expert import DownstreamExpert
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.inference.loading import read
from s3prl_plugins.inference.model import Model
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.superb.units import CHARACTERS, LETTERS, PHONES
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

SLOTS = ["artist", "object"]
INTENT = {"action": ["on", "off", "up"], "object": ["light", "none"], "location": ["a", "b", "c", "d"]}
RNN = {
    "module": "LSTM", "bidirection": True, "dim": [10, 6], "dropout": [0.2, 0.2], "layer_norm": [False, False],
    "proj": [False, False], "sample_rate": [1, 1], "sample_style": "concat", "total_rate": -1,
}  # fmt: skip
NAMES = {
    "asr": "asr", "pr": "ctc", "sf": "ctc", "sd": "diarization", "er": "emotion", "ic": "fluent_commands",
    "ks": "speech_commands", "asv": "sv_voxceleb1", "sid": "voxceleb1",
}  # fmt: skip
OUTPUTS = {
    "asr": len(LETTERS) + 4,
    "pr": len(PHONES) + 3,
    "sf": len(CHARACTERS) + 7,
    "er": 4,
    "ic": 9,
    "ks": 12,
    "sid": 6,
}


class Expert(nn.Module):
    """s3prl's own modules under the names of its experts, whose constructors read whole corpora."""

    def __init__(self, task: str, dim: int) -> None:
        super().__init__()
        from s3prl.downstream.asr.model import RNNs
        from s3prl.downstream.diarization.model import Model as Diarization
        from s3prl.downstream.model import FrameLevel, UtteranceLevel
        from s3prl.downstream.sv_voxceleb1.model import AMSoftmaxLoss
        from s3prl.downstream.sv_voxceleb1.model import Model as XVector

        self.register_buffer("best_score", torch.zeros(1))
        if task == "sd":
            self.model: Any = Diarization(input_dim=dim, output_class_num=3, rnn_layers=2, hidden_size=7)
        elif task == "asv":
            hparams = {"agg_dim": 20, "dropout_p": 0.0, "batch_norm": False}
            self.connector = nn.Linear(dim, 512)
            self.model = XVector(512, 20, "SP", "XVector", "UtteranceExtractor", hparams)
            self.objective = AMSoftmaxLoss(hidden_dim=512, speaker_num=5)
        else:
            self.projector = nn.Linear(dim, 9)
            if task in ("asr", "sf"):
                self.model = RNNs(9, OUTPUTS[task], 320, **RNN)
            elif task == "pr":
                self.model = FrameLevel(9, OUTPUTS[task])
            else:
                self.model = UtteranceLevel(input_dim=9, output_dim=OUTPUTS[task], pooling="MeanPooling")

    def answer(self, task: str, feature: Tensor) -> Tensor:
        """What its `forward` gives to loss or score."""
        features, lengths = feature[None], torch.IntTensor([len(feature)])
        if task == "sd":
            return self.model(features)[0]  # type: ignore[no-any-return]
        if task == "asv":
            mask = torch.zeros(1, len(feature))
            return self.model.inference(self.connector(features), mask)[0]  # type: ignore[no-any-return]
        return self.model(self.projector(features), lengths)[0][0]  # type: ignore[no-any-return]


def config_of(task: str, folder: Path) -> dict[str, Any]:
    recurrent = {"project_dim": 9, "select": "RNNs", "RNNs": RNN}
    gone = str(folder / "gone")
    expert: dict[str, Any] = {"datarc": {"file_path": gone, "dict_path": f"{gone}/char.dict", "meta_data": gone}}
    expert["modelrc"] = recurrent if task == "asr" else {"projector_dim": 9, "select": "UtteranceLevel"}
    if task in ("pr", "sf"):
        expert = {"corpus": {"name": {"pr": "libriphone", "sf": "snips"}[task], "path": gone}}
        expert["text"] = {"mode": "word", "vocab_file": f"{gone}/vocab.txt", "slots_file": f"{gone}/slots.txt"}
        expert["model"] = recurrent if task == "sf" else {"project_dim": 9, "select": "FrameLevel"}
    if task == "sd":
        expert["datarc"] |= {"num_speakers": 3, "frame_shift": 320}
    return {"downstream_expert": expert, "runner": {"total_steps": 4}, "optimizer": {"name": "TorchOptim"}}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "hubert.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


@pytest.fixture(scope="module")
def wave() -> Tensor:
    return torch.randn(16000 * 2 + 250, generator=torch.Generator().manual_seed(0)) * 0.1


def save(path: Path, task: str, encoder: Path, finetuned: bool = False, **changes: Any) -> tuple[Any, Any, Any]:
    """What `save_states` of s3prl's runner writes; returns upstream, featurizer and expert."""
    from s3prl import hub
    from s3prl.upstream.interfaces import Featurizer

    torch.manual_seed(3)
    upstream = hub.hubert_local(ckpt=str(encoder)).eval()
    featurizer = Featurizer(upstream, "hidden_states", upstream_device="cpu")
    expert = Expert(task, featurizer.output_dim).eval()
    with torch.no_grad():
        featurizer.weights.normal_()
        for parameter in [*upstream.parameters()] if finetuned else []:
            parameter += 0.01 * torch.randn_like(parameter)
    args = stock_args(downstream=NAMES[task], upstream="hubert_local", upstream_ckpt=str(encoder), expdir="gone")
    content: dict[str, Any] = {
        "Optimizer": torch.optim.Adam(expert.parameters()).state_dict(),
        "Step": 4, "Epoch": 1, "Args": args, "Config": config_of(task, path.parent),
        "Downstream": expert.state_dict(), "Featurizer": featurizer.state_dict(),
    }  # fmt: skip
    if finetuned:
        content["Upstream"] = upstream.state_dict()
    torch.save({**content, **changes}, path)
    return upstream, featurizer, expert


def given_labels(task: str) -> Any:
    return {"ic": INTENT, "sf": SLOTS}.get(task)


def logits_of(model: Model, task: str, feature: Tensor) -> Tensor:
    head: Any = model.joint.heads[task]
    if task == "sd":
        return head._logits([feature])[0][0]  # type: ignore[no-any-return]
    if task == "asv":
        return head.embed([feature])[0]  # type: ignore[no-any-return]
    if task in ("asr", "pr", "sf"):
        return head.network(feature[None], torch.tensor([len(feature)]))[0][0]  # type: ignore[no-any-return]
    return torch.cat(head.logits([feature]), dim=1)[0]


@pytest.mark.parametrize("task", FINETUNED_TASKS)
@torch.no_grad()
def test_a_stock_checkpoint_gives_its_experts_logits(task: str, tmp_path: Path, encoder: Path, wave: Tensor) -> None:
    path = tmp_path / "dev-best.ckpt"
    upstream, featurizer, expert = save(path, task, encoder, finetuned=task in ("ks", "asr"))
    [feature] = featurizer([wave], upstream([wave]))
    expected = expert.answer(task, feature)
    model = s3prl_plugins.load(path, "cpu", labels=given_labels(task))
    [states] = model.joint.trunk([wave])
    [ours] = model.joint.featurizers[task]([states])
    torch.testing.assert_close(ours, feature, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(logits_of(model, task, ours), expected, rtol=1e-4, atol=1e-5)
    answers: Any = model((wave, 16000))
    assert list(answers.as_dict()) == ["name", "seconds", task]
    if task in ("ks", "er", "sid"):
        names = {"ks": ("yes", "no", "up"), "er": ("neu", "hap", "ang"), "sid": ("id10001", "id10002", "id10003")}[task]
        probabilities = {choice.label: choice.probability for choice in getattr(answers, task).top}
        expected_top = expected.softmax(0).tolist()
        for number, name in enumerate(names):
            assert name not in probabilities or probabilities[name] == pytest.approx(expected_top[number], abs=1e-5)
        assert probabilities
    elif task == "ic":
        best = [int(part.argmax()) for part in expected.split([3, 2, 4])]
        found = [label.label for label in answers.ic.slots.values()]
        assert found == [values[number] for values, number in zip(INTENT.values(), best)]


def test_labels_come_from_the_files_that_the_configuration_names_or_beside_the_checkpoint(
    tmp_path: Path, encoder: Path
) -> None:
    folder = tmp_path / "gone"
    (folder / "data").mkdir(parents=True)
    (folder / "Session1").mkdir()
    rows = [("up", "light", "b"), ("on", "light", "a"), ("off", "none", "c"), ("off", "none", "d")]
    table = "action,object,location\n" + "".join(",".join(row) + "\n" for row in rows)
    (folder / "data" / "train_data.csv").write_text(table)
    numbers = {"ang": 1, "neu": 0, "sad": 3, "joy": 2}
    (folder / "Session1" / "train_meta_data.json").write_text(json.dumps({"labels": numbers}))
    (folder / "char.dict").write_text("".join(f"{letter} 7\n" for letter in reversed(LETTERS)))
    (folder / "vocab.txt").write_text("\n".join(reversed(PHONES)))
    (tmp_path / "slots.txt").write_text("O\nobject\nartist\n")
    found = {}
    for task in ("asr", "er", "ic", "pr", "sf"):
        if task == "sf":
            (folder / "vocab.txt").unlink()
        save(tmp_path / "dev-best.ckpt", task, encoder)
        found[task] = read(tmp_path / "dev-best.ckpt").labels[task]
    assert found["asr"] == list(reversed(LETTERS)) and found["pr"] == list(reversed(PHONES))
    assert found["er"] == {"emotion": ["neu", "ang", "joy", "sad"]}
    assert found["ic"] == {"action": ["up", "on", "off"], "object": ["light", "none"], "location": ["b", "a", "c", "d"]}
    assert found["sf"] == {"characters": list(CHARACTERS), "slots": ["object", "artist"]}


def test_labels_that_are_given(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "states-4.ckpt"
    save(path, "ic", encoder)
    (tmp_path / "intents.json").write_text(json.dumps(INTENT))
    assert read(path, tmp_path / "intents.json").labels["ic"] == INTENT
    (tmp_path / "nested.json").write_text("[" * 100_000)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    cases: list[tuple[Any, type[Exception], str]] = [
        (None, CheckpointError, "holds no labels of its 'ic' head.*--labels FILE .*train_data.csv"),
        ({**INTENT, "object": ["one"]}, CheckpointError, "has 9 outputs, its labels make 8"),
        ({"action": ["on"]}, ConfigError, "must map action, object and location to lists"),
        (tmp_path / "nested.json", ConfigError, "nested.json of task 'ic' cannot be read"),
        (tmp_path / "other.csv", ConfigError, "other.csv of task 'ic' cannot be read"),
        (tmp_path / "gone.json", ConfigError, "gone.json of task 'ic' cannot be read"),
    ]
    for labels, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            read(path, labels)
        assert "\n" not in str(caught.value)
    save(path, "ks", encoder)
    names = [f"word {number}" for number in range(12)]
    (tmp_path / "words.txt").write_text("\n".join(names))
    assert read(path, tmp_path / "words.txt").labels["ks"] == {"keyword": names}
    with pytest.raises(ConfigError, match="must be a list of different names"):
        read(path, ["a", "a"])


def test_predict_takes_labels_and_the_encoder_where_it_is_now(
    tmp_path: Path, encoder: Path, tiny_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.pt"
    start.write_bytes(encoder.read_bytes())
    save(tmp_path / "dev-best.ckpt", "ic", start)
    start.unlink()
    (tmp_path / "intents.json").write_text(json.dumps(INTENT))
    recording = str(min((tiny_corpus / "SNIPS").rglob("*.wav")))
    words = ["predict", str(tmp_path / "dev-best.ckpt"), recording, "--labels", str(tmp_path / "intents.json")]
    assert main(words) == 2 and "needs a checkpoint file" in capsys.readouterr().err
    assert main([*words, "-k", str(encoder)]) == 0
    assert "\n  ic   action " in capsys.readouterr().out
    with pytest.raises(ConfigError, match="superb_tiny holds its encoder"):
        s3prl_plugins.load("superb_tiny", "cpu", upstream_ckpt=encoder)


def test_our_expert_under_the_stock_runner(tmp_path: Path, encoder: Path, tiny_corpus: Path, wave: Tensor) -> None:
    """`downstream/multitask/expert.py`, whose heads share s3prl's featurizer."""
    from s3prl import hub
    from s3prl.upstream.interfaces import Featurizer

    upstream = hub.hubert_local(ckpt=str(encoder)).eval()
    featurizer = Featurizer(upstream, "hidden_states", upstream_device="cpu")
    settings: dict[str, Any] = {"corpus_root": str(tiny_corpus), "size": "mini", "tasks": ["ks", "sf"], "superb": {}}
    expert = DownstreamExpert(featurizer.output_dim, 320, str(tmp_path), **settings).eval()
    args = stock_args(downstream="multitask", upstream="hubert_local", upstream_ckpt=str(encoder))
    content = {
        "Args": args, "Config": settings, "Step": 1, "Downstream": expert.state_dict(),
        "Featurizer": featurizer.state_dict(),
    }  # fmt: skip
    torch.save(content, tmp_path / "states-1.ckpt")
    model = s3prl_plugins.load(tmp_path / "states-1.ckpt", "cpu")
    assert model.tasks == ("ks", "sf")
    with torch.no_grad():
        features = featurizer([wave], upstream([wave]))
        head: Any = expert.heads["ks"]
        expected = head.logits(features)[0][0].softmax(0)
    answer = model((wave, 16000)).ks
    assert answer is not None and answer.probability == pytest.approx(float(expected.max()), abs=1e-5)
    labels = read(tmp_path / "states-1.ckpt").labels
    torch.save({**content, "Config": {**settings, "corpus_root": "gone"}}, tmp_path / "states-1.ckpt")
    with pytest.raises(CheckpointError, match="holds no labels of its 'sf' head"):
        read(tmp_path / "states-1.ckpt")
    assert read(tmp_path / "states-1.ckpt", labels).labels == labels
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    assert read(tmp_path / "states-1.ckpt", tmp_path / "labels.json").labels == labels
    with pytest.raises(ConfigError, match="must map its tasks to their labels, found list"):
        read(tmp_path / "states-1.ckpt", ["a"])


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("true",)


def test_what_cannot_be_rebuilt_is_named(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "dev-best.ckpt"
    save(path, "asr", encoder)
    content = torch.load(path, weights_only=False)
    asr = content["Config"]["downstream_expert"]["modelrc"]

    def changed(**parts: Any) -> dict[str, Any]:
        return {**content, **parts}

    def config(**network: Any) -> dict[str, Any]:
        return changed(Config={"downstream_expert": {"modelrc": {**asr, "RNNs": {**RNN, **network}}}})

    def args(**parts: Any) -> dict[str, Any]:
        return changed(Args=argparse.Namespace(**{**vars(content["Args"]), **parts}))

    deeper = {**content["Downstream"], "model.extra.weight": torch.zeros(2)}
    cases = [
        (config(module="GRU"), "must have select RNNs with module LSTM"),
        (config(sample_rate=[1, 2]), "must have select RNNs with module LSTM"),
        (config(sample_style="drop", total_rate=640), "must have select RNNs with module LSTM"),
        (changed(Downstream=deeper), "not SUPERB's of task 'asr' .model.extra.weight"),
        (args(downstream="timit_phone"), "trained with -d timit_phone, which has no head here; known: asr,"),
        (args(downstream="ctc"), "trained with -d ctc with corpus.name None"),
        (args(from_hf_hub=True), "code on the Hugging Face Hub, which is not run"),
        (args(downstream="voxceleb1"), "holds no head of 'sid'|not SUPERB's of task 'sid'"),
        (changed(Args={}), "must hold Downstream, Args and Config"),
        (changed(Downstream={"a": 1}), "must hold Downstream, Args and Config"),
        (changed(Optimizer=Evil()), "cannot be read"),
    ]
    for number, (broken, message) in enumerate(cases):
        torch.save(broken, tmp_path / f"{number}.ckpt")
        with pytest.raises(CheckpointError, match=message) as caught:
            read(tmp_path / f"{number}.ckpt")
        assert "\n" not in str(caught.value)
