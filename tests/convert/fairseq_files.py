"""Checkpoints as fairseq writes them, made without it: its classes exist only while a file is written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

MODEL = {
    "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 2", "encoder_layers": 2, "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 40, "encoder_attention_heads": 3, "final_dim": 12, "conv_pos": 16, "conv_pos_groups": 4,
}  # fmt: skip


class Dictionary:
    def __init__(self, symbols: list[str]) -> None:
        self.symbols, self.count = symbols, [1] * len(symbols)
        self.indices = {symbol: number for number, symbol in enumerate(symbols)}


class Mode(Enum):
    default = "default"


class Node:
    """omegaconf's AnyNode."""

    def __init__(self, value: Any) -> None:
        self.__dict__.update(_metadata=Metadata(), _parent=None, _val=value)


class Metadata:
    """omegaconf's ContainerMetadata: types and such."""

    def __init__(self) -> None:
        self.ref_type, self.object_type, self.optional = Any, dict, True


class DictConfig:
    def __init__(self, content: dict[str, Any]) -> None:
        nodes = {key: DictConfig(item) if isinstance(item, dict) else Node(item) for key, item in content.items()}
        self.__dict__.update(_metadata=Metadata(), _parent=None, _content=nodes)


PLACES = {
    Dictionary: "fairseq.data.dictionary", Mode: "fairseq.dataclass.constants", Node: "omegaconf.nodes",
    Metadata: "omegaconf.base", DictConfig: "omegaconf.dictconfig",
}  # fmt: skip


@contextmanager
def fairseq_installed(only: str = "") -> Iterator[None]:
    """Its classes and omegaconf's stand where those stand; or those of one package only."""
    places = {cls: name for cls, name in PLACES.items() if name.startswith(only)}
    names = {name.split(".")[0] for name in places.values()} | set(places.values())
    real = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = ModuleType(name)
    homes = {cls: cls.__module__ for cls in places}
    for cls, name in places.items():
        setattr(sys.modules[name], cls.__name__, cls)
        cls.__module__ = name
    try:
        yield
    finally:
        for cls, home in homes.items():
            cls.__module__ = home
        for name, module_before in real.items():
            if module_before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module_before


def model_of(family: str, **changes: Any) -> Any:
    """A small model of s3prl's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if family == "hubert":
            from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig

            task = HubertPretrainingConfig(label_rate=50.0, sample_rate=16000)
            config = HubertConfig(label_rate=50.0, **{**MODEL, **changes})
            return HubertModel(config, task, [["a", "b", "c"], ["d"]])
        from s3prl.upstream.wav2vec2.wav2vec2_model import Wav2Vec2Config, Wav2Vec2Model

        quantised = {"quantize_targets": True, "latent_vars": 8, "latent_temp": (2.0, 0.5, 0.99)}
        return Wav2Vec2Model(Wav2Vec2Config(**{**MODEL, **quantised, **changes}))


def state_of(family: str, form: str, model: Any) -> dict[str, Any]:
    """What fairseq's trainer saves.

    :param form: `omegaconf`, `plain` or `args`.
    """
    settings: dict[str, Any] = {**MODEL, "extractor_mode": Mode.default, "unknown_to_s3prl": 3}
    task: dict[str, Any] = {"sample_rate": 16000, "normalize": False, "data": "/home/someone/data", "labels": ["km"]}
    if family == "hubert":
        settings["label_rate"], task["label_rate"] = "${task.label_rate}", 50.0
    else:
        settings |= {"quantize_targets": True, "latent_vars": 8, "latent_temp": "(2.0,0.5,0.99)"}
    symbols = [Dictionary(["a", "b", "c"]), Dictionary(["d"])]
    state: dict[str, Any] = {
        "args": None, "cfg": None, "model": model.state_dict(), "optimizer_history": [{"num_updates": 5}],
        "extra_state": {"metrics": None}, "last_optimizer_state": None,
        "task_state": {"dictionaries": symbols} if family == "hubert" else {},
    }  # fmt: skip
    if form == "args":
        flat = {**settings, **task, "label_rate": 50.0, "arch": family}
        state["args"] = argparse.Namespace(**flat)
    else:
        cfg = {"model": {"_name": family, **settings}, "task": task, "common": {"seed": 1}}
        state["cfg"] = DictConfig(cfg) if form == "omegaconf" else cfg
    return state


def write_fairseq(path: Path, family: str, form: str = "omegaconf", zipped: bool = True, **changes: Any) -> Any:
    """Write a checkpoint of a small random model; returns the model."""
    model = model_of(family, **changes)
    with fairseq_installed():
        torch.save(state_of(family, form, model), path, _use_new_zipfile_serialization=zipped)
    return model
