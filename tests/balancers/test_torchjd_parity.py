"""Against torchjd: our PCGrad, and what the adapter makes of its methods."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor

from s3prl_plugins.balancers import BALANCERS, GradientBalancer, build_balancer
from s3prl_plugins.seeding import seeded

torchjd: Any = pytest.importorskip("torchjd.aggregation")
NAMES = ("asr", "pr", "sid", "asv", "ks")
LOSSES = dict.fromkeys(NAMES, 1.0)


def solver(*packages: str) -> Any:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def balancer(name: str, **options: Any) -> GradientBalancer:
    built = build_balancer({"name": name, **options}, NAMES, NAMES, "task", 3, BALANCERS)
    assert isinstance(built, GradientBalancer)
    return built


def rows(step: int, tasks: int = 5) -> Tensor:
    return torch.randn(tasks, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)


@pytest.mark.parametrize("step", range(1, 6))
def test_our_pcgrad_is_torchjds(step: int) -> None:
    gram = rows(step) @ rows(step).T
    with seeded(3, "pcgrad", step):
        expected = torchjd.PCGradWeighting()(gram)
    torch.testing.assert_close(balancer("pcgrad").combine(step, gram[None], LOSSES)[0], expected)


@pytest.mark.parametrize(
    ("name", "aggregator", "arguments"),
    [
        pytest.param("upgrad", "UPGrad", {}, marks=solver("qpsolvers", "quadprog")),
        pytest.param("dualproj", "DualProj", {}, marks=solver("qpsolvers", "quadprog")),
        ("mgda", "MGDA", {}),
        ("imtl_g", "IMTLG", {}),
        ("aligned_mtl", "AlignedMTL", {"scale_mode": "rmse"}),
        pytest.param("cagrad", "CAGrad", {"c": 0.4}, marks=solver("cvxpy", "clarabel")),
        pytest.param("fairgrad", "FairGrad", {"alpha": 2.0}, marks=solver("scipy")),
    ],
)
def test_weights_times_rows_are_torchjds_aggregation(name: str, aggregator: str, arguments: dict[str, Any]) -> None:
    built = balancer(name, **arguments)
    grams = torch.stack([rows(step) @ rows(step).T for step in (1, 2)])
    for step, weights in enumerate(built.combine(1, grams, LOSSES), 1):
        expected = getattr(torchjd, aggregator)(**arguments)(rows(step))
        torch.testing.assert_close(weights @ rows(step), expected, rtol=1e-5, atol=1e-6)


def follow(built: GradientBalancer, first: int, last: int, tasks: int = 5) -> list[Tensor]:
    losses = dict.fromkeys(NAMES[:tasks], 1.0)
    return [
        built.combine(step, (rows(step, tasks) @ rows(step, tasks).T)[None], losses)[0] @ rows(step, tasks)
        for step in range(first, last + 1)
    ]


def test_gradvac_is_torchjds_step_after_step() -> None:
    theirs = torchjd.GradVac()
    for step, ours in enumerate(follow(balancer("gradvac"), 1, 6), 1):
        with seeded(3, "gradvac", step):
            torch.testing.assert_close(ours, theirs(rows(step)))


@solver("cvxpy", "ecos")
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
def test_nash_mtl_is_torchjds_step_after_step() -> None:
    theirs = torchjd.NashMTL(n_tasks=5, max_norm=0.0)
    for step, ours in enumerate(follow(balancer("nash_mtl", max_norm=0.0), 1, 3), 1):
        torch.testing.assert_close(ours, theirs(rows(step)), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("name", ["gradvac", pytest.param("nash_mtl", marks=solver("cvxpy", "ecos"))])
def test_a_state_is_restored_exactly_and_survives_a_task_that_is_left_out(name: str) -> None:
    straight, resumed = balancer(name), balancer(name)
    follow(straight, 1, 3)
    follow(straight, 4, 4, tasks=3)
    resumed.load_state_dict(straight.state_dict())
    for one, other in zip(follow(straight, 5, 6), follow(resumed, 5, 6), strict=True):
        assert torch.equal(one, other)
    fresh = follow(balancer(name), 5, 6)
    assert not torch.equal(fresh[1], one)
