"""What the feature store saves: an epoch of keyword spotting beside stock s3prl's, and the single-task runs of nine tasks.

    python benchmarks/feature_store.py CORPUS [--quick] [--threads 2] [--repeat 5] [--epochs 20]

CORPUS is a folder made by `s3prl-plugins corpus make`. The encoder is a HuBERT Base with random weights, or the tiny one
with --quick. Stock is s3prl's own runner with `-d speech_commands`, by its published configuration without workers. Its
epoch leaves out the last, smaller batch and is scaled to all utterances. Of the other tasks the first batches are measured,
and epochs follow from them: without the store every epoch computes, with it the first one does. Figures are medians.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.features.identity import identity
from s3prl_plugins.features.store import FeatureStore
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import EncoderConfig, find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.frozen import Shelf
from s3prl_plugins.multitask.optim import Optimizers
from s3prl_plugins.multitask.shelves import task_kind
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.streams import Batch, TaskStream, evaluation_batches
from s3prl_plugins.multitask.trainer import Trainer
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.sweep.scenarios import ssl
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

CLOCK: Callable[[], float] = time.perf_counter
FRAMES = EncoderConfig().store_kind
"""Kind of stored frames."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--quick", action="store_true", help="the tiny HuBERT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20, help="of the nine tasks' runs")
    parser.add_argument("--batches", type=int, default=3, help="measured of each of the nine tasks")
    parser.add_argument("--tasks", nargs="*", default=list(FINETUNED_TASKS), help="none: KS beside stock only")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of all threads, where the machine has other work to do"
    )
    args = parser.parse_args()
    global CLOCK
    CLOCK = time.process_time if args.cpu_time else time.perf_counter
    torch.set_num_threads(args.threads)
    size = "tiny" if args.quick else "base"
    clock = "CPU time of all threads" if args.cpu_time else "wall time"
    print(about(), f"threads {args.threads}, HuBERT {size} with random weights, {clock}", sep="\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder / "hubert.pt", random_checkpoint(size, 0))
        keyword_spotting(args.corpus, folder, args.repeat)
        if args.tasks:
            nine_tasks(args.corpus, folder, args.tasks, args.repeat, args.epochs, args.batches)


def about() -> str:
    """Machine and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    machine = f"{', '.join(names) or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "s3prl", "numpy"))
    return f"{machine}; python {platform.python_version()}, {versions}"


def elapsed(run: Callable[[], Any]) -> float:
    start = CLOCK()
    run()
    return CLOCK() - start


def timed(run: Callable[[], float]) -> tuple[float, float]:
    """Seconds that `run` takes, and what it returns."""
    start = CLOCK()
    returned = run()
    return CLOCK() - start, returned


def median(run: Callable[[], Any], repeat: int) -> float:
    return statistics.median(elapsed(run) for _ in range(repeat))


def experiment(corpus: Path, folder: Path, task: str, name: str) -> Experiment:
    """A single-task run as `s3prl-plugins finetune ssl` makes it, its splits for training read and its store closed."""
    [run] = ssl(merge(load_yaml(find_config("scenarios_mini")), {"corpus_root": str(corpus)}), [task])
    args = stock_args(
        upstream="hubert_local", upstream_ckpt=str(folder / "hubert.pt"), expdir=str(folder / name), device="cpu"
    )
    built = Experiment(args, run.config)
    built.tasks[task].examples(built.tasks[task].config.card.train)
    built.model.train()
    return built


def shelf(built: Experiment, folder: Path, kind: str) -> Shelf:
    trunk = built.model.trunk
    return Shelf(FeatureStore(folder / "features", identity(trunk.upstream, trunk.selection, trunk.layer), kind))


def stream(built: Experiment, task: str, kept: Shelf | None) -> Timed:
    data = built.tasks[task]
    examples = data.examples(data.config.card.train)
    given = (data.config.train_batch, built.args.seed, data.config.balanced, 0, built.config.encoder.crops)
    built.model.shelves = {task: kept} if kept else {}
    return Timed(data.reader, examples, *given, kept.store if kept else None)


class Timed(TaskStream):
    """A stream that knows how long its batches took."""

    seconds = 0.0

    def next(self) -> Batch:
        start = CLOCK()
        batch = super().next()
        self.seconds += CLOCK() - start
        return batch


class Silent:
    """A logger that keeps nothing."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


def train(built: Experiment, task: str, source: Timed, batches: int, optimizers: Optimizers) -> float:
    """So many batches from the beginning of an epoch by the run's own loop; the seconds that reading them took."""
    source.load_state_dict({"epoch": 0, "batch": 0, "examples": len(built.tasks[task].examples("train"))})
    source.seconds = 0.0
    far = 10**9
    runner = replace(built.config.runner, total_steps=batches, log_step=far, save_step=far, eval_step=0)
    trainer = Trainer(
        built.model, {task: source}, optimizers, build_balancer({"name": "fixed"}, (task,)), runner, 0, Silent(),
        save=lambda _: None, evaluate=lambda _: None,
    )  # fmt: skip
    with contextlib.redirect_stderr(io.StringIO()):
        trainer.run(1)
    return source.seconds


def optimizers_of(built: Experiment) -> Optimizers:
    runner = built.config.runner
    return Optimizers(built.model.parts(), built.config.optimizer, 0, runner.total_steps, runner.schedule)


def keyword_spotting(corpus: Path, folder: Path, repeat: int) -> None:
    """One epoch by stock s3prl, from means, from frames; and what filling the two stores costs."""
    built = experiment(corpus, folder, "ks", "ks")
    data, optimizers = built.tasks["ks"], optimizers_of(built)
    kinds = ("pooled", FRAMES)
    stock: list[float] = []
    filling: dict[str, list[float]] = {kind: [] for kind in kinds}
    # In turns, since the machine is not equally fast all the time.
    for i in range(max(1, repeat // 2)):
        seconds, share = stock_epoch(corpus, folder / f"stock{i}", folder / "hubert.pt")
        stock.append(seconds / share)
        for kind in kinds:
            filling[kind].append(elapsed(partial(fill, built, shelf(built, folder / f"round{i}", kind))))
    whole = statistics.median(stock)
    print(f"\nAn epoch of KS, {len(data.examples('train'))} utterances\n{'':24}{'seconds':>10}{'stock / ours':>14}")
    print(f"{'stock s3prl':24}{whole:10.3f}{1:14.2f}")
    for kind in kinds:
        fills = statistics.median(filling[kind])
        ratio = statistics.median(mine / other for mine, other in zip(filling[kind], stock))
        # In training a silence is another stretch than in evaluation.
        source = stream(built, "ks", shelf(built, folder / "round0", kind))
        count = len(source.plan(0))
        train(built, "ks", source, count, optimizers)
        epoch = median(partial(train, built, "ks", source, count, optimizers), 3 * repeat)
        print(f"{f'filling ({kind})':24}{fills:10.3f}{1 / ratio:14.2f}   {ratio:.2f} stock epochs")
        print(f"{f'stored ({kind})':24}{epoch:10.4f}{whole / epoch:14.0f}", flush=True)


def fill(built: Experiment, kept: Shelf) -> None:
    """Store every training utterance of KS."""
    data = built.tasks["ks"]
    built.model.shelves = {"ks": kept}
    _, batches = evaluation_batches(data.reader, data.examples("train"), data.config.eval_batch, 0, kept.store)
    for batch in batches:
        kept.states(built.model.trunk, batch, built.device)


def stock_epoch(corpus: Path, folder: Path, checkpoint: Path) -> tuple[float, float]:
    """Seconds of an epoch of s3prl's `-d speech_commands` under its own runner, and the share of the utterances in it."""
    from s3prl.downstream import runner

    root = corpus / "speech_commands"
    data = {
        "speech_commands_root": str(root),
        "speech_commands_test_root": f"{root}_test",
        "num_workers": 0,
        "batch_size": 32,
    }
    model = {"projector_dim": 256, "select": "UtteranceLevel", "UtteranceLevel": {"pooling": "MeanPooling"}}
    far = 10**9
    steps = {"log_step": far, "eval_step": far, "save_step": far, "max_keep": 1, "eval_dataloaders": []}
    config = {
        "runner": {"total_steps": 1, "gradient_clipping": 1, "gradient_accumulate_steps": 1, **steps},
        "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1e-4},
        "downstream_expert": {"datarc": data, "modelrc": model},
    }
    args = stock_args(
        downstream="speech_commands",
        upstream="hubert_local",
        upstream_ckpt=str(checkpoint),
        expdir=str(folder),
        device="cpu",
    )
    folder.mkdir(parents=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        stock = runner.Runner.__mro__[1](args, config)
        loader = stock.downstream.model.get_dataloader("train")
        stock.config["runner"]["total_steps"] = len(loader)
        return elapsed(stock.train), min(1.0, 32 * len(loader) / len(loader.dataset))


def nine_tasks(corpus: Path, folder: Path, tasks: list[str], repeat: int, epochs: int, measured: int) -> None:
    """Runs of each head alone with and without the store."""
    print(f"\n{epochs} epochs of each head alone, from the first {measured} batches of each task, seconds")
    print(
        f"{'task':6}{'kind':>9}{'computing':>11}{'filling':>9}{'stored':>9}{'without':>10}{'with':>10}{'factor':>8}{'heads':>7}"
    )
    sums = [0.0, 0.0]
    for task in tasks:
        built = experiment(corpus, folder, task, task)
        kept, optimizers = shelf(built, folder / task, task_kind(task, built.config)), optimizers_of(built)
        count = len(stream(built, task, None).plan(0))
        some = min(measured, count)

        plain = partial(train, built, task, stream(built, task, None), some, optimizers)
        computing = median(plain, max(1, repeat // 2)) * count / some
        again = partial(train, built, task, stream(built, task, kept), some, optimizers)
        filling = elapsed(again) * count / some
        rounds = [timed(again) for _ in range(repeat)]
        stored = statistics.median(whole for whole, _ in rounds) * count / some
        heads = statistics.median(1 - reading / whole for whole, reading in rounds)
        without, with_store = epochs * computing, filling + (epochs - 1) * stored
        sums = [sums[0] + without, sums[1] + with_store]
        print(
            f"{task:6}{kept.store.kind.name:>9}{computing:11.2f}{filling:9.2f}{stored:9.3f}"
            f"{without:10.1f}{with_store:10.1f}{without / with_store:8.1f}{heads:7.0%}", flush=True,
        )  # fmt: skip
    print(f"{'all':6}{'':38}{sums[0]:16.1f}{sums[1]:10.1f}{sums[0] / sums[1]:8.1f}")
    print("computing, filling, stored: an epoch; heads: share of layer weights, head and optimizer in a stored epoch")


if __name__ == "__main__":
    main()
