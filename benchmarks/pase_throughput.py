"""How fast PASE is pretrained, and what computing the workers' targets costs.

    python benchmarks/pase_throughput.py [CONFIG ...] [--threads 2] [--repeat 5] [--rows 16] [--cpu-time]

CONFIG is a YAML file or the name of one in configs/pretrain (default: pase_tiny pase_base). Its encoder, workers, chunk,
distortions and precision are taken; crops are noise of a 20 Hz rhythm, written as files and read as in training. A step is
reading, forward, backward, clipping and the optimizer. "audio" is all that passes the encoder, chunks and contexts, in
seconds per second. Figures are medians. With --cpu-time a second is one of the process's CPU time: on t threads, an idle
machine is up to t times as fast.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.config import build, merge
from s3prl_plugins.pretrain.config import find_pretrain_config
from s3prl_plugins.pretrain.multi_worker import MultiWorker
from s3prl_plugins.pretrain.objective import Batch
from s3prl_plugins.pretrain.speech import Crop, Crops, find_speech, load_crops
from s3prl_plugins.pretrain.workers import Regression
from s3prl_plugins.report.table import format_table
from s3prl_plugins.seeding import generator
from s3prl_plugins.upstream.pase.pretraining import FRAMES, PasePretraining, build_objective


@dataclass(frozen=True)
class Cost:
    """Median seconds."""

    step: float
    targets: dict[str, float]
    audio: float
    """Seconds of audio that pass the encoder in a step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", metavar="CONFIG", default=["pase_tiny", "pase_base"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5, help="steps measured after a first one")
    parser.add_argument("--rows", type=int, default=16, help="crops in a batch")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="in place of the configuration's")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of all threads, where the machine has other work to do"
    )
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.cpu_time else time.perf_counter
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; torch {torch.__version__}"
    print(f"{machine}\nthreads {args.threads}, {'CPU' if args.cpu_time else 'wall'} time")
    rows = [["configuration", "precision", "step (s)", "audio (s/s)", "targets (% of step)", "each target (ms)"]]
    for name in args.configs:
        mapping = find_pretrain_config(name)
        if args.precision:
            mapping = merge(mapping, {"train": {"precision": args.precision}})
        config = build(PasePretraining, mapping)
        cost = measure(config, args.rows, args.repeat, clock)
        each = ", ".join(f"{target} {1000 * seconds:.0f}" for target, seconds in cost.targets.items())
        share = 100 * sum(cost.targets.values()) / cost.step
        speed = f"{cost.audio / cost.step:.1f}"
        rows.append([Path(name).stem, config.train.precision, f"{cost.step:.2f}", speed, f"{share:.1f}", each])
    print(format_table(rows))


def measure(config: PasePretraining, rows: int, repeat: int, clock: Callable[[], float]) -> Cost:
    objective = build_objective(config, 0).train()
    optimizer = torch.optim.AdamW(objective.parameters(), lr=config.train.lr)
    with tempfile.TemporaryDirectory() as name:
        crops = make_speech(Path(name), config, rows)

        def elapsed(run: Callable[[], Any]) -> float:
            run()
            times = []
            for _ in range(repeat):
                start = clock()
                run()
                times.append(clock() - start)
            return statistics.median(times)

        whole = elapsed(partial(step, objective, config, crops, optimizer))
        waves = load_crops(crops.utterances, crops.epoch(0)[0], FRAMES)[:, : config.samples]
        workers = {name: worker for name, worker in objective.workers.items() if isinstance(worker, Regression)}
        targets = {name: elapsed(partial(target, worker, waves)) for name, worker in workers.items()}
    return Cost(whole, targets, 2 * rows * config.chunk)


def target(worker: Regression, waves: Tensor) -> Tensor:
    normal: Tensor = worker.normalise(worker.target(waves))
    return normal


def make_speech(folder: Path, config: PasePretraining, rows: int) -> Crops:
    random = np.random.default_rng(0)
    samples = round(config.speech.longest * 16000)
    rhythm = 0.1 * (1.1 + np.sin(np.arange(samples) * (2 * np.pi * 20 / 16000)))
    for number in range(rows):
        soundfile.write(folder / f"{number}.wav", rhythm * random.standard_normal(samples).clip(-3, 3), 16000)
    utterances = find_speech([folder], FRAMES, 1)
    return Crops(utterances, range(rows), FRAMES, rows * config.speech.longest, FRAMES.count(samples), 0)


def step(objective: MultiWorker, config: PasePretraining, crops: Crops, optimizer: torch.optim.Optimizer) -> None:
    batch: list[Crop] = crops.epoch(0)[0]
    waves = load_crops(crops.utterances, batch, FRAMES)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.train.precision == "bfloat16"):
        losses = objective(Batch(waves, batch), generator(0, "step"))
    terms = [config.weights[name] * term for name, term in losses.terms.items()]
    torch.autograd.backward(torch.stack(terms).sum())
    torch.nn.utils.clip_grad_norm_(objective.parameters(), config.train.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main()
