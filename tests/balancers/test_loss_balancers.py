"""Balancers that need losses only, and GradNorm's weights: formulas by hand, and a state that can be restored."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch

from s3prl_plugins.balancers import BALANCERS, Balancer, GradientBalancer, build_balancer
from s3prl_plugins.balancers.fixed import FixedWeights

NAMES = ("asr", "pr", "sid")


def balancer(name: str, names: tuple[str, ...] = NAMES, seed: int = 3, **options: Any) -> Balancer:
    return build_balancer({"name": name, **options}, names, NAMES, "task", seed, BALANCERS)


def losses(step: int) -> dict[str, float]:
    """Falling, wandering, and falling fast; the second is left out of every fourth step."""
    values = {"asr": 3 / step**0.1, "pr": 1 + 0.3 * math.sin(step), "sid": 5 / step}
    return {name: value for name, value in values.items() if name != "pr" or step % 4}


def follow(built: Balancer, first: int, last: int) -> None:
    for step in range(first, last + 1):
        seen = losses(step)
        if isinstance(built, GradientBalancer):
            weights = built.weights(step)
            rows = torch.stack([weights[name] * torch.full((2,), seen[name], dtype=torch.float64) for name in seen])
            built.combine(step, (rows @ rows.T)[None], seen)
        built.observe(step, seen)


OWN = ("fixed", "random", "uncertainty", "dwa", "gradnorm", "pcgrad")


@pytest.mark.parametrize("name", OWN)
def test_a_restored_state_goes_on_as_if_nothing_had_happened(name: str) -> None:
    options = {"window": 3} if name == "dwa" else {}
    straight, resumed = balancer(name, **options), balancer(name, **options)
    follow(straight, 1, 7)
    file = io.BytesIO()
    torch.save(straight.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for step in range(8, 20):
        follow(straight, step, step)
        follow(resumed, step, step)
        assert straight.weights(step + 1) == resumed.weights(step + 1)
    if name in ("uncertainty", "dwa", "gradnorm"):
        assert straight.weights(20) != balancer(name, **options).weights(20)


@pytest.mark.parametrize("name", OWN)
def test_a_weight_of_ones_own_multiplies_what_the_balancer_says(name: str) -> None:
    """In the first step; later weights learn of it."""
    plain, doubled = balancer(name).weights(1), balancer(name, weights={"sid": 2.0}).weights(1)
    assert doubled == {**plain, "sid": 2 * plain["sid"]}


@pytest.mark.parametrize("name", ["uncertainty", "dwa"])
def test_names_not_places_carry_the_state(name: str) -> None:
    straight, turned = balancer(name), balancer(name, NAMES[::-1])
    follow(straight, 1, 250)
    follow(turned, 1, 250)
    assert dict(turned.weights(251)) == pytest.approx(dict(straight.weights(251)))


def test_random_weights_sum_to_the_number_of_losses_and_are_one_in_the_mean() -> None:
    built = balancer("random")
    drawn = torch.tensor([list(built.weights(step).values()) for step in range(1, 1001)])
    torch.testing.assert_close(drawn.sum(dim=1), torch.full((1000,), 3.0))
    assert (drawn > 0).all() and torch.allclose(drawn.mean(dim=0), torch.ones(3), atol=0.1)
    assert built.weights(5) == balancer("random").weights(5) != balancer("random", seed=4).weights(5)


def test_uncertainty_settles_where_kendalls_objective_has_its_minimum() -> None:
    built = balancer("uncertainty", lr=0.05)
    constant = {"asr": 4.0, "pr": 0.25, "sid": 1.0}
    assert built.weights(1) == dict.fromkeys(NAMES, 1.0)
    for step in range(1, 600):
        built.observe(step, constant)
    assert dict(built.weights(600)) == pytest.approx({n: 1 / (2 * loss) for n, loss in constant.items()}, rel=1e-3)


def test_uncertainty_descends_the_objective_as_autograd_would() -> None:
    built = balancer("uncertainty", lr=0.01)
    log_sigma = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.Adam([log_sigma], lr=0.01)
    for step in (1, 2, 3, 5, 6, 7):
        seen = torch.tensor(list(losses(step).values()), dtype=torch.float64)
        optimizer.zero_grad()
        (seen / log_sigma.exp() ** 2 + log_sigma).sum().backward()
        optimizer.step()
        built.observe(step, losses(step))
    torch.testing.assert_close(
        torch.tensor(list(built.weights(8).values())).double(), log_sigma.detach().mul(-2).exp(), rtol=1e-6, atol=0
    )


def test_dwa_compares_the_last_two_windows() -> None:
    built = balancer("dwa", window=2, temperature=2.0)
    for step, (asr, pr) in enumerate([(4, 1), (2, 1), (2, 1), (1, 1), (99, 1)], 1):
        built.observe(step, {"asr": float(asr), "pr": float(pr)})
        if step < 4:
            assert built.weights(step + 1) == dict.fromkeys(NAMES, 1.0)
    ratios = {"asr": 1.5 / 3, "pr": 1.0, "sid": 1.0}
    total = sum(math.exp(ratio / 2) for ratio in ratios.values())
    assert dict(built.weights(6)) == pytest.approx({n: 3 * math.exp(r / 2) / total for n, r in ratios.items()})


def test_gradnorm_makes_gradients_equally_long() -> None:
    """With alpha 0; and its weights keep their sum."""
    built = balancer("gradnorm", alpha=0.0, lr=0.01)
    assert isinstance(built, GradientBalancer)
    lengths = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    for step in range(1, 600):
        norms = torch.tensor(list(built.weights(step).values())) * lengths
        assert sum(built.weights(step).values()) == pytest.approx(3)
        assert torch.equal(
            built.combine(step, norms.square().diag()[None], dict.fromkeys(NAMES, 1.0)), torch.ones(1, 3)
        )
    expected = 1 / lengths * 3 / (1 / lengths).sum()
    assert list(built.weights(600).values()) == pytest.approx(expected.tolist(), rel=0.05)


def test_gradnorm_favours_the_task_that_falls_slowest() -> None:
    built = balancer("gradnorm", alpha=1.0, lr=0.01)
    assert isinstance(built, GradientBalancer)
    for step in range(1, 200):
        norms = torch.tensor(list(built.weights(step).values()))
        built.combine(step, norms.square().diag()[None], {"asr": 1.0, "pr": 1 / step, "sid": 1 / step})
    weights = built.weights(200)
    assert weights["asr"] > 1.5 > weights["pr"] == pytest.approx(weights["sid"])


def test_one_loss_less_changes_no_state_of_it() -> None:
    built = balancer("uncertainty")
    built.observe(1, {"asr": 3.0, "sid": 1.0})
    assert built.weights(2)["pr"] == 1 and built.weights(2)["asr"] < 1


def test_fixed_weights_are_a_class_of_their_own() -> None:
    assert type(balancer("fixed")) is FixedWeights and not isinstance(balancer("fixed"), GradientBalancer)
