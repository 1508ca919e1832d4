"""A joint step of all nine tasks against the step of the runner released with arXiv 2110.09930, re-enacted.

    python -m benchmarks.joint_step [--size tiny|base] [--scale 0.1] [--sd 1] [--threads 1] [--repeat 3]
        [--only time|memory|pcgrad]

The released step runs each task forward by itself, keeps all graphs, and goes backward once through the sum of the losses,
with the convolutions trained; its PCGrad goes backward once a task and projects in a loop over tasks x tasks x tensors. Ours
are `JointStep`s with balancers `fixed` and `pcgrad`. Both have the same weights, SUPERB's heads and batches of noise: two
utterances of each task (SD: --sd, 1 as in the released configuration), of SUPERB's mean lengths times --scale, padded within
the task, without dropout. CPU seconds, medians, the ways interleaved, the first round left out; gradients are compared before
anything is timed.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks.packing import hubert
from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.balancers.pcgrad import PCGrad, PCGradOptions
from s3prl_plugins.balancers.rows import GradientRows
from s3prl_plugins.config import load_yaml
from s3prl_plugins.dry_run.fake_tasks import INVENTORIES, MEAN_SECONDS, fake_label, fake_wave
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.task import TaskConfig, build_reader
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import find_config, run_config
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.step import JointStep
from s3prl_plugins.multitask.streams import Batch, TaskStream
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.problems import Problems
from s3prl_plugins.report.table import format_table
from s3prl_plugins.seeding import derive, generator

SEED = 0
TRAINED = 0.1
"""`feature_grad_mult` of HuBERT Base's recipe; stock s3prl freezes the convolutions."""
SURGERY: dict[str, Any] = {"name": "pcgrad", "scope": "encoder", "per": "tensor", "reduction": "mean"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny", "base"), default="base")
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--sd", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=("time", "memory", "pcgrad"))
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    model, batches = joint_model(args.size), fake_batches(args.scale, args.sd)
    seconds = sum(batch.seconds for batch in batches.values())
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(
        f"{machine}; torch {torch.__version__}, threads {args.threads}; HuBERT {args.size}, {seconds:.1f} s of audio a step"
    )
    if args.only in (None, "time"):
        print(times(model, batches, args.repeat))
    if args.only in (None, "memory"):
        print(memory(model, batches))
    if args.only in (None, "pcgrad"):
        print(surgery(model, batches, args.repeat))


def joint_model(size: str) -> JointModel:
    """HuBERT with random weights and the heads of `all_task_paper`, none of which drops anything out."""
    config = run_config(load_yaml(find_config("all_task_paper")))
    labels = {name: labels_of(name, task) for name, task in config.task_configs.items()}
    return JointModel(Trunk(hubert(size), "batch"), config.task_configs, labels, SEED).eval()


def labels_of(name: str, task: TaskConfig) -> Any:
    """An inventory of the corpus's size, or the one that SUPERB fixes."""
    return INVENTORIES.get(name) or build_reader(task, Path()).labels(Problems(gather=True))


def fake_batches(scale: float, sd: int) -> dict[str, Batch]:
    config, found = run_config(load_yaml(find_config("all_task_paper"))), {}
    for name, task in config.task_configs.items():
        inventory = labels_of(name, task)
        examples, waves = [], []
        for place, stretch in zip(range(sd if name == "sd" else 2), (1.1, 0.9)):
            seconds, draw = max(0.5, MEAN_SECONDS[name] * scale * stretch), generator(SEED, name, place)
            waves.append(fake_wave(seconds, draw))
            label = fake_label(task.card, inventory, seconds, draw)
            examples.append(Example(f"{name}{place}", Path(), seconds, label))
        found[name] = Batch(examples, waves)
    return found


class Again:
    """A stream of one batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def next(self) -> Batch:
        return self.batch


def ours(model: JointModel, batches: Mapping[str, Batch], balancer: Mapping[str, Any]) -> Callable[[], None]:
    """Our step; it builds its rows once, as a run does."""
    streams = cast(Mapping[str, TaskStream], {name: Again(batch) for name, batch in batches.items()})
    step = JointStep(model, streams, build_balancer(balancer, list(batches), SEED), 1, SEED)

    def run() -> None:
        step(1)

    return run


def released(model: JointModel, batches: Mapping[str, Batch]) -> None:
    """All graphs, then one backward."""
    losses = [model.loss(name, batch).mean for name, batch in batches.items()]
    torch.autograd.backward(torch.stack(losses).sum())


def released_surgery(model: JointModel, batches: Mapping[str, Batch]) -> None:
    """All graphs, a backward of each, the projections; the encoder gets the mean, heads and layer weights their own."""
    losses = [model.loss(name, batch).mean for name, batch in batches.items()]
    parameters = encoder(model)
    rows = []
    for loss in losses:
        torch.autograd.backward(loss)
        rows.append([p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in parameters])
        for parameter in parameters:
            parameter.grad = None
    for parameter, gradient in zip(parameters, loop(rows, orders(len(rows)))):
        parameter.grad = gradient


def loop(rows: Sequence[Sequence[Tensor]], visits: Sequence[Sequence[int]]) -> list[Tensor]:
    """PCGrad tensor by tensor, over copies of the gradients and masks of what has one, as the released code keeps them."""
    masks = [[torch.ones_like(gradient) for gradient in row] for row in rows]
    projected = copy.deepcopy([list(row) for row in rows])
    for mine, others in zip(projected, visits):
        for other in others:
            for place, gradient in enumerate(rows[other]):
                product = torch.dot(mine[place].flatten(), gradient.flatten())
                if product < 0:
                    mine[place] -= product / gradient.norm() ** 2 * gradient
    has = [torch.stack(each).sum(0) > 0 for each in zip(*masks)]
    return [torch.where(mask, torch.stack(each).mean(0), 0.0) for each, mask in zip(zip(*projected), has)]


def orders(tasks: int) -> list[list[int]]:
    """The orders that our PCGrad draws for step 1."""
    draw = generator(SEED, "pcgrad", 1)
    return [[j for j in torch.randperm(tasks, generator=draw).tolist() if j != i] for i in range(tasks)]


def encoder(model: JointModel) -> list[nn.Parameter]:
    return [parameter for name, parameter in model.shared().items() if name.startswith("upstream.")]


def times(model: JointModel, batches: Mapping[str, Batch], repeat: int) -> str:
    """Whole steps, the convolutions trained in both, and frozen in ours as stock s3prl has them."""
    fixed, pcgrad = ours(model, batches, {"name": "fixed"}), ours(model, batches, SURGERY)
    plain, with_surgery = partial(released, model, batches), partial(released_surgery, model, batches)
    distances = [distance(model, plain, fixed), distance(model, with_surgery, pcgrad)]
    ways: dict[str, tuple[Callable[[], None], float]] = {
        "released": (plain, TRAINED), "fixed, conv trained": (fixed, TRAINED), "fixed, conv frozen": (fixed, 0.0),
        "pcgrad, conv trained": (pcgrad, TRAINED), "pcgrad, conv frozen": (pcgrad, 0.0),
        "released PCGrad": (with_surgery, TRAINED),
    }  # fmt: skip
    found = {name: list[float]() for name in ways}
    for _ in range(repeat + 1):
        for name, (run, multiplier) in ways.items():
            convolutions(model, multiplier)
            model.zero_grad()
            found[name].append(clock(run))
    seconds = {name: statistics.median(values[1:]) for name, values in found.items()}
    rows = [["step", "CPU s", "released / it", "gradients differ by (relative)"]]
    for name, own in seconds.items():
        reference = seconds["released PCGrad" if "pcgrad" in name.lower() else "released"]
        same = f"{distances['pcgrad' in name]:.1e}" if name.endswith("trained") else ""
        rows.append([name, f"{own:.2f}", f"{reference / own:.2f}", same])
    kept = seconds["pcgrad, conv trained"] / seconds["fixed, conv trained"]
    return format_table(rows) + f"\nnine rows and their combination cost {kept:.2f} of a step without them\n"


def distance(model: JointModel, one: Callable[[], None], other: Callable[[], None]) -> float:
    """Norm of the difference of two steps' gradients over that of the first."""
    convolutions(model, TRAINED)
    found = []
    for run in (one, other):
        model.zero_grad()
        run()
        found.append([p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in model.parameters()])
    difference = [a - b for a, b in zip(*found)]
    return float(nn.utils.get_total_norm(difference) / nn.utils.get_total_norm(found[0]))


def convolutions(model: JointModel, multiplier: float) -> None:
    cast(Any, model.trunk.upstream).model.feature_grad_mult = multiplier


def clock(run: Callable[[], None]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


class Graphs:
    """Counts the bytes that graphs keep alive, parameters left out, and their peak."""

    def __init__(self, model: nn.Module) -> None:
        self._known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self._users: Counter[int] = Counter()
        self.now = self.peak = 0

    def keep(self, tensor: Tensor) -> _Held:
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key not in self._known:
            self.now += size if not self._users[key] else 0
            self._users[key] += 1
            self.peak = max(self.peak, self.now)
        return _Held(self, tensor, key, size)

    def drop(self, key: int, size: int) -> None:
        if key not in self._known:
            self._users[key] -= 1
            self.now -= size if not self._users[key] else 0


class _Held:
    """A tensor that a graph keeps; going, it takes itself off the count."""

    def __init__(self, graphs: Graphs, tensor: Tensor, key: int, size: int) -> None:
        self.graphs, self.tensor, self.key, self.size = graphs, tensor, key, size

    def __del__(self) -> None:
        self.graphs.drop(self.key, self.size)


def memory(model: JointModel, batches: Mapping[str, Batch]) -> str:
    """Peak of what graphs keep during a step, the convolutions trained in both."""
    convolutions(model, TRAINED)
    peaks = []
    ways: list[Callable[[], None]] = [partial(released, model, batches), ours(model, batches, {"name": "fixed"})]
    for run in ways:
        model.zero_grad()
        graphs = Graphs(model)
        with torch.autograd.graph.saved_tensors_hooks(graphs.keep, lambda held: held.tensor):
            run()
        assert graphs.now == 0, "a graph outlived the step"
        peaks.append(graphs.peak)
    rows = [["step", "activations, MB", "of the released"]]
    for name, peak in zip(("released", "ours"), peaks):
        rows.append([name, f"{peak / 1e6:,.0f}", f"{peak / peaks[0]:.3f}"])
    return format_table(rows) + "\n"


def surgery(model: JointModel, batches: Mapping[str, Batch], repeat: int) -> str:
    """PCGrad's arithmetic alone, on random gradients of the encoder's sizes."""
    named = {name: p for name, p in model.shared().items() if name.startswith("upstream.")}
    options = PCGradOptions(per="tensor", reduction="mean")
    balancer, kept = PCGrad(list(batches), options, SEED), GradientRows(named, len(batches), options)
    draw = torch.Generator().manual_seed(derive(SEED, "rows"))
    rows = [[torch.randn(p.shape, generator=draw) for p in named.values()] for _ in batches]

    def gram() -> None:
        for place, row in enumerate(rows):
            for parameter, gradient in zip(named.values(), row):
                parameter.grad = gradient
            kept.take(place)
        kept.combine(balancer.combine(1, kept.grouped(kept.gram(len(rows))), dict.fromkeys(batches, 1.0)))

    looped = list[list[Tensor]]()

    def looping() -> None:
        looped[:] = [loop([[gradient.clone() for gradient in row] for row in rows], orders(len(rows)))]

    found = {"loop over tasks x tasks x tensors": list[float](), "ours": list[float]()}
    for _ in range(repeat + 1):
        for values, run in zip(found.values(), (looping, gram)):
            values.append(clock(run))
    mine = [cast(Tensor, parameter.grad) for parameter in named.values()]
    difference = [a - b for a, b in zip(mine, looped[0])]
    apart = float(nn.utils.get_total_norm(difference) / nn.utils.get_total_norm(mine))
    for parameter in named.values():
        parameter.grad = None
    seconds = {name: statistics.median(values[1:]) for name, values in found.items()}
    slow = max(seconds.values())
    table = [["PCGrad's arithmetic", "CPU s", "loop / it"]]
    table += [[name, f"{own:.2f}", f"{slow / own:.1f}"] for name, own in seconds.items()]
    return format_table(table) + f"\nthe two differ by {apart:.1e} (relative)\n"


if __name__ == "__main__":
    main()
