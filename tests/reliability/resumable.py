"""Commands that can be continued, small, and what they must leave in the end."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from s3prl_plugins.cli import main
from s3prl_plugins.features.shards import Shard

TRAIN = {"steps": 4, "lr": 1e-3, "log_step": 3, "eval_step": 2, "save_step": 2, "weights": {"penalty": 0.1}}
ITERATIONS = [
    {"targets": "mfcc", "clusters": 5, "train": TRAIN},
    {"targets": "states", "layer": 1, "clusters": 4, "start": "previous", "train": TRAIN},
]
READ_AHEAD = {"num_workers": 2}
SMALL = {
    "conv_feature_layers": "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
    "encoder_layers": 2, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 16, "final_dim": 8, "conv_pos": 8,
    "conv_pos_groups": 2,
}  # fmt: skip


def _stock(*words: str) -> None:
    from s3prl.run_downstream import main as run_downstream

    sys.argv = ["run_downstream", *words]
    run_downstream()


def _ours(*words: str) -> None:
    if status := main(words):
        raise SystemExit(status)


def joint(material: Path, folder: Path) -> None:
    """Three tasks on a trained encoder by s3prl's own command with `-a`, and their scores."""
    common = ["-p", str(folder), "--device", "cpu"]
    _stock(
        "-m", "train", "-a", "-u", "hubert_local", "-k", str(material / "hubert.pt"), "-f", "-d", "multitask",
        "-c", str(material / "joint.yaml"), *common,
    )  # fmt: skip
    _stock("-m", "evaluate", "-e", str(folder), "-t", "ks:test,er:dev,asv:dev", *common)


def sweep(material: Path, folder: Path) -> None:
    """Two tasks alone on a frozen encoder, with a store of its states and a learning-rate search, and their scores."""
    _ours(
        "finetune", "ssl", "--lr-search", "--tasks", "ks", "er", "-c", str(material / "sweep.yaml"), "-p", str(folder),
        "-u", "hubert_local", "-k", str(material / "hubert.pt"), "--device", "cpu",
    )  # fmt: skip


def workers(material: Path, folder: Path) -> None:
    """Two tasks on a trained encoder with two data workers each, evaluated now and then."""
    _stock(
        "-m", "train", "-a", "-u", "hubert_local", "-k", str(material / "hubert.pt"), "-f", "-d", "multitask",
        "-c", str(material / "workers.yaml"), "-p", str(folder), "--device", "cpu",
    )  # fmt: skip


def reading(material: Path, folder: Path, jobs: int = 1) -> None:
    """Single tasks with two data workers each."""
    _ours(
        "finetune", "ssl", "--tasks", "ks", "er", "-c", str(material / "reading.yaml"), "-p", str(folder),
        "--jobs", str(jobs), "-u", "hubert_local", "-k", str(material / "hubert.pt"), "--device", "cpu",
    )  # fmt: skip


def pretraining(material: Path, folder: Path) -> None:
    """HuBERT's two iterations."""
    _ours("pretrain", "hubert", "-c", str(material / "pretrain.yaml"), "-p", str(folder), "--device", "cpu")


def store(material: Path, folder: Path) -> None:
    """A store filled ahead."""
    _ours(
        "features", "build", "-u", "hubert_local", "-k", str(material / "hubert.pt"), "--device", "cpu", "--tasks", "ks",
        "-c", str(material / "sweep.yaml"), "--feature-store", str(folder),
    )  # fmt: skip


COMMANDS: dict[str, Callable[[Path, Path], None]] = {
    "joint": joint, "sweep": sweep, "pretraining": pretraining, "store": store,
}  # fmt: skip

READING: dict[str, Callable[[Path, Path], None]] = {"workers": workers, "reading": reading}
"""With data workers, which take their time to start."""


def command(name: str, material: Path, folder: Path) -> Callable[[], None]:
    return functools.partial({**COMMANDS, **READING}[name], material, folder)


def jobs(material: Path, folder: Path) -> Callable[[], None]:
    """`reading` in two processes at once, which leaves the same."""
    return functools.partial(reading, material, folder, 2)


def write_material(corpus: Path, folder: Path) -> None:
    """The files that the commands name."""
    from s3prl_plugins.config import load_yaml, merge
    from s3prl_plugins.multitask.config import find_config
    from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

    write_checkpoint(folder / "hubert.pt", random_checkpoint("tiny", 0, 5, SMALL))
    batch = {"train_batch": {"size": 2}}
    shared = {"corpus_root": str(corpus), "superb": dict.fromkeys(("ks", "er", "asv"), batch)}
    runner = {"total_steps": 6, "warmup_steps": 1, "log_step": 3, "save_step": 2, "eval_step": 3, "eval_at_start": True}
    given = {**shared, "tasks": ["ks", "er", "asv"], "runner": runner}
    _write(folder / "joint.yaml", merge(load_yaml(find_config("all_task_mini")), given))
    _write(
        folder / "workers.yaml", merge(load_yaml(folder / "joint.yaml"), {"tasks": ["ks", "er"], "runner": READ_AHEAD})
    )
    search = {"grid": [1e-3, 1e-2], "steps": 2}
    given = {**shared, "ssl": {"steps": 4, "lr_search": search}, "runner": {**runner, "save_step": 3}}
    _write(folder / "sweep.yaml", merge(load_yaml(find_config("scenarios_mini")), given))
    _write(
        folder / "reading.yaml", merge(load_yaml(folder / "sweep.yaml"), {"runner": READ_AHEAD, "ssl": {"steps": 8}})
    )
    speech = {"folders": [str(corpus / "LibriSpeech/dev-clean")], "batch": 8.0, "held_out": 0.2}
    _write(folder / "pretrain.yaml", {"size": "tiny", "model": SMALL, "speech": speech, "iterations": ITERATIONS})


def _write(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content))


def left_by(folder: Path) -> dict[str, Any]:
    """What a command left: name -> content to compare, without clocks, process numbers, places, and caches of digests."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        hidden = path.name.startswith(("events.", "args_", "config_")) or path.suffix in (".log", ".bin")
        if path.is_dir() or hidden or path.parent.name == "audio":
            continue
        if path.suffix == ".idx":
            found.setdefault(f"{path.parent.relative_to(folder)}/*.idx", {}).update(_stored(path))
        elif path.name == "metrics.jsonl":
            entries = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{k: repr(v) for k, v in entry.items() if "per_second" not in k} for entry in entries]
        elif path.suffix in (".pt", ".ckpt"):
            content = torch.load(path, weights_only=True)
            for clock_or_place in ("Args", "Checksums"):
                content.pop(clock_or_place, None)
            found[name] = _flat(content)
        else:
            found[name] = path.read_bytes()
    return found


def _stored(path: Path) -> dict[str, bytes]:
    """Key -> states."""
    shard = Shard(path)
    return {entry.key: bytes(shard.view(entry)) for entry in shard.entries() if entry is not None}


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _flat(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(inner) for inner in value]
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return repr(value)


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Names of what is missing, additional or different."""
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
