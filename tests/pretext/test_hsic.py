"""HSIC against plain loops, a permutation test, known dependence, and what must not change it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from s3prl_plugins.errors import UserError
from s3prl_plugins.pretext.hsic import Centring, hsic, pair_weights

CENTRINGS: tuple[Centring, ...] = get_args(Centring)


def gaussian(x: Tensor, variance: float = 1.0) -> Tensor:
    return (-torch.cdist(x, x).square() / (2 * variance)).exp()


def draw(seed: int, n: int, dim: int = 1) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(kernel: np.ndarray, other: np.ndarray, centring: Centring) -> float:
    """The definitions as sums over indices, without matrix products."""
    n = len(kernel)
    if centring == "unbiased":
        indices = range(n)
        both = sum(kernel[i, j] * other[i, j] for i in indices for j in indices if i != j)
        ones = [sum(matrix[i, j] for i in indices for j in indices if i != j) for matrix in (kernel, other)]
        chain = sum(kernel[i, j] * other[j, k] for i in indices for j in indices for k in indices if i != j and j != k)
        return float((both + ones[0] * ones[1] / ((n - 1) * (n - 2)) - 2 * chain / (n - 2)) / (n * (n - 3)))
    share = 1 / n if centring == "textbook" else 1 / n**2

    def centred(matrix: np.ndarray) -> np.ndarray:
        out = np.empty_like(matrix)
        for i in range(n):
            for j in range(n):
                rows = share * (matrix[i].sum() + matrix[:, j].sum())
                out[i, j] = matrix[i, j] - rows + share**2 * matrix.sum()
        return out

    left = centred(kernel)
    return float(sum(left[i, j] * other[i, j] for i in range(n) for j in range(n)) / n**2)


@pytest.mark.parametrize("centring", CENTRINGS)
@pytest.mark.parametrize("n", [4, 7, 13])
def test_equal_to_plain_loops(centring: Centring, n: int) -> None:
    kernel, other = gaussian(draw(1, n, 3)), gaussian(draw(2, n))
    assert hsic(kernel, other, centring) == pytest.approx(plain(kernel.numpy(), other.numpy(), centring), rel=1e-10)


@pytest.mark.parametrize(("centring", "share"), [("textbook", 1.0), ("released", 1 / 9)])
def test_equal_to_the_trace(centring: Centring, share: float) -> None:
    n = 9
    kernel, other = gaussian(draw(3, n)), gaussian(draw(4, n))
    centre = torch.eye(n, dtype=torch.float64) - share * torch.ones(n, n, dtype=torch.float64) / n
    assert hsic(kernel, other, centring) == pytest.approx(float((kernel @ centre @ other @ centre).trace()) / n**2)


@pytest.mark.parametrize("centring", CENTRINGS)
def test_symmetric_and_blind_to_order(centring: Centring) -> None:
    kernel, other = gaussian(draw(5, 20, 2)), gaussian(draw(6, 20))
    value = hsic(kernel, other, centring)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert hsic(other, kernel, centring) == pytest.approx(value)
    assert hsic(kernel[order][:, order], other[order][:, order], centring) == pytest.approx(value)
    assert hsic(3 * kernel, other, centring) == pytest.approx(3 * value)


@pytest.mark.parametrize("centring", ["textbook", "unbiased"])
def test_a_constant_changes_nothing_unless_as_released(centring: Centring) -> None:
    kernel, other = gaussian(draw(7, 15)), gaussian(draw(8, 15))
    assert hsic(kernel + 5, other, centring) == pytest.approx(hsic(kernel, other, centring))
    assert hsic(kernel, torch.ones(15, 15), centring) == pytest.approx(0, abs=1e-12)
    assert hsic(kernel + 5, other, "released") > 2 * hsic(kernel, other, "released")


def test_known_value_of_linear_kernels() -> None:
    """With linear kernels of numbers, HSIC is the squared covariance."""
    x, y = draw(9, 50), draw(10, 50)
    y = 0.5 * x + y
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    assert hsic(x @ x.T, y @ y.T) == pytest.approx(covariance**2)


def test_unbiased_is_zero_on_average_where_independent_and_textbook_is_not() -> None:
    values = {
        name: np.array([hsic(gaussian(draw(2 * i, 8)), gaussian(draw(2 * i + 1, 8)), name) for i in range(400)])
        for name in CENTRINGS
    }
    error = values["unbiased"].std() / 20
    assert abs(values["unbiased"].mean()) < 4 * error
    assert values["textbook"].mean() > 20 * error
    assert (values["textbook"] >= 0).all()


@pytest.mark.parametrize("centring", CENTRINGS)
@pytest.mark.parametrize("dependent", [True, False])
def test_agrees_with_a_permutation_test(centring: Centring, dependent: bool) -> None:
    """Uncorrelated but dependent (y = x^2 and noise) is found; independent numbers are not."""
    x, noise = draw(11, 80), draw(12, 80)
    y = x.square() + 0.3 * noise if dependent else noise
    weights, other = pair_weights(gaussian(x), centring), gaussian(y)
    value = float((weights * other).sum())
    random = torch.Generator().manual_seed(1)
    null = []
    for _ in range(200):
        order = torch.randperm(80, generator=random)
        null.append(float((weights * other[order][:, order]).sum()))
    p = (1 + sum(one >= value for one in null)) / 201
    assert p < 0.01 if dependent else 0.05 < p < 0.95


@pytest.mark.parametrize("centring", CENTRINGS)
def test_too_few_samples(centring: Centring) -> None:
    with pytest.raises(UserError, match="at least 4 samples of a class, found 3"):
        pair_weights(torch.eye(3), centring)
