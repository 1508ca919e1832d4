"""Each scale by itself: what it compares, what it costs where nothing can be known, and what trains what."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from s3prl_plugins.config import build
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.scales import FrameGrid, Scale, ScalesConfig, ScaleViews, build_scale, take
from s3prl_plugins.pretrain.scales.picking import draw_rivals, pick_own
from s3prl_plugins.pretrain.scales.sentence import statistics
from s3prl_plugins.pretrain.targets import build_target
from s3prl_plugins.pretrain.workers.regression import build_regression

DIM = 6
FRAMES = 20
GRID = FrameGrid(DIM, 320, 310.5)
SMALL = {
    "sample": {"channels": [4, 4, 4], "hidden": 4},
    "frame": {"targets": {"fbank": {"filters": 10}, "rms": {}}, "hidden": 8, "dim": 8},
    "phoneme": {"dim": 8},
    "sentence": {"hidden": 8, "dim": 8},
}
SCALES = [
    ("sample", None), ("frame", "generative"), ("frame", "discriminative"), ("phoneme", "generative"),
    ("phoneme", "discriminative"), ("sentence", "generative"), ("sentence", "discriminative"),
]  # fmt: skip


def scale(name: str, kind: str | None, **options: Any) -> Scale:
    mapping = {**SMALL, name: {**SMALL[name], **({"kind": kind} if kind else {}), **options}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_scale(name, build(ScalesConfig, mapping), GRID)


def views(rows: int = 4) -> ScaleViews:
    draw = torch.Generator().manual_seed(1)
    mask = torch.zeros(rows, FRAMES, dtype=torch.bool)
    mask[:, 5:13] = True

    def states() -> Tensor:
        return torch.randn(rows, FRAMES, DIM, generator=draw).requires_grad_()

    waves = [0.1 * torch.randn(rows, 320 * FRAMES, generator=draw) for _ in range(2)]
    return ScaleViews(waves[0], states(), mask, states(), waves[1], states())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_picking_is_a_plain_loop() -> None:
    predicted, targets = torch.randn(2, 7, 5), torch.randn(2, 7, 5)
    rivals = draw_rivals(2, 7, 3, generator())
    assert rivals is not None
    losses, hits = [], []
    for row in range(2):
        for item in range(7):
            others = [other for other in range(7) if rivals[row, item, other]]
            assert len(others) == 3 and item not in others
            scores = [float(F.cosine_similarity(predicted[row, item], targets[row, j], dim=0)) for j in [item, *others]]
            losses.append(-math.log(math.exp(scores[0] / 0.2) / sum(math.exp(score / 0.2) for score in scores)))
            hits.append(scores[0] > max(scores[1:]))
    loss, accuracy = pick_own(predicted, targets, 0.2, rivals)
    assert loss.item() == pytest.approx(sum(losses) / 14, rel=1e-4)
    assert accuracy == pytest.approx(sum(hits) / 14)


def test_every_rival_is_as_likely_and_few_items_have_all() -> None:
    counts = torch.stack([draw_rivals(1, 6, 2, generator(seed))[0] for seed in range(1500)]).float().mean(0)  # type: ignore[index]
    assert counts.diagonal().max() == 0
    assert (counts[~torch.eye(6, dtype=torch.bool)] - 0.4).abs().max() < 0.06
    assert draw_rivals(1, 6, 5, generator()) is None


def test_targets_that_cannot_be_told_apart_cost_log_of_their_number() -> None:
    same = torch.ones(2, 9, 4)
    assert pick_own(torch.randn(2, 9, 4), same, 0.1)[0] == pytest.approx(math.log(9), rel=1e-5)
    assert pick_own(torch.randn(2, 9, 4), same, 0.1, draw_rivals(2, 9, 3, generator()))[0] == pytest.approx(math.log(4))
    assert pick_own(torch.zeros(2, 9, 4), same, 0.1)[1] == 0.0  # a tie is no hit
    apart = torch.eye(9).expand(2, 9, 9)
    loss, accuracy = pick_own(apart, apart, 0.1)
    assert float(loss) < 1e-3 and accuracy == 1.0


@pytest.mark.parametrize(("negatives", "choices"), [(100, 8), (3, 4)])
def test_a_collapsed_phoneme_scale_is_seen(negatives: int, choices: int) -> None:
    part, seen = scale("phoneme", "discriminative", negatives=negatives), views()
    loss, shown = part(seen, generator())
    assert shown["chance"] == 1 / choices and 0.3 < shown["spread"] <= 1
    collapsed = ScaleViews(seen.clean, torch.ones_like(seen.local), seen.mask, seen.context, seen.other, seen.other)
    loss, shown = part(collapsed, generator())
    assert loss.item() == pytest.approx(math.log(choices), rel=1e-4)
    assert shown["spread"] == pytest.approx(0, abs=1e-5)


def test_the_phoneme_scale_compares_masked_frames_of_one_row() -> None:
    part, seen = scale("phoneme", "discriminative"), views()
    predicted, targets = part.predict(seen.context), part.project(seen.local)
    rows = [pick_own(predicted[row, 5:13], targets[row, 5:13], 0.1)[0] for row in range(4)]
    torch.testing.assert_close(part(seen, generator()).loss, torch.stack(rows).mean())


@pytest.mark.parametrize("learn", [True, False])
def test_targets_learn_only_if_asked(learn: bool) -> None:
    part, seen = scale("phoneme", "discriminative", learn_targets=learn), views()
    part(seen, generator()).loss.backward()
    assert (seen.local.grad is not None) == learn
    assert float(part.project.weight.grad.abs().max()) > 0
    assert seen.context.grad is not None and float(seen.context.grad[~seen.mask].abs().max()) == 0


def test_reconstruction_counts_masked_frames_only() -> None:
    part, seen = scale("phoneme", "generative", targets={"rms": {"loss": "l1"}}), views()
    worker = part.regressions.parts["rms"]
    given, wanted = worker.network(seen.context)[seen.mask], worker.target(seen.clean)[seen.mask]
    torch.testing.assert_close(part(seen, generator()).loss, (given - wanted).abs().mean())


def test_frame_targets_lie_where_the_encoder_looks() -> None:
    part, seen = scale("frame", "generative"), views()
    target = part.regressions.parts["fbank"].target
    assert (target.hop, target.centre) == (320, 310.5)
    whole = build_target("fbank", {"filters": 10, "hop": 1, "centre": 0.5})(seen.clean)
    places = torch.arange(FRAMES) * 320 + 310
    torch.testing.assert_close(target(seen.clean)[:, :-1], whole[:, places[:-1]])
    loss, shown = part(seen, generator())
    assert loss.item() == pytest.approx((shown["fbank"] + shown["rms"]) / 2)


def test_the_frame_contrast_takes_frames_of_the_whole_batch() -> None:
    seen = views()
    part = scale("frame", "discriminative", targets={"rms": {"loss": "mse"}}, candidates=10)
    contrast = part.parts["rms"]
    chosen = torch.randperm(4 * FRAMES, generator=generator(3))[:10]
    predicted = contrast.predict(seen.local).reshape(-1, 8)[chosen]
    wanted = contrast.project(contrast.target(seen.clean)).reshape(-1, 8)[chosen]
    torch.testing.assert_close(part(seen, generator(3)).loss, pick_own(predicted, wanted, 0.1)[0])


def test_the_frame_contrast_can_be_learned() -> None:
    """h that is the target itself is soon told from h of other frames."""
    torch.manual_seed(0)
    seen, part = views(8), scale("frame", "discriminative", targets={"mfcc": {"coefficients": DIM}})
    take(part, seen.clean)
    told = ScaleViews(
        seen.clean, part.parts["mfcc"].target(seen.clean), seen.mask, seen.context, seen.other, seen.other
    )
    optimizer = torch.optim.Adam(part.parameters(), 1e-2)
    for step in range(120):
        optimizer.zero_grad()
        loss, shown = part(told, generator(step))
        loss.backward()
        optimizer.step()
    assert shown["mfcc_acc"] > 0.5 > 10 * part(seen, generator()).shown["mfcc_acc"]


def test_the_sentence_contrast_knows_stretches_that_share_their_c() -> None:
    part, seen = scale("sentence", "discriminative"), views()
    loss, _ = part(seen, generator())
    twins = ScaleViews(seen.clean, seen.local, seen.mask, seen.context, seen.other, seen.context.flip(1))
    same, shown = part(twins, generator())
    assert same.item() < loss.item() and shown["acc"] == 1.0


def test_sentence_reconstruction_predicts_the_other_stretch() -> None:
    part, seen = scale("sentence", "generative", options={"filters": 10}), views()
    take(part, torch.cat([seen.clean, seen.other]))
    wanted = [statistics(part.target(waves)) for waves in (seen.other, seen.clean)]
    given = [part.predict(statistics(states)) for states in (seen.context, seen.other_context)]
    error = sum((one - other).square().mean() for one, other in zip(given, wanted)) / 2
    torch.testing.assert_close(part(seen, generator()).loss, error)


def test_statistics_are_finite_where_nothing_changes() -> None:
    frames = torch.full((2, 5, 3), 2.0, requires_grad=True)
    pooled = statistics(frames)
    pooled.sum().backward()
    torch.testing.assert_close(pooled, torch.tensor([2.0] * 3 + [1e-3] * 3).expand(2, 6))
    assert frames.grad is not None and torch.isfinite(frames.grad).all()


@pytest.mark.parametrize(("name", "kind"), SCALES)
def test_losses_are_float32_under_autocast_and_reach_what_they_are_for(name: str, kind: str | None) -> None:
    part, seen = scale(name, kind), views()
    take(part, seen.clean)
    exact = part(seen, generator()).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = part(seen, generator())
    assert loss.dtype == torch.float32 and loss.shape == ()
    torch.testing.assert_close(loss, exact, atol=0.03, rtol=0.03)
    loss.backward()
    touched = {field for field in ("local", "context", "other_context") if getattr(seen, field).grad is not None}
    local = {"local"} if name in ("sample", "frame") or (name, kind) == ("phoneme", "discriminative") else set()
    assert touched == local | ({"context"} if part.contextual else set()) | ({"other_context"} if part.pairs else set())
    assert [key for key, value in part.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"frame": {"targets": {}}}, "config.frame: targets must name a target, found none"),
        ({"phoneme": {"targets": {}}}, "config.phoneme: targets must name a target, found none"),
        ({"frame": {"kind": "genrative"}}, "config.frame.kind is 'genrative'; did you mean 'generative'"),
        ({"sentence": {"temperature": 0}}, "temperature must be above 0, found 0.0"),
        ({"phoneme": {"negatives": 0}}, "negatives must be at least 1, found 0"),
        ({"frame": {"targets": {"fbnk": {}}}}, "unknown target 'fbnk'; did you mean 'fbank'"),
        ({"frame": {"targets": {"fbank": {"hop": 160}}}}, r"unknown key scales\.frame\.targets\.fbank\.hop"),
        (
            {"sentence": {"kind": "generative", "options": {"filtrs": 3}}},
            r"unknown key scales\.sentence\.options\.filtrs",
        ),
    ],
)
def test_options_that_cannot_be(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config = build(ScalesConfig, mapping)
        for name in ("frame", "phoneme", "sentence"):
            build_scale(name, config, GRID)


def test_a_decoder_is_for_two_rates_only() -> None:
    with pytest.raises(ConfigError, match="frames must be 160 or 320 samples apart, found 80"):
        build_scale("sample", ScalesConfig(), FrameGrid(DIM, 80, 0.5))
    worker = build_regression("rms", DIM, {}, "here")
    assert (worker.target.hop, worker.target.centre) == (160, 150.5)
