"""Properties of every balancer that weighs gradients, on random gradients and their Gram matrices."""

from __future__ import annotations

import importlib.util
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from s3prl_plugins.balancers import BALANCERS, GradientBalancer, build_balancer
from s3prl_plugins.balancers.conflicts import conflicts
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.seeding import generator

NEEDS = {"pcgrad": (), "gradnorm": (), "fairgrad": ("torchjd", "scipy"), "cagrad": ("torchjd", "cvxpy", "clarabel"),
         "nash_mtl": ("torchjd", "cvxpy", "ecos"), "upgrad": ("torchjd", "qpsolvers", "quadprog"),
         "dualproj": ("torchjd", "qpsolvers", "quadprog"), "mgda": ("torchjd",), "imtl_g": ("torchjd",),
         "aligned_mtl": ("torchjd",), "gradvac": ("torchjd",)}  # fmt: skip
NAMES = ("asr", "pr", "sid", "asv")
LOSSES = {"asr": 3.0, "pr": 2.0, "sid": 5.0, "asv": 0.7}


def here(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


def methods(*left_out: str) -> list[Any]:
    """Every method, skipped where what it needs is not installed."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(not here(*needs), reason=f"needs {', '.join(needs)}"))
        for name, needs in NEEDS.items()
        if name not in left_out
    ]


def balancer(name: str, names: tuple[str, ...] = NAMES, seed: int = 3, **options: Any) -> GradientBalancer:
    built = build_balancer({"name": name, **options}, names, NAMES, "task", seed, BALANCERS)
    assert isinstance(built, GradientBalancer)
    return built


def weights(name: str, rows: Tensor, names: tuple[str, ...] = NAMES, step: int = 1, **options: Any) -> Tensor:
    return balancer(name, names, **options).combine(step, (rows @ rows.T)[None], {n: LOSSES[n] for n in names})[0]


def gradients(tasks: int = 4, size: int = 30, seed: int = 0, agree: float = 0.0) -> Tensor:
    """Rows of different lengths; the larger `agree`, the more they point the same way."""
    draw = torch.Generator().manual_seed(seed)
    common = torch.randn(size, generator=draw, dtype=torch.float64)
    own = torch.randn(tasks, size, generator=draw, dtype=torch.float64)
    return (own + agree * common) * torch.linspace(0.5, 2, tasks, dtype=torch.float64)[:, None]


def test_the_table_knows_which_balancers_need_gradients() -> None:
    built = {name for name, (options, _) in BALANCERS.items() if hasattr(options, "scope")}
    assert built == set(NEEDS)


@pytest.mark.parametrize("name", methods("pcgrad", "gradvac", "nash_mtl"))
def test_the_order_of_tasks_does_not_matter(name: str) -> None:
    """Not so of PCGrad and GradVac, whose orders are drawn, and of Nash-MTL, whose solver stops early."""
    rows, order = gradients(), torch.tensor([2, 0, 3, 1])
    straight = weights(name, rows)
    swapped = weights(name, rows[order], tuple(NAMES[i] for i in order))
    torch.testing.assert_close(swapped, straight[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_pcgrad_with_two_tasks_does_not_depend_on_their_order(reduction: str) -> None:
    rows = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    got = weights("pcgrad", rows, ("asr", "pr"), reduction=reduction) @ rows
    swapped = weights("pcgrad", rows.flip(0), ("pr", "asr"), reduction=reduction) @ rows.flip(0)
    # By hand: g1 + g2 / 2 = (0.5, 0.5) and g2 + g1 = (0, 1).
    expected = torch.tensor([0.5, 1.5], dtype=torch.float64) / (2 if reduction == "mean" else 1)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(swapped, expected)


@pytest.mark.parametrize("name", methods("nash_mtl", "fairgrad", "cagrad"))
def test_scaling_all_gradients_scales_the_update(name: str) -> None:
    """Not so of Nash-MTL and FairGrad, whose step shrinks as gradients grow; CAGrad adds a constant to norms."""
    rows = gradients()
    torch.testing.assert_close(weights(name, 100 * rows), weights(name, rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", methods())
def test_without_conflict_no_task_is_harmed(name: str) -> None:
    rows = gradients(agree=3.0)
    assert conflicts(rows @ rows.T)[2] == 0
    update = weights(name, rows) @ rows
    assert (rows @ update > 0).all()


@pytest.mark.parametrize("name", methods("gradnorm", "pcgrad", "gradvac", "aligned_mtl", "cagrad"))
def test_conflict_is_removed_where_that_is_promised(name: str) -> None:
    for seed in range(5):
        rows = gradients(seed=seed, size=6)
        assert conflicts(rows @ rows.T)[2] > 0
        update = weights(name, rows) @ rows
        assert (rows @ update > -1e-2 * rows.norm(dim=1) * update.norm()).all()


@pytest.mark.parametrize("name", methods())
def test_two_equal_tasks_are_weighed_alike_or_share_their_weight(name: str) -> None:
    row = gradients(1)
    both = weights(name, row.repeat(2, 1), ("asr", "pr"))
    alone = weights(name, row, ("asr",))
    update, single = both @ row.repeat(2, 1), alone @ row
    cosine = torch.nn.functional.cosine_similarity(update, single, dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-6)
    assert 0.5 <= float(update.norm() / single.norm()) <= 2 + 1e-6


@pytest.mark.parametrize("name", methods())
def test_a_gradient_of_zero_changes_no_others_weight(name: str) -> None:
    rows = gradients(agree=1.0)
    rows[1] = 0
    others = [0, 2, 3]
    update = weights(name, rows) @ rows
    expected = weights(name, rows[others], tuple(NAMES[i] for i in others)) @ rows[others]
    torch.testing.assert_close(update, expected, rtol=1e-4, atol=1e-5)
    assert weights(name, torch.zeros_like(rows)).isfinite().all()


@pytest.mark.parametrize("name", methods("pcgrad", "gradnorm"))
def test_seeds_and_steps_settle_every_draw_and_no_global_one_is_made(name: str) -> None:
    rows = gradients(size=6)
    before = torch.random.get_rng_state()
    assert torch.equal(weights(name, rows), weights(name, rows))
    assert torch.equal(before, torch.random.get_rng_state())


def naive_pcgrad(rows: Tensor, orders: list[list[int]]) -> Tensor:
    """Algorithm 1 of arXiv 2001.06782, on the gradients themselves."""
    total = torch.zeros_like(rows[0])
    for i, order in enumerate(orders):
        projected = rows[i].clone()
        for j in order:
            product = torch.dot(projected, rows[j])
            if product < 0:
                projected -= product / torch.dot(rows[j], rows[j]) * rows[j]
        total += projected
    return total


def orders(tasks: int, seed: int, step: int) -> list[list[int]]:
    draw = generator(seed, "pcgrad", step)
    return [[j for j in torch.randperm(tasks, generator=draw).tolist() if j != i] for i in range(tasks)]


@pytest.mark.parametrize("step", range(1, 9))
def test_pcgrad_on_inner_products_is_the_loop_over_gradients(step: int) -> None:
    tasks = random.Random(step).randint(2, 9)
    names = tuple(f"t{i}" for i in range(tasks))
    built = build_balancer({"name": "pcgrad"}, names, names, "task", 5, BALANCERS)
    assert isinstance(built, GradientBalancer)
    layers = [gradients(tasks, 7, seed=10 * step + layer) for layer in range(3)]
    grams = torch.stack([rows @ rows.T for rows in layers])
    found = built.combine(step, grams, dict.fromkeys(names, 1.0))
    assert found.shape == (3, tasks)
    for rows, weight in zip(layers, found):
        expected = naive_pcgrad(rows, orders(tasks, 5, step))
        assert float((weight @ rows - expected).norm() / expected.norm()) < 1e-6


def test_pcgrad_draws_another_order_at_every_step_and_seed() -> None:
    rows = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.5], [0.3, 1.0]], dtype=torch.float64)
    seen = {tuple(weights("pcgrad", rows, step=step).tolist()) for step in range(1, 17)}
    others = {tuple(weights("pcgrad", rows, step=step, seed=4).tolist()) for step in range(1, 17)}
    assert len(seen) > 4 and seen != others


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "pcgard"}, "unknown config.balancer.name 'pcgard'; did you mean 'pcgrad'"),
        ({"name": "pcgrad", "reductoin": "sum"}, "unknown key config.balancer.reductoin; did you mean 'reduction'"),
        ({"name": "pcgrad", "per": "layr"}, "config.balancer.per is 'layr'; did you mean 'layer'"),
        ({"name": "pcgrad", "last_layers": 0}, "config.balancer: last_layers must be at least 1, found 0"),
        ({"name": "gradnorm", "per": "layer"}, "per must be whole: gradnorm has one weight a task, found 'layer'"),
        ({"name": "gradnorm", "alpha": -1}, "alpha must not be negative, found -1.0"),
        ({"name": "fairgrad", "alpha": -1}, "alpha must not be negative, found -1.0"),
        ({"name": "dwa", "window": 0}, "window must be at least 1 step, found 0"),
        ({"name": "uncertainty", "lr": 0}, "lr must be above 0, found 0.0"),
    ],
)
def test_settings_that_do_not_fit_are_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_balancer(config, NAMES, NAMES, "task", 0, BALANCERS)


def test_norms_cosines_and_conflicts_are_those_of_the_gradients() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    norms, cosines, ratio = conflicts(rows @ rows.T)
    assert norms == [5, 2, 1, 0]
    assert cosines == pytest.approx([(0.8 - 0.6) / 3, 0.8 / 3, -0.6 / 3, 0])
    assert ratio == pytest.approx(1 / 6)
    assert conflicts(torch.tensor([[4.0]])) == ([2], [0], 0)
