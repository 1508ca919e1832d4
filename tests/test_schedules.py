"""The learning rate's course: s3prl's, but for a first step at rate 0 where there is no warm-up."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.schedules import linear_schedule


@given(st.integers(0, 50), st.integers(1, 200))
def test_it_rises_falls_and_ends_at_nothing(warmup: int, more: int) -> None:
    total = warmup + more
    rates = [linear_schedule(step, warmup, total) for step in range(total + 5)]
    rising, falling = rates[: warmup + 1], rates[warmup:]
    assert rising == sorted(rising) and falling == sorted(falling, reverse=True)
    assert rates[warmup] == 1.0 and rates[total - 1] > 0 and set(rates[total:]) == {0.0}
    assert 0.0 not in rates[min(warmup, 1) : total]


@given(st.integers(1, 30), st.integers(1, 60))
def test_it_is_s3prls(warmup: int, more: int) -> None:
    from s3prl.schedulers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = get_linear_schedule_with_warmup(optimizer, warmup, warmup + more)
    for step in range(warmup + more + 3):
        assert linear_schedule(step, warmup, warmup + more) == oracle.get_last_lr()[0]
        optimizer.step()
        oracle.step()
