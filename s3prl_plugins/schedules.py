"""How a learning rate moves over training."""

from __future__ import annotations

__all__ = ["linear_schedule"]


def linear_schedule(step: int, warmup: int, total: int) -> float:
    """Factor of the learning rate after `step` steps: 0 -> 1 during warm-up, then linearly to 0 at `total`.

    As s3prl's `linear_schedule_with_warmup`, except that without warm-up a step is never spent at rate 0.
    """
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / max(1, total - warmup))
