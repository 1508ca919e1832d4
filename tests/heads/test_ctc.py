"""What holds for every CTC head: the loss against brute force, counts, padding, gradients, files."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from ctc_cases import LABELS, TASKS, UNITS, make_examples, make_features, make_head
from ctc_cases import config as case
from s3prl.nn.specaug import SpecAug
from torch import nn

import s3prl_plugins  # noqa: F401
from s3prl_plugins.config import load_yaml
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.asr import AsrHead
from s3prl_plugins.heads.contract import Prediction
from s3prl_plugins.heads.ctc import CtcHead
from s3prl_plugins.heads.ctc_lstm import LstmConfig
from s3prl_plugins.heads.pr import PrHead
from s3prl_plugins.heads.task import build_head, task_config
from s3prl_plugins.superb.cards import CARDS

CONFIGS = Path(__file__).parents[2] / "configs" / "superb"


def test_loss_is_the_probability_of_every_path_that_spells_the_label() -> None:
    head = make_head("pr", units=["K", "T"])
    features = make_features([5])
    probability = head.log_probs(features)[0][0].exp().tolist()
    blank, end, k, t = 0, 1, 3, 4
    for label, spelled in (("K T", [k, t, end]), ("K K", [k, k, end]), ("T", [t, end])):
        total = 0.0
        for path in itertools.product(range(5), repeat=5):
            if [s for s, _ in itertools.groupby(path) if s != blank] == spelled:
                total += math.prod(frame[symbol] for frame, symbol in zip(probability, path))
        loss = head.loss(features, [label])
        assert loss.total.item() == pytest.approx(-math.log(total) / len(spelled), rel=1e-4)
        assert loss.count == 1


@pytest.mark.parametrize("task", TASKS)
def test_batch_is_the_sum_of_its_utterances(task: str) -> None:
    head, features, labels = make_head(task), make_features(), LABELS[task]
    together = head.loss(features, labels)
    apart = [head.loss([frames], [label]) for frames, label in zip(features, labels)]
    assert together.count == sum(loss.count for loss in apart) == 4
    assert together.total.item() == pytest.approx(sum(loss.total.item() for loss in apart), rel=1e-5)
    assert together.mean.item() == pytest.approx(together.total.item() / 4)


@pytest.mark.parametrize("task", TASKS)
def test_padding_does_not_change_answers(task: str) -> None:
    head, features, examples = make_head(task), make_features(), make_examples(LABELS[task])
    together = head.predict(features, examples)
    apart = [head.predict([frames], [example])[0] for frames, example in zip(features, examples)]
    assert together == apart
    assert all(item.output for item in together)
    assert [item.truth for item in together] == list(LABELS[task])


@pytest.mark.parametrize("task", TASKS)
def test_label_longer_than_the_frames_costs_nothing_and_counts(task: str) -> None:
    head, features, labels = make_head(task), make_features((60, 2)), LABELS[task]
    loss = head.loss(features, [labels[0], labels[3]])
    assert loss.count == 2
    assert loss.total.item() == pytest.approx(head.loss(features[:1], labels[:1]).total.item(), rel=1e-5)
    loss.total.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize("task", TASKS)
def test_gradient_reaches_features_and_every_parameter(task: str) -> None:
    head = make_head(task).train()
    features = [frames.requires_grad_() for frames in make_features()]
    head.loss(features, LABELS[task]).mean.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert all(frames.grad is not None and frames.grad.abs().sum() > 0 for frames in features)


@pytest.mark.parametrize("task", TASKS)
def test_learns_its_labels_by_heart(task: str) -> None:
    # One-hot frames can all be told apart, so that the frame-wise PR head fits any label, too.
    features = [5 * block for block in torch.eye(120).split(40)]
    head, examples = make_head(task, dim=120, scale=2.0), make_examples(LABELS[task][:3])
    optimizer = torch.optim.Adam(head.parameters(), lr=2e-2)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss(features, [example.label for example in examples]).mean.backward()
        optimizer.step()
    predictions = head.predict(features, examples)
    assert [item.output for item in predictions] == list(LABELS[task][:3])
    scores = head.score(predictions, head.calibrate(predictions))
    assert scores == {m.name: 100.0 if m.higher_is_better else 0.0 for m in CARDS[task].metrics}


@pytest.mark.parametrize("task", TASKS)
def test_labels_survive_encoding(task: str) -> None:
    head = make_head(task)
    for label in LABELS[task]:
        ids = head.vocabulary.ids(head.split(label))
        assert 0 not in ids and head.vocabulary.symbols.index("<unk>") not in ids
        assert head.join(head.vocabulary.units(ids)) == label
    unknown = head.vocabulary.ids(head.split(LABELS[task][0] + " \u00e9"))
    assert unknown.count(head.vocabulary.symbols.index("<unk>")) == 1


@pytest.mark.parametrize("task", TASKS)
def test_files_are_written_whole(task: str, tmp_path: Path) -> None:
    predictions = [Prediction("a-1", "X Y", "X Z"), Prediction("a-2", "", "W")]
    split = CARDS[task].test
    for _ in range(2):
        hypothesis, reference = make_head(task).write(predictions, split, tmp_path / "out")
    assert hypothesis.read_text() == "a-1 X Y\na-2 \n"
    assert reference.read_text() == "a-1 X Z\na-2 W\n"
    assert {hypothesis.name, reference.name} == {path.name for path in (tmp_path / "out").iterdir()}
    assert hypothesis.name == ("test-clean-noLM-hyp.ark" if task == "asr" else "test-hyp.ark")


SUPERB = {
    # head, batch, accumulation, learning rate, steps, specaug
    "asr": (AsrHead.Config(1024, (1024, 1024), 0.2), 16, 1, 1e-4, 200_000, True),
    "pr": (PrHead.Config(256), 16, 2, 1e-2, 100_000, False),
    "sf": (LstmConfig(1024, (1024, 1024), 0.2), 32, 1, 1e-4, 200_000, True),
}


@pytest.mark.parametrize("task", TASKS)
def test_paper_config_has_superb_values(task: str) -> None:
    config = task_config(load_yaml(CONFIGS / f"{task}_paper.yaml"))
    recipe = config.recipe
    found = (config.head, config.train_batch.size, recipe.accumulate, recipe.lr, recipe.steps, bool(config.specaug))
    assert found == SUPERB[task]
    assert (recipe.optimizer, recipe.clip, config.superb_quirks) == ("Adam", 1.0, True)


@pytest.mark.parametrize("task", TASKS)
def test_mini_config_trains_a_smaller_head(task: str) -> None:
    config = task_config(load_yaml(CONFIGS / f"{task}_mini.yaml"))
    head = build_head(config, UNITS[task], 24, 320)
    assert isinstance(head, CtcHead)
    assert sum(parameter.numel() for parameter in head.parameters()) < 1_000_000
    masks = SpecAug(**config.specaug) if config.specaug else nn.Identity()
    assert isinstance(masks, nn.Module) and head.loss(make_features(dim=24), LABELS[task]).total.isfinite()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("project_dim", 0, "config.head: project_dim must be at least 1, found 0"),
        ("hidden_dims", [], r"hidden_dims must hold one width of at least 1 per layer, found \(\)"),
        ("hidden_dims", [8, 0], r"one width of at least 1 per layer, found \(8, 0\)"),
        ("dropout", 1.0, "dropout must be at least 0 and below 1, found 1.0"),
        ("dropouts", 0.1, "unknown key config.head.dropouts; did you mean 'dropout'"),
    ],
)
def test_bad_sizes_are_refused(key: str, value: object, message: str) -> None:
    mapping = case("asr")
    mapping["head"][key] = value
    with pytest.raises(ConfigError, match=message):
        task_config(mapping)
