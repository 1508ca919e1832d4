"""NT-Xent against a plain loop and its closed-form ends; the share of partners found."""

import math

import pytest
import torch
from torch import Tensor

from s3prl_plugins.pretrain.contrast import info_nce, pair_accuracy


def views(rows: int, dim: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    first, second = torch.randn(2, rows, dim, generator=torch.Generator().manual_seed(seed))
    return first, first + second


def loop(first: Tensor, second: Tensor, temperature: float) -> float:
    rows = torch.cat([first, second]).double().tolist()

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other)) / math.hypot(*one) / math.hypot(*other)

    total = 0.0
    for place, row in enumerate(rows):
        others = [math.exp(cosine(row, rows[j]) / temperature) for j in range(len(rows)) if j != place]
        partner = math.exp(cosine(row, rows[(place + len(first)) % len(rows)]) / temperature)
        total -= math.log(partner / sum(others))
    return total / len(rows)


@pytest.mark.parametrize(("rows", "temperature"), [(2, 1.0), (5, 0.1), (16, 0.3)])
def test_equals_a_plain_loop(rows: int, temperature: float) -> None:
    first, second = views(rows, 7)
    assert float(info_nce(first, second, temperature)) == pytest.approx(loop(first, second, temperature), rel=1e-5)


def test_is_symmetric_and_knows_no_order_or_length_of_rows() -> None:
    first, second = views(6, 4)
    loss = info_nce(first, second, 0.2)
    order, lengths = torch.tensor([3, 0, 5, 1, 4, 2]), torch.linspace(0.1, 30, 6).unsqueeze(1)
    torch.testing.assert_close(info_nce(second, first, 0.2), loss)
    torch.testing.assert_close(info_nce(first[order], second[order], 0.2), loss)
    torch.testing.assert_close(info_nce(first * lengths, second / lengths, 0.2), loss)
    assert not torch.allclose(info_nce(first, second[order], 0.2), loss)


def test_what_cannot_be_told_apart_costs_log_of_the_candidates_and_what_can_costs_nothing() -> None:
    same = torch.ones(8, 3)
    assert float(info_nce(same, same, 0.1)) == pytest.approx(math.log(15))
    assert pair_accuracy(same, same) <= 1 / 8
    assert float(info_nce(torch.eye(8), 2 * torch.eye(8), 0.05)) == pytest.approx(0, abs=1e-6)
    assert float(info_nce(torch.randn(1, 3), torch.randn(1, 3), 0.1)) == 0


def test_pair_accuracy_counts_both_directions() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert pair_accuracy(first, first) == 1
    assert pair_accuracy(first, first.flip(0)) == 0
    # Partners at 0 and 8 degrees, and at 90 and 20: all but the last have their partner nearest.
    angles = torch.tensor([0.0, 90.0, 8.0, 20.0]).deg2rad()
    rows = torch.stack([angles.cos(), angles.sin()], 1)
    assert pair_accuracy(rows[:2], rows[2:]) == 0.75


def test_training_on_it_finds_the_partners() -> None:
    """Views share 4 of 16 dims; a linear map has to find them."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(16, 4, generator=random).requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=0.02)

    def pair() -> tuple[Tensor, Tensor]:
        shared, noise = torch.randn(32, 4, generator=random), torch.randn(2, 32, 12, generator=random)
        return torch.cat([shared, noise[0]], 1), torch.cat([shared, noise[1]], 1)

    before = pair_accuracy(*(view @ weight for view in pair()))
    for _ in range(150):
        loss = info_nce(*(view @ weight for view in pair()), 0.1)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    after = sum(pair_accuracy(*(view @ weight for view in pair())) for _ in range(5)) / 5
    assert before < 0.35
    assert after > 0.7


def test_is_float32_under_autocast() -> None:
    first, second = views(8, 64)
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(first, second, 0.1)
        accuracy = pair_accuracy(first, second)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, info_nce(first, second, 0.1))
    assert accuracy == pair_accuracy(first, second)
    assert info_nce(first.bfloat16(), second.bfloat16(), 0.1).dtype == torch.float32
