"""What SUPERB's single-task recipes need of the optimizers: a constant rate, and clipping as stock s3prl does it."""

from __future__ import annotations

import pytest
import torch
from fakes_multitask import MAPPING, joint_model

from s3prl_plugins.config import merge
from s3prl_plugins.multitask.config import ClipConfig, run_config
from s3prl_plugins.multitask.optim import Optimizers, clip_gradients


@pytest.mark.parametrize("warmup", [0, 3])
def test_a_constant_rate_stays_after_warm_up(warmup: int) -> None:
    config = run_config(merge(MAPPING, {"runner": {"schedule": "constant", "warmup_steps": warmup}}))
    optimizers = Optimizers(joint_model().parts(), config.optimizer, warmup, 10, config.runner.schedule)
    rates = [optimizers.rates(step)["head/ks"] / config.optimizer.heads.lr for step in range(1, 12)]
    assert rates == pytest.approx([step / 3 for step in range(warmup)] + [1.0] * (11 - warmup))


@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_clipping_everything_together_is_torchs_own(limit: float) -> None:
    parts, others = joint_model().parts(), joint_model().parts()
    draw = torch.Generator().manual_seed(0)
    for name, own in parts.items():
        for mine, other in zip(own, others[name]):
            mine.grad = torch.randn(mine.shape, generator=draw)
            other.grad = mine.grad.clone()
    every = [p for own in others.values() for p in own]
    norm = torch.nn.utils.clip_grad_norm_(every, limit)
    assert clip_gradients(parts, ClipConfig(1e-9, 1e-9, limit)) == {"total": pytest.approx(float(norm))}
    for mine, other in zip([p for own in parts.values() for p in own], every):
        torch.testing.assert_close(mine.grad, other.grad)
