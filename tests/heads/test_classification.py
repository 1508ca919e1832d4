"""The classification head against s3prl's legacy modules, and the files it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from classification_cases import config
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from s3prl_plugins.heads.classification import ClassificationHead
from s3prl_plugins.heads.contract import Example, Prediction
from s3prl_plugins.heads.task import build_head

INTENTS = {"action": ["on", "off", "up"], "object": ["light", "none"], "location": ["a", "b", "c", "d"]}
LABELS: dict[str, dict[str, list[str]]] = {
    "ks": {"keyword": [f"c{i}" for i in range(12)]},
    "sid": {"speaker": [f"id{10001 + i}" for i in range(7)]},
    "er": {"emotion": ["neu", "hap", "ang", "sad"]},
    "ic": INTENTS,
}
LENGTHS = (9, 4, 13, 1)
TARGETS: dict[str, list[Any]] = {
    "ks": ["c3", "c0", "c11", "c3"],
    "sid": ["id10007", "id10001", "id10004", "id10002"],
    "er": ["sad", "neu", "hap", "neu"],
    "ic": [("off", "none", "d"), ("on", "light", "a"), ("up", "none", "b"), ("on", "none", "c")],
}


class Legacy(nn.Module):
    """What s3prl's legacy experts build: projector, then UtteranceLevel with mean pooling."""

    def __init__(self, dim: int, classes: int) -> None:
        from s3prl.downstream.model import UtteranceLevel

        super().__init__()
        self.projector = nn.Linear(dim, 256)
        self.model = UtteranceLevel(input_dim=256, output_dim=classes, pooling="MeanPooling")

    def forward(self, features: list[Tensor]) -> Tensor:
        lengths = torch.IntTensor([len(feature) for feature in features])
        logits: Tensor = self.model(self.projector(pad_sequence(features, batch_first=True)), lengths)[0]
        return logits


def head(task: str, size: str = "paper") -> ClassificationHead:
    built = build_head(config(task, size), LABELS[task], 24, 320)
    assert isinstance(built, ClassificationHead)
    return built


def features() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(length, 24, generator=generator) for length in LENGTHS]


def examples(task: str) -> list[Example]:
    return [Example(f"u{i}", Path("u.wav"), 1.0, label) for i, label in enumerate(TARGETS[task])]


@pytest.mark.parametrize("task", LABELS)
def test_equal_to_the_legacy_expert_for_copied_weights_on_a_padded_batch(task: str) -> None:
    ours = head(task)
    legacy = Legacy(24, sum(map(len, LABELS[task].values())))
    assert [p.shape for p in ours.parameters()] == [p.shape for p in legacy.parameters()]
    for mine, theirs in zip(ours.parameters(), legacy.parameters()):
        theirs.data.copy_(mine.data)
    logits = legacy(features())
    assert torch.equal(torch.cat(ours.logits(features()), dim=1), logits)
    expected, start = torch.zeros(()), 0
    for slot, values in enumerate(LABELS[task].values()):
        targets = [(t if task == "ic" else (t,))[slot] for t in TARGETS[task]]
        ids = torch.tensor([values.index(target) for target in targets])
        expected = expected + nn.CrossEntropyLoss()(logits[:, start : start + len(values)], ids)
        start += len(values)
    loss = ours.loss(features(), TARGETS[task])
    assert loss.count == len(LENGTHS)
    torch.testing.assert_close(loss.mean, expected)


@pytest.mark.parametrize("task", LABELS)
def test_loss_of_a_batch_is_the_sum_of_its_utterances(task: str) -> None:
    ours = head(task)
    alone = [ours.loss([feature], [label]) for feature, label in zip(features(), TARGETS[task])]
    together = ours.loss(features(), TARGETS[task])
    torch.testing.assert_close(together.total, torch.stack([loss.total for loss in alone]).sum())
    assert together.count == sum(loss.count for loss in alone)


@pytest.mark.parametrize("task", LABELS)
def test_the_head_learns_its_labels_and_then_scores_100(task: str) -> None:
    torch.manual_seed(0)
    ours = head(task)
    optimizer = torch.optim.Adam(ours.parameters(), lr=1e-2)
    before = ours.score(ours.predict(features(), examples(task)), {})["acc"]
    for _ in range(40):
        optimizer.zero_grad()
        ours.loss(features(), TARGETS[task]).mean.backward()
        optimizer.step()
    assert before < ours.score(ours.predict(features(), examples(task)), {})["acc"] == 100.0


@pytest.mark.parametrize("task", LABELS)
def test_an_answer_has_the_form_of_a_label_even_where_none_is_given(task: str) -> None:
    answer = head(task).predict(features()[:1], [Example("u", Path("u.wav"), 1.0, None)])[0].output
    parts = zip(answer if task == "ic" else [answer], LABELS[task].values(), strict=True)
    assert all(part in values for part, values in parts)


def test_an_intent_is_right_only_if_every_slot_is() -> None:
    predictions = [
        Prediction("a", ("on", "light", "a"), ("on", "light", "a")),
        Prediction("b", ("on", "light", "b"), ("on", "light", "a")),
        Prediction("c", ("off", "none", "a"), ("on", "light", "a")),
        Prediction("d", ("up", "none", "d"), ("up", "none", "d")),
    ]
    assert head("ic").score(predictions, {}) == {"acc": 50.0}


def test_files_have_the_form_the_legacy_experts_write(tmp_path: Path) -> None:
    single = [Prediction("yes-1.wav", "c1", "c2"), Prediction("no-2.wav", "c3", "c3")]
    paths = head("ks").write(single, "test", tmp_path / "new")
    assert [path.name for path in paths] == ["test_predict.txt", "test_truth.txt"]
    assert [path.read_text() for path in paths] == ["yes-1.wav c1\nno-2.wav c3\n", "yes-1.wav c2\nno-2.wav c3\n"]
    intent = [Prediction("u", ("change language", "none", "a"), ("on", "none", "b"))]
    paths = head("ic").write(intent, "dev", tmp_path)
    assert [path.name for path in paths] == ["dev_predict.csv", "dev_truth.csv"]
    assert [path.read_text() for path in paths] == ["u,change language,none,a\n", "u,on,none,b\n"]
    paths = head("er").write(single, "test", tmp_path)
    assert [path.name for path in paths] == ["test_fold1_predict.txt", "test_fold1_truth.txt"]


def test_er_files_name_the_fold_of_the_config(tmp_path: Path) -> None:
    ours = build_head(config("er", corpus={"fold": "fold4"}), LABELS["er"], 24, 320)
    paths = ours.write([Prediction("u", "sad", "neu")], "dev", tmp_path)
    assert [path.name for path in paths] == ["dev_fold4_predict.txt", "dev_fold4_truth.txt"]


@pytest.mark.parametrize("task", LABELS)
def test_means_over_time_give_the_answers_of_all_frames(task: str) -> None:
    built = head(task)
    means = [feature.mean(0, keepdim=True) for feature in features()]
    for from_frames, from_means in zip(built.logits(features()), built.logits(means)):
        torch.testing.assert_close(from_means, from_frames)
