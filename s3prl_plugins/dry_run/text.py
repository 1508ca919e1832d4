"""The report of a dry run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from s3prl_plugins.corpora.check import Report
from s3prl_plugins.dry_run.costs import Cost
from s3prl_plugins.dry_run.gpus import STEP_SECONDS, UTILISATION, hours
from s3prl_plugins.multitask.config import RunConfig
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.shelves import why_nothing_is_stored

__all__ = ["Facts", "Load", "as_text"]


@dataclass
class Load:
    """One task's part of a step."""

    batches: list[list[float]]
    """Seconds of each utterance of each batch of an epoch; a single batch of mean length if not `measured`."""
    measured: bool
    """Whether lengths are the corpus's own; otherwise SUPERB's mean."""
    left_out: int = 0
    """Training utterances left out because another task evaluates on them."""
    cost: Cost = field(default_factory=Cost)
    """Of a mean batch."""
    largest: int = 0
    """Which batch keeps the most memory."""
    graph: float = 0.0
    """Bytes that the graph of that batch keeps."""
    recurrent: float = 0.0
    """Time steps of recurrent layers in a mean batch."""

    @property
    def utterances(self) -> float:
        return sum(map(len, self.batches)) / len(self.batches)

    @property
    def seconds(self) -> float:
        return sum(map(sum, self.batches)) / len(self.batches)


@dataclass(frozen=True)
class Facts:
    """Everything the report says."""

    args: argparse.Namespace
    run: RunConfig
    report: Report
    model: JointModel
    replaced: str
    """Why the encoder is HuBERT Base with random weights; empty if it is not."""
    loads: dict[str, Load]
    states: int
    """Bytes of the optimizers' states."""
    row_bytes: int
    """Bytes of gradients kept per task, for the balancer."""
    losses: list[dict[str, float]]
    step_seconds: float
    gpus: list[str]


def as_text(facts: Facts) -> str:
    """The report, a section each for corpora, model, step, memory, hours, and the two steps."""
    trained = "finetuned" if facts.args.upstream_trainable else "frozen"
    title = f"Dry run: {len(facts.loads)} tasks on {facts.args.upstream} ({trained}), nothing is written"
    sections = [_corpora, _model, _step, _memory, _hours, _tried]
    return "\n\n".join([title, *("\n".join(section(facts)) for section in sections)])


def _corpora(facts: Facts) -> Iterator[str]:
    root = facts.run.corpus_root
    yield f"Corpora below {root} (indexes and headers; `s3prl-plugins corpus check` decodes the audio too)"
    if not root.is_dir():
        yield f"  the folder is missing, so all {len(facts.loads)} tasks are: set config.corpus_root, e.g. with -o"
        if facts.run.size == "mini":
            yield f"  or make mini-SUPERB there: s3prl-plugins corpus make {root}"
        return
    for name, task in facts.report.tasks.items():
        sizes = ", ".join(f"{split} {count} ({_time(minutes)})" for split, (count, minutes) in task.sizes.items())
        if task.missing:
            yield f"  {name:4} missing: {', '.join(map(str, task.missing))}"
        elif task.problems:
            yield f"  {name:4} {sizes}: {len(task.problems)} faults, the first: {task.problems[0]}"
        else:
            out = facts.loads[name].left_out
            yield f"  {name:4} {sizes}" + (f"; {out} training utterances left out, others' tests" if out else "")


def _model(facts: Facts) -> Iterator[str]:
    yield "Parameters"
    if facts.replaced:
        yield (
            f"  The encoder is HuBERT Base with random weights: {facts.args.upstream!r} "
            f"with -k {facts.args.upstream_ckpt} cannot be built here ({facts.replaced})."
        )
    model = facts.model
    parts: dict[str, nn.Module] = {"encoder": model.trunk, "layer weights": model.featurizers}
    parts |= {f"head {name}": head for name, head in model.heads.items()}
    if model.ssl is not None:
        parts["masked prediction"] = model.ssl
    rows = [(name, _count(part.parameters(), False), _count(part.parameters(), True)) for name, part in parts.items()]
    rows.append(("all", _count(model.parameters(), False), _count(model.parameters(), True)))
    yield from _table(
        ("part", "parameters", "trained"), [(name, f"{every:,}", f"{trained:,}") for name, every, trained in rows]
    )


