"""The gradients of one step: adding up, apart in rows, and without the tasks at fault."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from fakes_multitask import Run, config, joint_model, streams
from torch import Tensor, nn

from s3prl_plugins.balancers import GradientOptions
from s3prl_plugins.balancers.rows import GradientRows
from s3prl_plugins.balancers.scope import last_layers, layer_of
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.contract import Loss
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import ClipConfig
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.optim import clip_gradients
from s3prl_plugins.multitask.step import JointStep, StepGradients
from s3prl_plugins.multitask.streams import Batch
from s3prl_plugins.multitask.trunk import HiddenStates
from s3prl_plugins.seeding import generator, seeded

TASKS = ("ks", "sid", "er")


def one_step(
    balancer: dict[str, Any], tasks: tuple[str, ...] = TASKS, model: JointModel | None = None, accumulate: int = 1
) -> tuple[JointModel, StepGradients]:
    """A model that holds the gradients of the first step."""
    model = (model or joint_model(tasks)).train()
    weigher = build_balancer(balancer, tasks, 7)
    return model, JointStep(model, streams(tasks), weigher, accumulate, 7)(1)


def gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def assert_equal_gradients(one: JointModel, other: JointModel, **tolerance: float) -> None:
    for (name, ours), theirs in zip(one.named_parameters(), other.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, **(tolerance or {"rtol": 0, "atol": 0}))


def alone(task: str) -> list[Tensor]:
    """Gradients of the encoder from one task's first batch."""
    model, _ = one_step({"name": "fixed"}, (task,), joint_model(TASKS))
    return gradients(model.trunk.parameters())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fixed_weights_take_one_backward_a_task_and_nothing_else(accumulate: int) -> None:
    """Bit for bit what a plain loop does, over several steps."""
    weights = {"ks": 0.5}
    options = {"gradient_accumulate_steps": accumulate, "conflict_step": 0 if accumulate > 1 else 2}
    run = Run(config({"name": "fixed", "weights": weights}, total_steps=4, **options))
    run.trainer.run(1)

    plain = Run(config(total_steps=4))
    plain.model.train()
    for step in range(1, 5):
        plain.optimizers.zero_grad()
        for micro in range(accumulate):
            for task, source in plain.streams.items():
                batch = source.next()
                with seeded(7, "step", step, micro, task):
                    loss = plain.model.loss(task, batch).mean
                (loss * (weights.get(task, 1.0) / accumulate)).backward()
        clip_gradients(plain.model.parts(), plain.trainer.config.gradient_clipping)
        plain.optimizers.step(step)
    for (name, ours), theirs in zip(run.model.named_parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("scope", ["all", "encoder", "last_layers"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_rows_of_weight_1_add_up_to_the_sum_of_losses(scope: str, accumulate: int) -> None:
    """GradNorm's weights are 1 in the first step."""
    summed, expected = one_step({"name": "fixed"}, accumulate=accumulate)
    rows, found = one_step({"name": "gradnorm", "scope": scope}, accumulate=accumulate)
    assert_equal_gradients(rows, summed, rtol=1e-5, atol=1e-7)
    assert found.losses == expected.losses and found.seconds == expected.seconds


def test_the_log_has_norms_cosines_and_conflicts_of_the_tasks_own_gradients() -> None:
    _, found = one_step({"name": "pcgrad"})
    rows = torch.stack([torch.cat([g.flatten() for g in alone(task)]) for task in TASKS])
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=-1).fill_diagonal_(0)
    for i, task in enumerate(TASKS):
        assert found.shown[f"train/{task}/grad_norm"] == pytest.approx(float(rows[i].norm()), rel=1e-4)
        assert found.shown[f"train/{task}/cosine"] == pytest.approx(float(cosines[i].sum() / 2), abs=1e-5)
    assert found.shown["train/conflict_ratio"] == pytest.approx(float((cosines < 0).sum()) / 6)
    pairs = {"cosine/ks/sid": cosines[0, 1], "cosine/ks/er": cosines[0, 2], "cosine/sid/er": cosines[1, 2]}
    assert {name: found.shown[name] for name in pairs} == pytest.approx(
        {n: float(c) for n, c in pairs.items()}, abs=1e-5
    )
    assert set(found.shown) == {
        "train/conflict_ratio", *pairs, *(f"train/{t}/{m}" for t in TASKS for m in ("grad_norm", "cosine", "weight"))
    }  # fmt: skip


@pytest.mark.parametrize("balancer", ["fixed", "uncertainty"])
def test_a_look_at_the_gradients_changes_nothing_of_them(balancer: str) -> None:
    looked, plain = joint_model(TASKS).train(), joint_model(TASKS).train()
    found = JointStep(looked, streams(TASKS), build_balancer({"name": balancer}, TASKS, 7), 1, 7)(1, look=True)
    expected = JointStep(plain, streams(TASKS), build_balancer({"name": balancer}, TASKS, 7), 1, 7)(1)
    assert_equal_gradients(looked, plain)
    assert found.losses == expected.losses and found.seconds == expected.seconds > 0
    rows = one_step({"name": "pcgrad"})[1].shown
    for name in rows:
        if not name.endswith("weight"):
            assert found.shown[name] == pytest.approx(rows[name], abs=0.01, rel=0.01), name
    assert {name for name in found.shown if name.endswith("weight")} == set(expected.shown)


def test_a_look_at_a_frozen_encoder_sees_nothing() -> None:
    model = joint_model(TASKS, trainable=False, shared_featurizer=True).train()
    found = JointStep(model, streams(TASKS), build_balancer({"name": "fixed"}, TASKS, 7), 1, 7)(1, look=True)
    assert "train/conflict_ratio" not in found.shown


@pytest.mark.parametrize(("every", "steps"), [(None, [3, 4]), (2, [3, 4]), (0, [])])
def test_conflicts_are_measured_when_asked_for(every: int | None, steps: list[int]) -> None:
    run = Run(config(total_steps=4, log_step=3, conflict_step=every))
    run.trainer.run(1)
    assert [step for step, entry in run.log.steps.items() if "cosine/ks/sid" in entry] == steps
    with pytest.raises(ConfigError, match=r"conflict_step must not be negative, found -1"):
        config(conflict_step=-1)


def projected(parts: list[Tensor]) -> Tensor:
    """PCGrad as a loop over the tasks' gradients, with the orders of seed 7, step 1; the sum."""
    draw, total = generator(7, "pcgrad", 1), torch.zeros_like(parts[0])
    orders = [torch.randperm(len(parts), generator=draw).tolist() for _ in parts]
    for i, order in enumerate(orders):
        own = parts[i].clone()
        for j in order:
            if j != i and (product := torch.sum(own * parts[j])) < 0:
                own -= product / parts[j].square().sum() * parts[j]
        total += own
    return total


def opposed(tasks: tuple[str, ...] = TASKS) -> JointModel:
    """Two heads whose answers are opposite, so that their tasks conflict."""
    model = joint_model(tasks)
    if {"ks", "sid"} <= set(tasks):
        pairs = list(zip(model.heads["sid"].parameters(), model.heads["ks"].parameters()))
        with torch.no_grad():
            for place, (ours, theirs) in enumerate(pairs):
                ours.copy_(-theirs if place >= len(pairs) - 2 else theirs)
    return model


@pytest.mark.parametrize("per", ["whole", "layer", "tensor"])
def test_pcgrad_is_the_loop_over_gradients(per: str) -> None:
    model, found = one_step({"name": "pcgrad", "per": per}, model=opposed())
    own = {task: one_step({}, (task,), opposed())[0] for task in TASKS}
    tasks = [dict(own[task].trunk.named_parameters()) for task in TASKS]
    names = list(tasks[0])
    layers = {name: {"whole": "", "layer": layer_of(name), "tensor": name}[per] for name in names}
    for layer in dict.fromkeys(layers.values()):
        members = [name for name in names if layers[name] == layer]
        rows = [torch.cat([named[name].grad.flatten().double() for name in members]) for named in tasks]  # type: ignore[union-attr]
        got = torch.cat([dict(model.trunk.named_parameters())[name].grad.flatten() for name in members])  # type: ignore[union-attr]
        expected = projected(rows)
        assert float((got - expected).norm() / expected.norm()) < 1e-6
    assert found.shown["train/conflict_ratio"] > 0
    for task in TASKS:
        for ours, theirs in zip(gradients(model.own(task)), gradients(own[task].own(task)), strict=True):
            assert torch.equal(ours, theirs)


def test_outside_the_scope_gradients_add_up() -> None:
    summed, _ = one_step({}, model=opposed())
    model, _ = one_step({"name": "pcgrad", "scope": "last_layers", "last_layers": 1}, model=opposed())
    first, second = (dict(m.trunk.upstream.named_parameters()) for m in (model, summed))
    torch.testing.assert_close(first["first.weight"].grad, second["first.weight"].grad)
    assert not torch.allclose(first["second.weight"].grad, second["second.weight"].grad)  # type: ignore[arg-type]


def test_a_shared_featurizer_is_in_the_scope_all_only() -> None:
    def weights(scope: str) -> Tensor:
        model = joint_model(TASKS, shared_featurizer=True)
        got, _ = one_step({"name": "pcgrad", "scope": scope, "per": "tensor"}, model=model)
        return gradients(got.featurizers.parameters())[0]

    summed, _ = one_step({}, model=joint_model(TASKS, shared_featurizer=True))
    torch.testing.assert_close(weights("encoder"), gradients(summed.featurizers.parameters())[0])
    assert not torch.allclose(weights("all"), weights("encoder"))


def test_rows_in_bfloat16_are_half_as_large_and_nearly_as_good() -> None:
    sizes = []
    for kind in ("float32", "bfloat16"):
        model = joint_model(TASKS)
        rows = GradientRows(model.shared(), 3, GradientOptions(rows=kind))  # type: ignore[arg-type]
        for parameter in model.trunk.parameters():
            parameter.grad = torch.ones_like(parameter)
        rows.take(0)
        sizes.append(rows.nbytes)
    assert sizes == [12 * sum(p.numel() for p in model.trunk.parameters()), sizes[0] // 2]
    exact, _ = one_step({"name": "pcgrad"}, model=opposed())
    rounded, _ = one_step({"name": "pcgrad", "rows": "bfloat16"}, model=opposed())
    ours, theirs = (torch.cat([g.flatten() for g in gradients(m.trunk.parameters())]) for m in (rounded, exact))
    assert 0 < float((ours - theirs).norm() / theirs.norm()) < 1e-2


def test_a_parameter_that_no_task_uses_has_no_gradient() -> None:
    model = joint_model(TASKS)
    model.trunk.upstream.register_parameter("unused", nn.Parameter(torch.ones(3)))
    one_step({"name": "pcgrad", "per": "tensor"}, model=model)
    assert model.trunk.upstream.unused.grad is None


def test_rows_of_an_earlier_step_are_forgotten() -> None:
    model = nn.ParameterDict({"a": nn.Parameter(torch.zeros(2)), "b": nn.Parameter(torch.zeros(2))})
    rows = GradientRows(dict(model.items()), 2, GradientOptions())
    model["a"].grad, model["b"].grad = torch.ones(2), torch.ones(2)
    rows.take(0)
    model["a"].grad = torch.ones(2)
    rows.take(1)
    assert rows.grouped(rows.gram(2)).tolist() == [[[4, 2], [2, 2]]]
    rows.combine(torch.tensor([[1.0, 3.0]]).double())
    assert model["a"].grad.tolist() == [4, 4] and model["b"].grad.tolist() == [1, 1]
    model["a"].grad, model["b"].grad = torch.ones(2), None
    rows.take(0)
    rows.combine(torch.ones(1, 1).double())
    assert model["a"].grad.tolist() == [1, 1] and model["b"].grad is None


@pytest.mark.parametrize(
    ("scope", "shared"),
    [("all", False), ("encoder", False), ("last_layers", False), ("encoder", True), ("last_layers", True)],
)
def test_with_a_frozen_encoder_there_is_nothing_to_balance(scope: str, shared: bool) -> None:
    options = {"trainable": False, "shared_featurizer": shared}
    frozen, found = one_step({"name": "pcgrad", "scope": scope}, model=joint_model(TASKS, **options))
    plain, _ = one_step({}, model=joint_model(TASKS, **options))
    assert_equal_gradients(frozen, plain)
    assert "train/conflict_ratio" not in found.shown


class Faulty(JointModel):
    """`ks` has a loss, or a gradient, that is not a number; from a given batch on."""

    fault, first, seen = "loss", 0, 0

    def loss(self, task: str, batch: Batch) -> Loss:
        found = super().loss(task, batch)
        if task != "ks":
            return found
        self.seen += 1
        if self.seen <= self.first:
            return found
        if self.fault == "loss":
            return Loss(found.total * math.nan, found.count)
        source = next(self.trunk.parameters() if self.fault == "encoder" else self.heads["ks"].parameters())
        return Loss(found.total + (source.sum() * 0).sqrt(), found.count)


@pytest.mark.parametrize("fault", ["loss", "encoder", "head"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("balancer", ["fixed", "uncertainty", "pcgrad", "gradnorm"])
def test_a_task_at_fault_is_left_out_and_the_others_go_on(balancer: str, fault: str, first: int) -> None:
    """Whether the first or the second of two batches is at fault: the same gradients as without the task."""
    model = joint_model(TASKS)
    model.__class__ = Faulty
    model.fault, model.first = fault, first
    broken, found = one_step({"name": balancer}, model=model, accumulate=2)
    norms = clip_gradients(broken.parts(), ClipConfig(None, None))
    if not all(map(math.isfinite, norms.values())):
        assert found.again is not None
        found = found.again()
    assert found.left_out == {"ks": "loss or gradient is not finite"} and set(found.losses) == {"sid", "er"}
    assert all(parameter.grad is None for parameter in broken.own("ks"))
    expected, _ = one_step({"name": balancer}, ("sid", "er"), joint_model(TASKS), accumulate=2)
    for (name, ours), theirs in zip(broken.named_parameters(), expected.parameters(), strict=True):
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7, msg=name)


def test_what_was_left_out_is_counted_and_nothing_of_it_changes() -> None:
    run = Run(config({"name": "pcgrad"}, total_steps=4, log_step=4))
    run.model.__class__ = Faulty
    run.model.fault, run.model.first = "encoder", 1
    before = [p.clone() for p in run.model.own("sid")]
    run.trainer.run(1)
    entry = run.log.steps[4]
    assert (entry["train/ks/left_out"], entry["train/sid/left_out"], entry["train/skipped_steps"]) == (3, 0, 0)
    assert math.isfinite(entry["train/ks/loss"])
    assert all(p.isfinite().all() for p in run.model.parameters())
    assert not any(torch.equal(p, q) for p, q in zip(run.model.own("sid"), before))


class Greedy(JointModel):
    """`ks` runs out of memory with more utterances than `room`, in its forward or its backward pass."""

    room, place, calls = 0, "forward", 0

    def loss(self, task: str, batch: Batch) -> Loss:
        found = super().loss(task, batch)
        if task == "ks" and len(batch.examples) > self.room:
            self.calls += torch.is_grad_enabled()
            if self.place == "backward":
                next(self.heads["ks"].parameters()).register_hook(self._fail)  # others have their gradient by then
            elif torch.is_grad_enabled():
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried a lot")
        return found

    def _fail(self, gradient: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")


def greedy(room: int, place: str, tasks: tuple[str, ...] = TASKS) -> Greedy:
    model = joint_model(tasks)
    model.__class__ = Greedy
    assert isinstance(model, Greedy)
    model.room, model.place = room, place
    return model


@pytest.mark.parametrize("balancer", ["fixed", "pcgrad"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_task_that_runs_out_of_memory_is_computed_in_halves(balancer: str, accumulate: int) -> None:
    """The same gradients of three utterances as of two and one."""
    model, found = one_step({"name": balancer}, model=greedy(2, "forward"), accumulate=accumulate)
    expected, plain = one_step({"name": balancer}, accumulate=accumulate)
    assert found.halved == ["ks"] and not found.left_out and plain.halved == []
    assert found.losses == pytest.approx(plain.losses)
    assert_equal_gradients(model, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("place", ["forward", "backward"])
@pytest.mark.parametrize("balancer", ["fixed", "pcgrad"])
def test_a_task_that_does_not_fit_in_halves_is_left_out(balancer: str, place: str) -> None:
    model, found = one_step({"name": balancer}, model=greedy(0, place))
    assert found.left_out == {"ks": "out of memory, with half a batch too"} and found.halved == []
    assert all(parameter.grad is None for parameter in model.own("ks"))
    expected, _ = one_step({"name": balancer}, ("sid", "er"), joint_model(TASKS))
    for (name, ours), theirs in zip(model.named_parameters(), expected.parameters(), strict=True):
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7, msg=name)


def test_running_out_of_memory_is_counted_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    model = greedy(2, "forward", ("ks", "sid"))
    run = Run(config(total_steps=3, log_step=3, conflict_step=0), model=model)
    run.trainer.run(1)
    entry = run.log.steps[3]
    assert entry["train/ks/halved"] == model.calls / 2 > 0  # once with the other tasks, once alone
    assert (entry["train/ks/left_out"], entry["train/skipped_steps"]) == (0, 0)
    assert "train/sid/halved" not in entry
    assert "step 1: out of memory; halved the batch of ks" in capsys.readouterr().out


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    class Broken(JointModel):
        def loss(self, task: str, batch: Batch) -> Loss:
            raise RuntimeError("shapes do not fit")

    model = joint_model(TASKS)
    model.__class__ = Broken
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        one_step({}, model=model)


def test_layers_are_named_by_their_numbers() -> None:
    names = [
        "mask_emb", "conv.conv_layers.0.0.weight", "conv.conv_layers.1.0.weight", "encoder.pos_conv.0.bias",
        "encoder.layers.0.fc1.weight", "encoder.layers.0.fc2.weight", "encoder.layers.1.fc1.weight",
        "encoder.layer_norm.weight",
    ]  # fmt: skip
    assert len({layer_of(name) for name in names}) == 7
    assert last_layers(names, 1) == names[6:]
    assert last_layers(names, 2) == names[4:]
    with pytest.raises(ConfigError, match=r"last_layers must be at most 2, the layers there are; found 3"):
        last_layers(names, 3)
    assert last_layers(["first.weight", "first.bias", "second.weight"], 1) == ["second.weight"]


def test_rows_of_a_joint_model_are_torchjds_mtl_backward() -> None:
    """On stacked hidden states, the features that torchjd's own loop can take; heads' gradients, too."""
    autojac, methods = pytest.importorskip("torchjd.autojac"), pytest.importorskip("torchjd.aggregation")
    ours, _ = one_step({"name": "mgda"}, model=opposed())
    theirs = opposed().train()
    losses, features = [], []
    for task, source in streams(TASKS).items():
        batch = source.next()
        groups = theirs.trunk([wave for wave in batch.waves if wave is not None])
        stacked = [torch.stack(list(group.layers)) for group in groups]
        features += stacked
        mixed = theirs.featurizers[task](
            [HiddenStates(layers, group.places, group.frames) for layers, group in zip(stacked, groups)]
        )
        losses.append(theirs.head(task).loss(mixed, batch.labels).mean)
    shared = list(theirs.trunk.parameters())
    autojac.mtl_backward(losses, features, tasks_params=[theirs.own(task) for task in TASKS], shared_params=shared)
    autojac.jac_to_grad(shared, methods.MGDA())
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
