"""One training step of HuBERT on utterances of different lengths: packed, one after the other, padded.

    python benchmarks/packing.py [--size tiny base] [--seconds 1.0,1.2,1.5,0.8,1.1,0.9 3,5] [--conv 0.0] [--bfloat16]
        [--threads 1] [--repeat 5]

Forward and backward of random weights on noise, CPU time, medians, the ways interleaved; the first round is left out.
`packed` is what joint training does under padding `none`; `alone` computes only utterances of one length together;
`padded` is s3prl's batch, whose states are others (GroupNorm runs over the padding). --conv is `encoder.conv_grad_mult`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from s3prl_plugins.allocator import keep_freed_memory
from s3prl_plugins.multitask.packing import by_length
from s3prl_plugins.multitask.trunk import Precision, Trunk
from s3prl_plugins.report.table import format_table
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=("tiny", "base"), default=["tiny", "base"])
    parser.add_argument("--seconds", nargs="+", default=["1.0,1.2,1.5,0.8,1.1,0.9", "3,5"])
    parser.add_argument("--conv", type=float, default=0.0)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; torch {torch.__version__}, threads {args.threads}, conv {args.conv:g}, bfloat16 {args.bfloat16}")
    rows = [["size", "seconds", "packed (s)", "alone / packed", "padded / packed"]]
    for size in args.size:
        upstream = hubert(size)
        for seconds in args.seconds:
            lengths = [float(each) for each in seconds.split(",")]
            waves = [torch.randn(round(each * 16000), generator=torch.Generator().manual_seed(0)) for each in lengths]
            packed, alone, padded = times(upstream, waves, args.conv, args.bfloat16, args.repeat)
            rows.append([size, seconds, f"{packed:.3f}", f"{alone / packed:.2f}", f"{padded / packed:.2f}"])
    print(format_table(rows))


def hubert(size: str) -> nn.Module:
    from s3prl import hub

    with TemporaryDirectory() as folder:
        path = Path(folder) / "hubert.pt"
        write_checkpoint(path, random_checkpoint(size, 0))
        upstream: nn.Module = hub.hubert_local(ckpt=str(path))
        return upstream


def times(upstream: nn.Module, waves: list[Tensor], conv: float, rounds: bool, repeat: int) -> list[float]:
    """CPU seconds of a step packed, alone, padded."""
    precision: Precision = "bfloat16" if rounds else "float32"
    ways = [
        (Trunk(upstream, "none", conv_grad_mult=conv, precision=precision), [waves]),
        (
            Trunk(upstream, "none", conv_grad_mult=conv, precision=precision),
            [[waves[place] for place in places] for places in by_length(waves)],
        ),
        (Trunk(upstream, "batch", conv_grad_mult=conv, precision=precision), [waves]),
    ]
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(repeat + 1):
        for (trunk, calls), values in zip(ways, found):
            values.append(step(trunk.train(), calls))
    return [statistics.median(values[1:]) for values in found]


def step(trunk: Trunk, calls: list[list[Tensor]]) -> float:
    trunk.zero_grad()
    started = time.process_time()
    groups = [group for waves in calls for group in trunk(waves)]
    loss = torch.stack([layer.square().mean() for group in groups for layer in group.layers]).sum()
    torch.autograd.backward(loss)
    return time.process_time() - started


if __name__ == "__main__":
    main()
