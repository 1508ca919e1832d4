"""The verification head against s3prl's legacy model and loss, its error rate against known cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from classification_cases import config
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.contract import Example, Prediction
from s3prl_plugins.heads.corpora.trials import Trial
from s3prl_plugins.heads.task import build_head, task_config
from s3prl_plugins.heads.verification import VerificationHead

SPEAKERS = [f"id{10001 + number}" for number in range(5)]
TARGETS = ["id10003", "id10001", "id10005", "id10003"]
LENGTHS = (40, 23, 31, 16)


def head(size: str = "mini", quirks: bool = False) -> VerificationHead:
    built = build_head(config("asv", size, superb_quirks=quirks), SPEAKERS, 24, 320)
    assert isinstance(built, VerificationHead)
    return built


def features() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(length, 24, generator=generator) for length in LENGTHS]


def legacy() -> tuple[nn.Linear, nn.Module, nn.Module]:
    """What s3prl's expert builds from SUPERB's configuration: connector, model, loss."""
    from s3prl.downstream.sv_voxceleb1.model import AMSoftmaxLoss, Model

    model = Model(
        input_dim=512,
        agg_dim=1500,
        agg_module_name="SP",
        module_name="XVector",
        utterance_module_name="UtteranceExtractor",
        hparams={"agg_dim": 1500, "dropout_p": 0.0, "batch_norm": False},
    )
    return nn.Linear(24, 512), model, AMSoftmaxLoss(hidden_dim=512, speaker_num=len(SPEAKERS), s=30.0, m=0.4)


def test_quirks_are_equal_to_the_legacy_expert_for_copied_weights_on_a_padded_batch() -> None:
    ours, parts = head("paper", quirks=True), legacy()
    theirs = [parameter for part in parts for parameter in part.parameters()]
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs]
    for mine, copied in zip(ours.parameters(), theirs):
        copied.data.copy_(mine.data)
    connector, model, objective = parts
    padded = connector(pad_sequence(features(), batch_first=True))
    mask = (1.0 - pad_sequence([torch.ones(length - 14) for length in LENGTHS], batch_first=True)) * -100000.0
    expected = objective(model(padded, mask), torch.tensor([SPEAKERS.index(target) for target in TARGETS]))
    loss = ours.loss(features(), TARGETS)
    assert loss.count == 4
    torch.testing.assert_close(loss.mean, expected)
    ours.eval()
    embeddings = normalize(model.inference(padded, mask), dim=-1)
    examples = [Example(f"u{number}", Path(), 1.0, ()) for number in range(4)]
    found = torch.stack([prediction.output for prediction in ours.predict(features(), examples)])
    torch.testing.assert_close(found, embeddings)


@pytest.mark.parametrize("quirks", [False, True])
def test_only_with_quirks_does_padding_change_an_embedding(quirks: bool) -> None:
    ours = head(quirks=quirks).eval()
    alone = torch.cat([ours.embed([feature]) for feature in features()])
    assert torch.allclose(alone, ours.embed(features()), atol=1e-6) is not quirks


def test_loss_of_a_batch_is_the_sum_of_its_utterances_and_trials_have_none() -> None:
    ours = head()
    alone = [ours.loss([feature], [target]).total for feature, target in zip(features(), TARGETS)]
    torch.testing.assert_close(ours.loss(features(), TARGETS).total, torch.stack(alone).sum())
    partly = ours.loss(features(), [TARGETS[0], (), TARGETS[2], ()])
    torch.testing.assert_close(partly.total, alone[0] + alone[2])
    assert partly.count == 2
    nothing = ours.loss(features(), [()] * 4)
    assert (float(nothing.total), nothing.count) == (0.0, 0.0)


def test_the_loss_falls_and_embeddings_of_a_speaker_draw_together() -> None:
    torch.manual_seed(0)
    ours = head()
    optimizer = torch.optim.AdamW(ours.parameters(), lr=5e-4)
    before = float(ours.loss(features(), TARGETS).mean.detach())
    for _ in range(20):
        optimizer.zero_grad()
        ours.loss(features(), TARGETS).mean.backward()
        optimizer.step()
    assert float(ours.loss(features(), TARGETS).mean.detach()) < 0.5 * before
    first, _, other, again = normalize(ours.eval().embed(features()), dim=-1)
    assert first @ again > first @ other


def test_an_utterance_too_short_for_the_x_vector_is_an_error() -> None:
    assert head().eval().embed([torch.zeros(16, 24)]).isfinite().all()
    with pytest.raises(CorpusError, match="needs at least 16 frames an utterance, found 15; remove short files"):
        head().embed([torch.zeros(15, 24)])


def trials(scores: list[float], targets: list[bool]) -> list[Prediction]:
    """Trials of one utterance against others at given cosine similarities, the list's order reversed."""
    others = [(f"o{n}", torch.tensor([score, (1 - score**2) ** 0.5])) for n, score in enumerate(scores)]
    label = tuple(Trial(len(scores) - n, f"o{n}", target) for n, target in enumerate(targets))
    return [Prediction("x", torch.tensor([1.0, 0.0]), label), *(Prediction(name, v, ()) for name, v in others)]