def _step(facts: Facts) -> Iterator[str]:
    runner, loads = facts.run.runner, facts.loads
    passes = runner.gradient_accumulate_steps
    part = "One optimizer step" if passes == 1 else f"One of the {passes} passes of an optimizer step"
    yield f"{part}; operations of matrix products, convolutions, attention and recurrent layers"
    rows = [
        (
            name, f"{load.utterances:.1f}", f"{load.seconds:.1f}", f"{load.cost.forward / 1e9:,.1f}",
            f"{load.cost.both / 1e9:,.1f}", "corpus" if load.measured else "SUPERB's mean length",
        )
        for name, load in loads.items()
    ]  # fmt: skip
    every = list(loads.values())
    sums = (
        f"{sum(values):,.1f}"
        for values in (
            [load.utterances for load in every], [load.seconds for load in every],
            [load.cost.forward / 1e9 for load in every], [load.cost.both / 1e9 for load in every],
        )
    )  # fmt: skip
    yield from _table(
        ("task", "utterances", "seconds", "GFLOP forward", "and backward", "lengths from"), [*rows, ("all", *sums, "")]
    )
    yield f"  {runner.total_steps} steps: {_flops(facts):.3g} FLOP"
    if facts.run.masked_prediction is not None:
        yield "  Masked prediction (config.masked_prediction) comes on top, here and below."
    if not facts.args.upstream_trainable and not why_nothing_is_stored(facts.run.encoder):
        yield "  Less if utterances come again: the frozen encoder's states are kept (config.encoder.store)."


def _memory(facts: Facts) -> Iterator[str]:
    yield "Memory of training in float32, GB"
    weights = 4 * _count(facts.model.parameters(), False)
    gradients = 4 * _count(facts.model.parameters(), True)
    task, load = max(facts.loads.items(), key=lambda item: item[1].graph)
    batch = load.batches[load.largest]
    about = f"graph of the largest batch ({task}: {len(batch)} utterances, up to {max(batch):.1f} s), estimate"
    rows = [("weights", weights), ("gradients", gradients), ("optimizer states", facts.states), (about, load.graph)]
    if facts.row_bytes:
        rows.insert(2, (f"one gradient a task ({facts.run.balancer['name']})", facts.row_bytes))
    rows.append(("together", sum(value for _, value in rows)))
    yield from _table(("", "GB"), [(name, f"{value / 1e9:.2f}") for name, value in rows])
    yield "  The graph was measured on utterances of 1 to 3 s. With attention dropout the CPU keeps all attention weights,"
    yield "  a GPU's fused attention does not: there long utterances take less."


def _hours(facts: Facts) -> Iterator[str]:
    assumed = ", ".join(f"{kind} at {share:.0%}" for kind, share in UTILISATION.items())
    yield f"Hours of the {facts.run.runner.total_steps} steps on one GPU: an estimate, from data sheets' peaks ({assumed})"
    steps = facts.run.runner.total_steps * facts.run.runner.gradient_accumulate_steps
    recurrent = steps * sum(load.recurrent for load in facts.loads.values())
    rows = []
    for gpu in facts.gpus:
        found = hours(gpu, _flops(facts), recurrent)
        rows.append((gpu, *(f"{found[kind]:.3g}" if kind in found else "-" for kind in UTILISATION)))
    yield from _table(("GPU", *UTILISATION), rows)
    yield (
        f"  {recurrent * STEP_SECONDS / 3600:.2g} h of each are the heads' recurrent layers "
        f"({STEP_SECONDS * 1e6:.0f} us a time step, layer and pass); reading audio and evaluation are not in it."
    )


def _tried(facts: Facts) -> Iterator[str]:
    first, second = facts.losses
    broken = [task for task in first if not math.isfinite(first[task] + second[task])]
    verdict = "every loss is finite" if not broken else f"NOT FINITE: {', '.join(broken)}"
    device = next(facts.model.heads.parameters()).device.type
    yield f"Two optimizer steps on fake audio, at most two utterances of 1 s a task: {verdict}"
    rows = [(task, f"{first[task]:.3f}", f"{second[task]:.3f}") for task in first]
    yield from _table(("task", "loss 1", "loss 2"), rows)
    yield f"  {facts.step_seconds:.1f} s for the second step on {device}"


def _time(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.1f} min"


def _flops(facts: Facts) -> float:
    """Of the whole run."""
    runner = facts.run.runner
    steps = runner.total_steps * runner.gradient_accumulate_steps
    return steps * sum(load.cost.both for load in facts.loads.values())


def _count(parameters: Iterable[nn.Parameter], trained: bool) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad or not trained)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """First column to the left, numbers to the right, a last column of words to the left."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if i == 0 or (i == len(row) - 1 and head[i].endswith("from")) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ]
        yield ("  " + "  ".join(cells)).rstrip()
