"""HSIC against a second library: dcor's distance covariance is HSIC of the kernels that distances induce.

k(x, y) = (|x|^a + |y|^a - |x - y|^a) / 2 makes the squared distance covariance four times HSIC (Sejdinovic et al. 2013,
arXiv 1207.6076), both as V-statistic (`textbook`) and bias-corrected (`unbiased`).
"""

from __future__ import annotations

import dcor
import numpy as np
import pytest
import torch
from torch import Tensor

from s3prl_plugins.pretext.hsic import hsic


def between(x: Tensor) -> Tensor:
    """Distances without matrix products, which lose half of the digits."""
    return (x[:, None] - x[None, :]).norm(dim=2)


def induced(x: Tensor, exponent: float = 1.0) -> Tensor:
    size = x.norm(dim=1) ** exponent
    return (size[:, None] + size[None, :] - between(x) ** exponent) / 2


def draw(n: int, dim: int, other_dim: int, dependent: bool) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(n)
    x = torch.randn(n, dim, generator=random, dtype=torch.float64)
    y = torch.randn(n, other_dim, generator=random, dtype=torch.float64)
    return x, y + x[:, :1].square() if dependent else y


@pytest.mark.parametrize("dependent", [True, False])
@pytest.mark.parametrize(("dim", "other_dim"), [(1, 1), (5, 2)])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("n", [4, 9, 60])
def test_distance_covariance(n: int, exponent: float, dim: int, other_dim: int, dependent: bool) -> None:
    x, y = draw(n, dim, other_dim, dependent)
    kernels = induced(x, exponent), induced(y, exponent)
    biased = dcor.distance_covariance_sqr(x.numpy(), y.numpy(), exponent=exponent)
    assert 4 * hsic(*kernels, "textbook") == pytest.approx(float(biased), rel=1e-9, abs=1e-12)
    unbiased = dcor.u_distance_covariance_sqr(x.numpy(), y.numpy(), exponent=exponent)
    assert 4 * hsic(*kernels, "unbiased") == pytest.approx(float(unbiased), rel=1e-9, abs=1e-12)


def test_distance_covariance_of_numbers_by_sorting() -> None:
    """dcor's fast method for numbers, which makes no kernel."""
    x, y = draw(100, 1, 1, dependent=True)
    numbers = x[:, 0].numpy(), y[:, 0].numpy()
    options = {"method": "mergesort", "compile_mode": dcor.CompileMode.NO_COMPILE}
    biased = dcor.distance_covariance_sqr(*numbers, **options)
    assert 4 * hsic(induced(x), induced(y), "textbook") == pytest.approx(float(biased), rel=1e-9)
    unbiased = dcor.u_distance_covariance_sqr(*numbers, **options)
    assert 4 * hsic(induced(x), induced(y), "unbiased") == pytest.approx(float(unbiased), rel=1e-9)


def test_gaussian_kernels_by_dcors_centring() -> None:
    """The selection's own kind of kernel; 1 - k is a distance, and HSIC of distances is that of their kernels."""
    x, y = draw(40, 3, 1, dependent=True)
    kernels = [(-between(one).square() / 2).exp() for one in (x, y)]
    distances = [np.ascontiguousarray((1 - kernel).numpy()) for kernel in kernels]
    biased = dcor.mean_product(*map(dcor.double_centered, distances))
    assert hsic(*kernels, "textbook") == pytest.approx(float(biased), rel=1e-9)
    unbiased = dcor.u_product(*map(dcor.u_centered, distances))
    assert hsic(*kernels, "unbiased") == pytest.approx(float(unbiased), rel=1e-9)
