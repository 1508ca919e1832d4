"""`s3prl-plugins features build`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from s3prl_plugins.cli.features_build_options import add_arguments
from s3prl_plugins.errors import ConfigError

if TYPE_CHECKING:
    from s3prl_plugins.features.budget import Wanted
    from s3prl_plugins.features.filling import Compute, Share
    from s3prl_plugins.multitask.config import RunConfig
    from s3prl_plugins.multitask.trunk import Trunk

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Exit status 1 if the store could not be written."""
    from tqdm import tqdm

    from s3prl_plugins.features.budget import format_size, parse_size, plan, used
    from s3prl_plugins.features.filling import fill

    configs = _configs(args)
    trunk, compute = _encoder(args)
    shape, rate = trunk.describe(), trunk.rate
    shares, wanted = _shares(args, configs, trunk)
    budget = parse_size(args.feature_budget or next(iter(configs.values())).encoder.store_budget)
    chosen = plan(wanted, max(0, budget - used(args.feature_store)))
    _show(shares, wanted, compute)
    print(chosen.note, flush=True)
    stores = {id(share.store): share.store for share in shares}.values()
    if args.dry_run:
        return 0
    began, stored = time.monotonic(), 0
    total = sum(share.seconds for share in shares if chosen.rooms[share.task])
    try:
        with tqdm(total=total, unit="s of audio", desc="storing", unit_scale=True, disable=not total) as progress:
            for share in shares:
                share.store.room = chosen.rooms[share.task]
                for item, done in fill(share, compute, shape, rate):
                    stored += done
                    progress.update(min(item.example.seconds, total - progress.n))
    except KeyboardInterrupt:
        print(f"cut off after {stored} utterances; the same command goes on with the rest")
        raise
    failed = any(store.is_full for store in stores)
    for store in stores:
        store.close()
    size, spent = format_size(used(args.feature_store)), time.monotonic() - began
    print(f"{args.feature_store}: {size}, {stored} utterances more in {spent:.0f} s")
    return int(failed)


def _configs(args: argparse.Namespace) -> dict[str, RunConfig]:
    """Task -> the configuration of the run that will read its states."""
    from s3prl_plugins.config import load_yaml, merge, override
    from s3prl_plugins.multitask.config import find_config, run_config
    from s3prl_plugins.sweep.scenarios import chosen_tasks, ssl

    mapping = override(args.override, load_yaml(find_config(args.config)))
    if args.kind:
        mapping = merge(mapping, {"encoder": {"store_kind": args.kind}})
    tasks = chosen_tasks(mapping, args.tasks)
    padding = run_config(mapping).encoder.padding
    if padding != "none":
        raise ConfigError(
            f"config.encoder.padding is {padding!r}, with which states depend on an utterance's neighbours and are not "
            'stored; pass -o "config.encoder.padding=none" here and to the runs'
        )
    if args.joint:
        return dict.fromkeys(tasks, run_config(mapping))
    return {run.config["tasks"][0]: run_config(run.config) for run in ssl(mapping, tasks)}


def _encoder(args: argparse.Namespace) -> tuple[Trunk, Compute]:
    """The frozen encoder, and what gives the layers (frames, dim) of one utterance."""
    import torch

    from s3prl_plugins.multitask.stock import stock_args
    from s3prl_plugins.multitask.trunk import Trunk
    from s3prl_plugins.multitask.upstream import build_upstream, choose_device
    from s3prl_plugins.seeding import seeded

    device = choose_device(args.device)
    given = stock_args(
        upstream=args.upstream or ("hubert_local" if args.upstream_ckpt else "hubert_tiny"),
        upstream_ckpt=args.upstream_ckpt, upstream_model_config=args.upstream_model_config,
    )  # fmt: skip
    with seeded(args.seed, "upstream"):
        upstream = build_upstream(given)
    trunk = Trunk(upstream, "none", args.upstream_feature_selection, args.upstream_layer_selection)
    trunk = trunk.to(device).requires_grad_(False).eval()

    def compute(wave: torch.Tensor, name: str) -> list[torch.Tensor]:
        with torch.no_grad():
            [states] = trunk([wave.to(device)], [name])
        return [layer[0] for layer in states.layers]

    return trunk, compute


def _shares(
    args: argparse.Namespace, configs: Mapping[str, RunConfig], trunk: Trunk
) -> tuple[list[Share], list[Wanted]]:
    """What each task adds, and what that is worth; an utterance of two tasks counts for the first."""
    from s3prl_plugins.features.budget import Wanted
    from s3prl_plugins.features.filling import Share, gather
    from s3prl_plugins.features.identity import Utterance, describe, identity
    from s3prl_plugins.features.store import FeatureStore
    from s3prl_plugins.multitask.shelves import task_kind
    from s3prl_plugins.multitask.tasks import read_tasks

    key = identity(trunk.upstream, trunk.selection, trunk.layer)
    about = describe(trunk.upstream, trunk.selection, trunk.layer)
    stores: dict[str, FeatureStore] = {}
    seen: dict[str, set[Utterance]] = {}
    shares, wanted = [], []
    for task, config in configs.items():
        kind = task_kind(task, config)
        store = stores.setdefault(kind, FeatureStore(args.feature_store, key, kind, about=about))
        data = read_tasks({task: config.task_configs[task]}, config.corpus_root)[task]
        share, card = Share(task, store), data.config.card
        for split in dict.fromkeys(card.split(name) for name in args.splits):
            gather(
                share, data.reader, data.examples(split), split == card.train, config.encoder.crops, args.seed,
                seen.setdefault(kind, set()),
            )  # fmt: skip
        runner = config.runner
        visits = runner.total_steps * runner.gradient_accumulate_steps * data.config.train_batch.size
        size = share.size(trunk.describe(), trunk.rate)
        wanted.append(Wanted(task, kind, share.seconds, size, 1 + visits / max(1, len(share.items))))
        shares.append(share)
    return shares, wanted


def _show(shares: Sequence[Share], wanted: Sequence[Wanted], compute: Compute) -> None:
    """What is there, what is missing, how large it will be, and how long it will take by the first utterance."""
    from s3prl_plugins.features.budget import format_size
    from s3prl_plugins.report.table import format_table

    rows = [["task", "kind", "there", "missing", "hours", "size", ""]]
    for share, one in zip(shares, wanted):
        fresh = (
            f"{share.unstorable} heard in another crop each time; see config.encoder.crops" if share.unstorable else ""
        )
        rows.append(
            [
                share.task, one.kind, str(share.present), str(len(share.items)), f"{share.seconds / 3600:.2f}",
                format_size(one.bytes), fresh,
            ]
        )  # fmt: skip
    print(format_table(rows))
    first = next((item for share in shares for item in share.items), None)
    if first is not None:
        compute(first.wave(), first.example.name)
        began = time.monotonic()
        compute(first.wave(), first.example.name)
        speed = first.example.seconds / (time.monotonic() - began)
        total = sum(share.seconds for share in shares)
        print(f"about {_time(total / speed)} here, at {speed:.0f} times real time")


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
