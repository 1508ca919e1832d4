"""How much one task's step lowers another's loss: against first-order theory, and without a trace in the model."""

from __future__ import annotations

import math

import pytest
import torch
from fakes_multitask import SPECAUG, Run, config, joint_model, streams
from torch import Tensor

from s3prl_plugins.heads.contract import Loss
from s3prl_plugins.multitask.affinity import affinities
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.streams import Batch

TASKS = ("ks", "sid", "er")


def batches() -> dict[str, Batch]:
    return {task: source.next() for task, source in streams(TASKS).items()}


def gradient(model: JointModel, task: str, batch: Batch) -> tuple[Tensor, float]:
    model.zero_grad()
    loss = model.loss(task, batch).mean
    loss.backward()
    found = torch.cat([p.grad.flatten().clone() for p in model.shared().values() if p.grad is not None])
    model.zero_grad()
    return found, float(loss.detach())


@pytest.mark.parametrize("shared_featurizer", [False, True])
def test_short_steps_follow_the_gradients(shared_featurizer: bool) -> None:
    """1 - L_j(w - r g_i / |g_i|) / L_j(w) is r g_i.g_j / (|g_i| L_j) to first order."""
    model, heard = joint_model(TASKS, shared_featurizer=shared_featurizer).double().eval(), batches()
    heard = {task: Batch(b.examples, [w.double() for w in b.waves if w is not None]) for task, b in heard.items()}
    reach = 1e-5 * float(torch.cat([p.detach().flatten() for p in model.shared().values()]).norm())
    found = affinities(model, heard, length=1e-5)
    for source in TASKS:
        own, _ = gradient(model, source, heard[source])
        for task in TASKS:
            other, loss = gradient(model, task, heard[task])
            expected = reach * float(own @ other / own.norm()) / loss
            assert found[f"affinity/{source}/{task}"] == pytest.approx(expected, rel=0.02, abs=1e-9)
    assert list(found) == [f"affinity/{i}/{j}" for i in TASKS for j in TASKS]
    assert all(found[f"affinity/{task}/{task}"] > 0 for task in TASKS)


def test_the_model_is_left_as_it_was() -> None:
    model = joint_model(TASKS, specaug=SPECAUG).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first, second = affinities(model, batches()), affinities(model, batches())
    assert first == second and torch.equal(torch.get_rng_state(), state)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Faulty(JointModel):
    def loss(self, task: str, batch: Batch) -> Loss:
        found = super().loss(task, batch)
        return Loss(found.total * math.nan, found.count) if task == "sid" else found


def test_a_task_without_a_finite_loss_is_left_out() -> None:
    model = joint_model(TASKS)
    model.__class__ = Faulty
    assert set(affinities(model, batches())) == {f"affinity/{i}/{j}" for i in ("ks", "er") for j in ("ks", "er")}
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_frozen_encoder_shares_nothing() -> None:
    assert affinities(joint_model(TASKS, trainable=False), batches()) == {}


def test_measuring_while_training_changes_nothing_of_the_training() -> None:
    plain, measured = Run(config(total_steps=4)), Run(config(total_steps=4, affinity_step=2, log_step=3))
    plain.trainer.run(1)
    measured.trainer.run(1)
    for ours, theirs in zip(measured.model.parameters(), plain.model.parameters()):
        assert torch.equal(ours, theirs)
    assert [s for s, entry in measured.log.all if "affinity/ks/sid" in entry] == [2, 4]
    assert not any("affinity/ks/sid" in entry for _, entry in plain.log.all)
