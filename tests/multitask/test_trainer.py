"""The joint step: one task's graph at a time equals the joint loss; a resumed run is the same run."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes_multitask import MAPPING, SPECAUG, Run, config, joint_model, streams

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import ClipConfig, run_config
from s3prl_plugins.multitask.optim import Optimizers, clip_gradients
from s3prl_plugins.schedules import linear_schedule


def test_a_resumed_run_is_bit_identical() -> None:
    chosen = config(total_steps=9, save_step=4, warmup_steps=3)
    straight = Run(chosen)
    straight.trainer.run(1)
    assert sorted(straight.states) == [4, 8, 9]
    resumed = Run(chosen, joint_model(seed=5, specaug=SPECAUG))
    resumed.restore(straight.states[4])
    resumed.trainer.run(5)
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_losses_fall_for_every_task() -> None:
    run = Run(config(total_steps=300, log_step=20), joint_model())
    run.trainer.run(1)
    for task in ("ks", "sid"):
        losses = [entry[f"train/{task}/loss"] for entry in run.log.steps.values()]
        assert losses[-1] < 0.5 * losses[0]
    last = run.log.steps[300]
    assert last["train/skipped_steps"] == 0 and last["train/audio_seconds_per_second"] > 0
    assert {"train/lr/upstream", "train/lr/head/ks", "train/grad_norm/upstream", "train/grad_norm/head/ks"} <= set(last)


def test_task_by_task_gradients_equal_those_of_the_joint_loss() -> None:
    run = Run(config(gradient_clipping={"upstream": None, "heads": None}), joint_model())
    run.optimizers.step = lambda step: None  # type: ignore[method-assign]
    run.trainer.run(30)
    got = [p.grad.clone() for p in run.model.parameters() if p.grad is not None]

    model, sources = joint_model(), streams()
    torch.stack([model.train().loss(task, source.next()).mean for task, source in sources.items()]).sum().backward()
    expected = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(got) == len(expected) > 0
    for ours, theirs in zip(got, expected):
        torch.testing.assert_close(ours, theirs)


def test_accumulated_batches_equal_one_large_batch() -> None:
    model, large = joint_model(), joint_model()
    source = streams(size=4)["ks"]
    batches = [source.next() for _ in range(4)]
    for batch in batches:
        (model.loss("ks", batch).mean / 4).backward()
    examples, waves = [e for b in batches for e in b.examples], [w for b in batches for w in b.waves]
    large.loss("ks", replace(batches[0], examples=examples, waves=waves)).mean.backward()
    for ours, theirs in zip(model.trunk.parameters(), large.trunk.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_step_without_a_finite_gradient_changes_nothing_and_is_counted() -> None:
    run = Run(config(total_steps=1))
    with torch.no_grad():
        for head in run.model.heads.values():
            next(head.parameters()).fill_(math.inf)
    before = [p.clone() for p in run.model.parameters()]
    run.trainer.run(1)
    assert run.log.steps[1]["train/skipped_steps"] == 1
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters()))


def test_evaluation_and_saving_happen_at_their_intervals() -> None:
    run = Run(config(total_steps=7, save_step=3, eval_step=2))
    run.trainer.run(1)
    assert sorted(run.states) == [3, 6, 7] and run.evaluated == [2, 4, 6]


def test_a_frozen_encoder_stays_as_it_was() -> None:
    run = Run(config(total_steps=3), joint_model(trainable=False))
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    run.trainer.run(1)
    changed = {name.split(".")[0] for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"featurizers", "heads"}
    assert not run.model.trunk.training and run.model.heads["ks"].training


def test_a_shared_featurizer_is_one_and_per_task_ones_differ_after_training() -> None:
    assert len(list(joint_model(shared_featurizer=True).featurizers.parameters())) == 1
    run = Run(config(total_steps=5))
    run.trainer.run(1)
    weights = [mix.weights for mix in run.model.featurizers.values()]
    assert not torch.equal(weights[0], weights[1])


def test_a_heads_initial_weights_depend_on_its_name_only() -> None:
    both, alone = joint_model(("ks", "sid")), joint_model(("sid",))
    for one, other in zip(both.heads["sid"].parameters(), alone.heads["sid"].parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(next(both.heads["ks"].parameters()), next(both.heads["sid"].parameters()))


def test_parts_are_clipped_apart() -> None:
    model = joint_model()
    for parameters in model.parts().values():
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, 3.0)
    parts = model.parts()
    norms = clip_gradients(parts, ClipConfig(upstream=1.0, heads=None))
    shared = [p.grad for p in parts["upstream"] + parts["featurizer"]]
    assert torch.nn.utils.get_total_norm(shared).item() == pytest.approx(1.0, rel=1e-4)
    assert all(bool((p.grad == 3.0).all()) for p in parts["head/ks"])
    count = sum(p.numel() for p in parts["head/ks"])
    assert norms["head/ks"] == pytest.approx(3.0 * math.sqrt(count), rel=1e-4)


def test_the_schedule_is_s3prls() -> None:
    from s3prl.schedulers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    stock = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=5, num_training_steps=20)
    assert [linear_schedule(step, 5, 20) for step in range(21)] == pytest.approx(
        [stock.lr_lambdas[0](step) for step in range(21)]
    )
    assert linear_schedule(0, 0, 20) == 1.0


@pytest.mark.parametrize(
    ("balancer", "message"),
    [
        ({"name": "fxed"}, "unknown config.balancer.name 'fxed'; did you mean 'fixed'"),
        ({"name": "fixed", "weights": {"asrr": 2}}, "unknown task config.balancer.weights.asrr; did you mean 'asr'"),
        ({"name": "fixed", "weights": {"ks": -1}}, "weights.ks must not be negative, found -1"),
        ({"name": "fixed", "wieghts": {}}, "unknown key config.balancer.wieghts; did you mean 'weights'"),
    ],
)
def test_balancer_settings_that_do_not_fit_are_named(balancer: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_balancer(balancer, ("ks", "sid"))


def test_a_head_can_have_a_learning_rate_of_its_own() -> None:
    chosen = run_config({**MAPPING, "optimizer": {**MAPPING["optimizer"], "head_lr": {"sid": 1e-4}}})
    rates = Optimizers(joint_model().parts(), chosen.optimizer, 0, 10).rates(6)
    assert rates == pytest.approx({"upstream": 5e-4, "featurizer": 5e-4, "head/ks": 5e-3, "head/sid": 5e-5})
    with pytest.raises(ConfigError, match=r"unknown task config\.optimizer\.head_lr\.sidd; did you mean 'sid'"):
        run_config({**MAPPING, "optimizer": {**MAPPING["optimizer"], "head_lr": {"sidd": 1e-4}}})


def test_fixed_weights_default_to_one() -> None:
    assert build_balancer({"weights": {"sid": 0.5, "er": 2}}, ("ks", "sid")).weights(1) == {"ks": 1.0, "sid": 0.5}


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"name": "Adamm", "lr": 1}, "optimizer.heads.name is 'Adamm'; it must name a torch.optim class"),
        ({"name": "SGD", "lr": 1, "options": {"betas": [1]}}, "options do not fit SGD"),
        ({"lr": -1}, "lr must not be negative, found -1"),
    ],
)
def test_optimizer_settings_that_do_not_fit_are_named(optimizer: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen = run_config({**MAPPING, "optimizer": {**MAPPING["optimizer"], "heads": optimizer}})
        Optimizers(joint_model().parts(), chosen.optimizer, 0, 1)
