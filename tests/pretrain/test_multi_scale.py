"""The objective of four time scales, on a toy encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from s3prl_plugins.config import build
from s3prl_plugins.pretrain.multi_scale import MultiScale
from s3prl_plugins.pretrain.objective import Batch
from s3prl_plugins.pretrain.scales import SCALES, FrameGrid, Scale, ScalesConfig, build_scale
from s3prl_plugins.pretrain.scales.contract import Measured, ScaleViews

DIM = 8
FRAMES = 25
SMALL = {
    "sample": {"channels": [4, 4, 4], "hidden": 4},
    "frame": {"targets": {"fbank": {"filters": 10}, "rms": {}}},
}


class Toy(nn.Module):
    """Linear in the 320 samples of each frame; the context is a convolution over frames."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(320, DIM), nn.Conv1d(DIM, DIM, 9, padding=4)
        self.norm = nn.BatchNorm1d(DIM, affine=False)
        self.heard: list[Tensor] = []
        self.masks: list[Tensor] = []

    def local(self, waves: Tensor) -> Tensor:
        self.heard.append(waves)
        local: Tensor = self.norm(self.linear(waves.unfold(1, 320, 320)).transpose(1, 2)).transpose(1, 2)
        return local

    def context(self, local: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        self.masks.append(mask)
        return local, self.conv(local.masked_fill(mask.unsqueeze(-1), 0.0).transpose(1, 2)).transpose(1, 2)


class Spy(Scale):
    contextual = pairs = True

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        self.views, self.drawn = views, float(torch.rand((), generator=random))
        return Measured(views.local.sum() * 0, {"drawn": self.drawn})


def objective(names: Sequence[str], options: dict[str, Any] | None = None, share: float = 0.5) -> MultiScale:
    config, grid = build(ScalesConfig, {**SMALL, **(options or {})}), FrameGrid(DIM, 320, 310.5)
    scales = {}
    for name in names:
        torch.manual_seed(SCALES.index(name) if name in SCALES else 9)
        scales[name] = build_scale(name, config, grid) if name in SCALES else Spy()
    torch.manual_seed(3)
    return MultiScale(Toy(), scales, 320 * FRAMES, share, 5)


def batch(rows: int = 4, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    return Batch(0.3 * torch.randn(rows, 320 * 3 * FRAMES, generator=random), [])


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_pass_of_each_part_serves_every_scale() -> None:
    model = objective([*SCALES, "spy"])
    losses = model(batch(), generator())
    assert list(losses.terms) == [*SCALES, "spy"]
    assert {"frame_fbank", "phoneme_acc", "phoneme_chance", "phoneme_spread", "sentence_acc"} <= losses.shown.keys()
    toy, views = model.encoder, model.scales["spy"].views
    [heard], [mask] = toy.heard, toy.masks
    assert torch.equal(heard, torch.cat([views.clean, views.other]))
    local = toy.local(heard)
    context = toy.context(local, mask)[-1]
    for found, expected in (
        (views.local, local[:4]), (views.mask, mask[:4]), (views.context, context[:4]), (views.other_context, context[4:]),
    ):  # fmt: skip
        torch.testing.assert_close(found, expected)
    assert len(set(mask.sum(1).tolist())) == 1 and not torch.equal(mask[:4], mask[4:])


@pytest.mark.parametrize(
    ("names", "rows", "passes"),
    [
        (["sample"], 4, 0),
        (["sample", "frame"], 4, 0),
        (["phoneme"], 4, 1),
        (["sentence"], 8, 1),
        (["frame", "phoneme"], 4, 1),
    ],
)
def test_what_only_absent_scales_need_is_not_computed(names: list[str], rows: int, passes: int) -> None:
    model = objective(names)
    losses = model(batch(), generator())
    assert list(losses.terms) == names
    assert [len(heard) for heard in model.encoder.heard] == [rows] and len(model.encoder.masks) == passes


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_costs_the_same_alone_and_among_others(name: str) -> None:
    alone, among = objective([name]).eval(), objective([*SCALES[::-1], "spy"]).eval()
    found, expected = alone(batch(), generator()), among(batch(), generator())
    torch.testing.assert_close(found.terms[name], expected.terms[name])
    assert all(number == pytest.approx(expected.shown[key], abs=1e-6) for key, number in found.shown.items())


@pytest.mark.parametrize("kind", ["generative", "discriminative"])
def test_kinds_are_swapped_by_configuration(kind: str) -> None:
    model = objective(SCALES, {name: {**SMALL.get(name, {}), "kind": kind} for name in SCALES[1:]})
    kinds = [type(scale).__name__ for scale in model.scales.values()]
    ending = "Contrast" if kind == "discriminative" else "Reconstruction"
    assert kinds == ["SampleScale", f"Frame{ending}", f"Phoneme{ending}", f"Sentence{ending}"]
    model.fit([(batch().waves, generator())])
    for term in model(batch(), generator()).terms.values():
        assert term.requires_grad and torch.isfinite(term)


def test_it_is_a_function_of_batch_and_generator() -> None:
    model = objective([*SCALES, "spy"]).eval()
    first, same, other = (model(batch(), generator(seed)) for seed in (7, 7, 8))
    for name in SCALES:
        assert torch.equal(first.terms[name], same.terms[name])
        assert not torch.equal(first.terms[name], other.terms[name])
    assert first.shown["spy_drawn"] == same.shown["spy_drawn"] != other.shown["spy_drawn"]


def test_fit_measures_stretches_as_training_cuts_them() -> None:
    model = objective(["frame", "spy", "sentence"], {"sentence": {"kind": "generative", "options": {"filters": 10}}})
    batches = [batch(rows, rows) for rows in (2, 5)]
    model.fit([(part.waves, generator(number)) for number, part in enumerate(batches)])
    seen = []
    for number, part in enumerate(batches):
        model(part, generator(number))
        seen.append(model.scales["spy"].views.clean)
    fbank = model.scales["frame"].regressions.parts["fbank"]
    values = torch.cat([fbank.target(clean).flatten(0, 1) for clean in seen]).double()
    for normalise in (fbank.normalise, model.scales["sentence"].target.normalise):
        torch.testing.assert_close(normalise.mean, values.mean(0))
        torch.testing.assert_close(normalise.squares / normalise.count, values.var(0, correction=0))


def test_learned_targets_of_the_phoneme_scale_do_not_collapse() -> None:
    """Sounds of random pitch last ten frames: what is around a masked frame tells which one it was."""
    draw = torch.Generator().manual_seed(0)
    pitches = (torch.rand(8, 8, generator=draw) * 2000 + 100).repeat_interleave(3200, 1)[:, : 320 * 3 * FRAMES]
    waves = torch.sin(2 * torch.pi * pitches.cumsum(1) / 16000)
    model = objective(["phoneme"], {"phoneme": {"dim": 16}}, share=0.3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    shown: list[dict[str, float]] = []
    for step in range(150):
        losses = model(Batch(waves, []), generator(step))
        optimizer.zero_grad()
        losses.terms["phoneme"].backward()
        optimizer.step()
        shown.append(losses.shown)
    late = {name: sum(entry[name] for entry in shown[-30:]) / 30 for name in shown[0]}
    assert late["phoneme_acc"] > 2 * late["phoneme_chance"]
    assert late["phoneme_spread"] > 0.3
