"""Sparsemax, the gradient of a mixture, and the weights that are found."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretext.hsic import hsic
from s3prl_plugins.pretext.utility import Samples, Utilities, utilities
from s3prl_plugins.pretext.weights import Pairs, WeightConfig, fit_weights, sparsemax

NAMES = ("noise", "half", "same", "other")


@pytest.fixture(scope="module")
def found() -> Utilities:
    """Two classes; labels from independent of the speech to a function of it."""
    random = torch.Generator().manual_seed(0)
    samples = {}
    for name in "ab":
        speech = torch.randn(60, 4, 3, generator=random)
        loud = speech.mean(dim=(1, 2))[:, None] * 3
        noise = torch.randn(60, 3, generator=random)
        labels = (noise[:, :1], 0.6 * loud + 0.6 * noise[:, 1:2], loud, noise[:, 2:])
        samples[name] = Samples(speech, labels)
    return utilities(samples, NAMES, "unbiased", progress=False)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_sparsemax_is_the_nearest_point_of_the_simplex(values: list[float]) -> None:
    free = torch.tensor(values, dtype=torch.float64)
    point = sparsemax(free)
    assert float(point.sum()) == pytest.approx(1) and (point >= 0).all()
    # Nearest, by its optimality conditions: where positive, all differ from `free` by the same amount, elsewhere by no more.
    shift = free - point
    used = shift[point > 1e-12]
    assert torch.allclose(used, used[:1].expand_as(used), atol=1e-9)
    assert (shift[point <= 1e-12] <= used[0] + 1e-9).all()


def test_sparsemax_has_its_own_gradient() -> None:
    free = torch.tensor([0.3, 0.1, -0.2, 2.0, 1.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, (free,))


def test_value_and_gradient_of_a_mixture(found: Utilities) -> None:
    pairs = found.pairs
    double = type(pairs)(pairs.weight.double(), pairs.energy.double(), pairs.constant)
    mixture = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    value, gradient = double.utility(mixture)

    def direct(weights: Tensor) -> Tensor:
        return double.constant + ((-(weights @ double.energy)).exp() * double.weight).sum()

    leaf = mixture.clone().requires_grad_(True)
    direct(leaf).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert value == pytest.approx(float(direct(mixture)), rel=1e-9)
    assert torch.allclose(gradient, leaf.grad, rtol=1e-9)
    for one, mean in zip(torch.eye(4), found.means):
        assert pairs.utility(one)[0] == pytest.approx(float(mean), abs=1e-5)


def test_blocks_change_nothing(found: Utilities, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found.pairs.utility(torch.full((4,), 0.25))
    monkeypatch.setattr("s3prl_plugins.pretext.weights._BLOCK", 97)
    parts = found.pairs.utility(torch.full((4,), 0.25))
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    assert torch.allclose(parts[1], whole[1], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("method", ["softmax", "sparsemax"])
def test_independent_labels_get_the_weight(found: Utilities, method: Any) -> None:
    weights = fit_weights(found.pairs, WeightConfig(method), 0)
    assert float(weights.sum()) == pytest.approx(1) and (weights >= 0).all()
    assert weights[0] + weights[3] > 0.8 and weights[2] < 0.05
    assert method == "softmax" or weights[2] == 0
    assert torch.equal(weights, fit_weights(found.pairs, WeightConfig(method), 1))


def test_no_point_of_a_grid_is_better(found: Utilities) -> None:
    scale = float(found.means.abs().max())

    def loss(point: Tensor) -> float:
        return found.pairs.utility(point)[0] / scale + 0.5 * float(point.norm())

    grid = [torch.tensor(shares) / 12 for shares in itertools.product(range(13), repeat=4) if sum(shares) == 12]
    lowest = min(map(loss, grid))
    for method, tolerance in (("sparsemax", 1e-3), ("softmax", 5e-3)):
        assert loss(fit_weights(found.pairs, WeightConfig(method, spread=0.5), 0)) < lowest + tolerance  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["softmax", "sparsemax"])
def test_nothing_near_and_no_single_label_is_better(method: Any) -> None:
    """On objectives without any structure, which have many minima."""
    random = torch.Generator().manual_seed(0)
    for _ in range(10):
        pairs = Pairs(torch.randn(50, generator=random), 5 * torch.rand(4, 50, generator=random), 0.0)
        scale = max(abs(pairs.utility(one)[0]) for one in torch.eye(4))
        weights = fit_weights(pairs, WeightConfig(method, steps=400, spread=0.2), 0)

        def loss(point: Tensor, pairs: Pairs = pairs, scale: float = scale) -> float:
            return pairs.utility(point)[0] / scale + 0.2 * float(point.norm())

        moves = (0.02 * (one - two) for one, two in itertools.permutations(torch.eye(4, dtype=torch.float64), 2))
        near = [weights + move for move in moves if (weights + move >= 0).all()]
        assert loss(weights) <= min(map(loss, [*near, torch.full((4,), 0.25)])) + 1e-3
        assert method == "softmax" or loss(weights) <= min(map(loss, torch.eye(4))) + 1e-6
    one = Pairs(pairs.weight, pairs.energy[:1], 0.0)
    assert float(fit_weights(one, WeightConfig(method), 0)) == 1.0


def test_the_released_start_is_the_seeds(found: Utilities) -> None:
    config = WeightConfig("softmax", "released", steps=20, spread=0.0)
    one, two = (fit_weights(found.pairs, config, seed) for seed in (0, 1))
    assert torch.equal(one, fit_weights(found.pairs, config, 0)) and not torch.allclose(one, two)


def test_penalty_spreads(found: Utilities) -> None:
    lengths = [float(fit_weights(found.pairs, WeightConfig(spread=spread), 0).norm()) for spread in (0.0, 0.5, 5.0)]
    assert lengths[0] > lengths[1] > lengths[2] and lengths[2] == pytest.approx(0.5, abs=0.02)


def test_a_mixture_of_equal_labels_is_each_of_them(found: Utilities) -> None:
    energy = found.pairs.energy[:1].expand(3, -1)
    pairs = type(found.pairs)(found.pairs.weight, energy, found.pairs.constant)
    alone = pairs.utility(torch.eye(3)[0])[0]
    assert pairs.utility(torch.tensor([0.2, 0.5, 0.3]))[0] == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("steps", 0, "steps must be at least 1, found 0"),
        ("lr", -1.0, "lr must be above 0, found -1.0"),
        ("spread", -0.1, "spread must not be negative, found -0.1"),
    ],
)
def test_bad_values(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WeightConfig(**{key: value})


def test_pairs_are_hsic(found: Utilities) -> None:
    speech = torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(3))
    label = torch.randn(12, 1, generator=torch.Generator().manual_seed(4))
    rows = torch.nn.functional.normalize(speech.flatten(1).double(), dim=1)
    other = (-torch.cdist(label, label).double().square() / 0.1).exp()
    for centring in ("textbook", "released", "unbiased"):
        one = utilities({"a": Samples(speech, (label,))}, ("z",), centring, progress=False)  # type: ignore[arg-type]
        assert float(one.means) == pytest.approx(hsic(rows @ rows.T, other, centring), abs=1e-6)  # type: ignore[arg-type]
