"""What each kind of stored frames costs and loses: size, error, time; and with --scores what it does to the tasks' scores.

    python benchmarks/feature_kinds.py CORPUS [-u hubert_tiny] [-k FILE] [--utterances 40]
    python benchmarks/feature_kinds.py CORPUS --scores DIR [--seeds 1 2 3] [--tasks asr pr sf sd asv] [--kinds float16 int8]

The first reads utterances of ASR's dev split. The second trains every task's head alone (`s3prl-plugins finetune ssl`) for
each kind and seed in DIR, goes on where it was cut off, and compares dev and test scores with those of float32. Tasks that
see means over time alone store these in float32 whatever the kind is, so they are not among them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.features.kinds import KINDS
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.evaluation import saved_results
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.superb.cards import FINETUNED_TASKS, card
from s3prl_plugins.sweep.launcher import InProcess
from s3prl_plugins.sweep.scenarios import ssl
from s3prl_plugins.sweep.sweep import Sweep, SweepOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-u", "--upstream", default="hubert_tiny")
    parser.add_argument("-k", "--upstream-ckpt", metavar="FILE")
    parser.add_argument("--utterances", type=int, default=40)
    parser.add_argument("--scores", type=Path, metavar="DIR")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, help="of every head, to try it; default: the recipes'")
    parser.add_argument("--tasks", nargs="+", default=[name for name in FINETUNED_TASKS if not card(name).pooled])
    parser.add_argument("--kinds", nargs="+", default=[name for name in KINDS if name not in ("pooled", "float32")])
    args = parser.parse_args()
    if args.scores is None:
        errors(args)
    else:
        scores(args)


def errors(args: argparse.Namespace) -> None:
    """Bytes, relative L2 error of each layer, and milliseconds, over real utterances."""
    states, seconds = hidden_states(args)
    layers, dim = len(states[0]), states[0][0].shape[-1]
    print(f"{len(states)} utterances, {seconds:.0f} s, {layers} layers of {dim}; {torch.get_num_threads()} threads")
    head = ("kind", "MB/hour", "of float16", "encode ms/s", "decode ms/s", "relative L2 error of each layer")
    print("{:9}{:>9}{:>12}{:>13}{:>13}  {}".format(*head))
    halves = sum(KINDS["float16"].size(layers, len(entry[0]), dim) for entry in states)
    for name, kind in KINDS.items():
        if name == "pooled":
            continue
        start = time.perf_counter()
        encoded = [kind.encode(entry) for entry in states]
        middle = time.perf_counter()
        decoded = [kind.decode(data or b"", layers, len(entry[0]), dim) for data, entry in zip(encoded, states)]
        end = time.perf_counter()
        size = sum(len(data or b"") for data in encoded)
        lost = [error([entry[i] for entry in states], [entry[i] for entry in decoded]) for i in range(layers)]
        print(
            f"{name:9}{size / seconds * 3600 / 1e6:9.0f}{size / halves:12.3f}{(middle - start) / seconds * 1e3:13.2f}"
            f"{(end - middle) / seconds * 1e3:13.2f}  {' '.join(f'{value:.1e}' for value in lost)}"
        )


def hidden_states(args: argparse.Namespace) -> tuple[list[list[Tensor]], float]:
    """Each utterance's layers (frames, dim), and seconds of audio."""
    config = merge(load_yaml(find_config("scenarios_mini")), {"corpus_root": str(args.corpus), "tasks": ["asr"]})
    given = stock_args(upstream=args.upstream, upstream_ckpt=args.upstream_ckpt, expdir="unused", device="cpu")
    experiment = Experiment(given, config)
    experiment.model.eval()
    data = experiment.tasks["asr"]
    examples = data.examples(data.config.card.dev)[: args.utterances]
    with torch.no_grad():
        states = [experiment.model.trunk([data.reader.waveform(example, None)])[0].layers for example in examples]
    return [[layer[0] for layer in layers] for layers in states], sum(example.seconds for example in examples)


def error(wanted: list[Tensor], found: list[Tensor]) -> float:
    """Relative L2 error of one layer over all utterances."""
    lost = sum(float((one - other).double().square().sum()) for one, other in zip(wanted, found))
    return float((lost / sum(float(one.double().square().sum()) for one in wanted)) ** 0.5)


def scores(args: argparse.Namespace) -> None:
    """Scores by kind beside float32's: mean change, its greatest size, and the seeds' standard deviation."""
    kinds = ["float32", *(kind for kind in args.kinds if kind != "float32")]
    found = {(kind, seed): sweep(args, kind, seed) for kind in kinds for seed in args.seeds}
    print(
        f"{'task':6}{'split':12}{'metric':>10}{'float32':>9}{'seeds':>7}", *(f"{kind:>9}   max" for kind in kinds[1:])
    )
    for task in args.tasks:
        metric = card(task).best_metric.name
        for split in (card(task).dev, card(task).test):
            exact = [found["float32", seed][task][split][metric] for seed in args.seeds]
            spread = statistics.stdev(exact) if len(exact) > 1 else float("nan")
            line = f"{task:6}{split:12}{metric:>10}{statistics.mean(exact):9.2f}{spread:7.2f}"
            for kind in kinds[1:]:
                changes = [found[kind, seed][task][split][metric] - old for seed, old in zip(args.seeds, exact)]
                line += f" {statistics.mean(changes):+8.2f}{max(map(abs, changes)):6.2f}"
            print(line)


def sweep(args: argparse.Namespace, kind: str, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Train and score every task's head on states of a kind: task -> split -> metric -> score."""
    encoder = {"store": str(args.scores / "features"), "store_kind": kind}
    given = {"corpus_root": str(args.corpus), "encoder": encoder, "ssl": {"steps": args.steps}}
    mapping = merge(load_yaml(find_config("scenarios_mini")), given)
    runs = ssl(mapping, args.tasks)
    of_runs = {"upstream": args.upstream, "upstream_ckpt": args.upstream_ckpt, "seed": seed, "device": "cpu"}
    splits = ",".join(f"{task}:{split}" for task in args.tasks for split in (card(task).dev, card(task).test))
    made = Sweep(runs, SweepOptions(args.scores / kind / f"seed{seed}", of_runs, splits=splits))
    made.run(InProcess())
    return {task: saved_results(made.folder(f"ssl/{task}"))["scores"][task] for task in args.tasks}


if __name__ == "__main__":
    main()