@pytest.mark.parametrize(
    ("scores", "targets", "eer"),
    [
        ([0.9, 0.8, 0.1, 0.0], [True, True, False, False], 0.0),
        ([0.9, 0.2, 0.8, 0.1], [True, True, False, False], 50.0),
        ([0.9, 0.8, 0.7, 0.2, 0.6, 0.3, 0.1, 0.0], [True] * 4 + [False] * 4, 25.0),
        ([0.1, 0.0, 0.9, 0.8], [True, True, False, False], 100.0),
    ],
)
def test_equal_error_rate_of_known_cases(scores: list[float], targets: list[bool], eer: float) -> None:
    assert head().score(trials(scores, targets), {})["eer"] == pytest.approx(eer, abs=1e-6)


def test_the_chosen_threshold_makes_as_many_misses_as_false_alarms() -> None:
    scores, targets = [0.9, 0.8, 0.7, 0.2, 0.6, 0.3, 0.1, 0.0], [True] * 4 + [False] * 4
    threshold = head().calibrate(trials(scores, targets))["threshold"]
    wrong = [target for score, target in zip(scores, targets) if (score >= threshold) != target]
    assert sorted(wrong) == [False, True]


def test_equal_error_rate_is_that_of_the_legacy_expert() -> None:
    from s3prl.downstream.sv_voxceleb1.utils import EER

    rng = np.random.default_rng(0)
    targets = [bool(value) for value in rng.integers(0, 2, 300)]
    scores = [float(value) for value in np.clip(rng.normal(0, 0.3, 300) + 0.3 * np.array(targets), -1, 1)]
    rounded = [float(torch.tensor(score)) for score in scores]
    expected = 100 * EER(np.array(targets, dtype=int), np.array(rounded))[0]
    assert head().score(trials(scores, targets), {})["eer"] == pytest.approx(expected)


def test_what_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(CorpusError, match="needs trials of both kinds, found 2 of one speaker among 2"):
        head().score(trials([0.1, 0.2], [True, True]), {})
    with pytest.raises(CorpusError, match="needs trials of both kinds, found 0 of one speaker among 0"):
        head().score([Prediction("x", torch.ones(2), "id10001")], {})
    with pytest.raises(CorpusError, match="names 'o1', which was not evaluated"):
        head().score(trials([0.1, 0.2], [True, False])[:2], {})
    diverged = trials([0.1, 0.2], [True, False])
    diverged[1].output.fill_(float("nan"))
    with pytest.raises(CorpusError, match="finite scores, found NaN"):
        head().score(diverged, {})


def test_files_follow_the_trial_list(tmp_path: Path) -> None:
    paths = head().write(trials([0.5, -0.25], [True, False]), "test", tmp_path)
    assert [path.name for path in paths] == ["test_predict.txt", "test_truth.txt"]
    assert [path.read_text() for path in paths] == ["x_o1 -0.25\nx_o0 0.5\n", "x_o1 0\nx_o0 1\n"]


def test_sizes_are_checked() -> None:
    with pytest.raises(ConfigError, match="aggregation_size must be at least 1, found 0"):
        task_config({"task": "asv", "corpus": {}, "head": {"aggregation_size": 0}})
