"""What nine answers cost beside one: a joint model runs its encoder once, whatever is asked.

    python benchmarks/inference.py [MODEL ...] [--seconds 2 10 60] [--threads 2] [--repeat 5]

MODEL is what `s3prl_plugins.load` takes (default: superb_tiny). Recordings are noise of a 4 Hz rhythm. `all / one` is the
time of all tasks over that of one task alone, the median of tasks; `encoder` the share of all tasks' time that hearing and the
encoder with every layer mix take; the last column what each head and the reading of its answer cost. Figures are medians.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import s3prl_plugins
from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.inference.audio import hear
from s3prl_plugins.inference.model import Model
from s3prl_plugins.inference.windows import features
from s3prl_plugins.report.table import format_table

Audio = tuple[npt.NDArray[np.float32], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=["superb_tiny"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[2.0, 10.0, 60.0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; torch {torch.__version__}, threads {args.threads}")
    rows = [
        [
            "model",
            "audio (s)",
            "all tasks (s)",
            "one task (s)",
            "all / one",
            "encoder (%)",
            "above the cheapest task alone (ms)",
        ]
    ]
    for name in args.models:
        model = s3prl_plugins.load(name, "cpu")
        rows += [[name, *row(model, seconds, args.repeat)] for seconds in args.seconds]
    print(format_table(rows))


def row(model: Model, seconds: float, repeat: int) -> list[str]:
    audio = rhythm(seconds)
    alone = {task: median(partial(model, audio, [task]), repeat) for task in model.tasks}
    whole = median(partial(model, audio), repeat)
    mixes = {task: model.joint.featurizers[task] for task in model.tasks}
    encoder = median(lambda: features(model.joint.trunk, mixes, hear(audio), model.window), repeat)
    least = min(alone.values())
    heads = " ".join(f"{task} {1000 * (alone[task] - least):.0f}" for task in model.tasks)
    one = statistics.median(alone.values())
    return [
        f"{seconds:g}", f"{whole:.3f}", f"{one:.3f}", f"{whole / one:.2f}", f"{100 * encoder / whole:.0f}", heads
    ]  # fmt: skip


def rhythm(seconds: float) -> Audio:
    random = np.random.default_rng(0)
    places = np.arange(round(16000 * seconds)) / 16000
    wave = 0.1 * random.standard_normal(len(places)) * (1 + np.sin(2 * np.pi * 4 * places))
    return wave.astype(np.float32), 16000


def median(run: Callable[[], Any], repeat: int) -> float:
    run()
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
