"""fairseq's HuBERT and wav2vec 2.0 checkpoints in s3prl's converted format, without fairseq."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from s3prl_plugins.config import literal
from s3prl_plugins.convert.containers import fields_of, plain_container, resolved
from s3prl_plugins.convert.inert import read_inert, read_trusted
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.files import save_whole
from s3prl_plugins.upstream.convolutions import check_convolutions

__all__ = ["FAMILIES", "Converted", "convert_fairseq"]

FAMILIES = {"hubert": "hubert_local", "wav2vec2": "wav2vec2_local"}
"""Architecture, as fairseq calls it, -> the name in s3prl's hub that loads what is written."""


@dataclass(frozen=True)
class Converted:
    """What was written."""

    family: str
    """Key of `FAMILIES`."""
    layers: int
    dim: int


def convert_fairseq(source: Path, target: Path, trust: bool = False) -> Converted:
    """Write s3prl's converted format of a fairseq checkpoint, whole or not at all: `task_cfg`, `model_cfg`,
    `model_weight`, and of HuBERT `dictionaries_symbols`.

    s3prl's own converters need fairseq and execute what the file says; they also write fields that s3prl's classes do
    not know, and `${...}` as it stands. Both forms of configuration are read: `cfg` (omegaconf or plain) and `args`.

    :param trust: unpickle `source`, which executes whatever it says.
    :raises CheckpointError: `source` cannot be read, is another model, or its parts do not fit together.
    """
    state = read_trusted(source) if trust else read_inert(source)
    try:
        family, content = _content(state)
        _check(family, content)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{source} cannot be converted ({reason}); pass a pretrained HuBERT or wav2vec 2.0 of fairseq"
        ) from error
    save_whole(target, content)
    model = content["model_cfg"]
    return Converted(family, int(model["encoder_layers"]), int(model["encoder_embed_dim"]))


def _content(state: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(state, Mapping) or not isinstance(state.get("model"), Mapping):
        raise ValueError("it holds no 'model'")
    config = _configuration(state)
    family = str(config["model"].get("_name") or config["model"].get("arch") or "")
    if family not in FAMILIES:
        raise ValueError(f"it is a {family or 'model without a name'}, not one of {', '.join(FAMILIES)}")
    weights = {str(name): _tensor(name, value) for name, value in state["model"].items()}
    model_class, task_class = _classes(family)
    if family == "hubert":
        config["model"].setdefault("label_rate", config["task"].get("label_rate"))
    content: dict[str, Any] = {
        "task_cfg": _known(config["task"], task_class),
        "model_cfg": _known(config["model"], model_class),
        "model_weight": weights,
    }
    check_convolutions(content["model_cfg"].get("conv_feature_layers", "[]"))
    _check_sizes({**_defaults(model_class), **content["model_cfg"]}, weights)
    content["model_cfg"] = {**_sizes(model_class), **content["model_cfg"]}
    if family == "hubert":
        content["dictionaries_symbols"] = _symbols(state, weights)
    return family, content


def _configuration(state: Mapping[str, Any]) -> dict[str, Any]:
    """`model` and `task`; the old form's arguments are of both."""
    if state.get("cfg") is not None:
        return resolved(plain_container(state["cfg"]) or {})
    arguments = plain_container(state.get("args"))
    if not isinstance(arguments, dict):
        raise ValueError("it holds neither 'cfg' nor 'args'")
    return resolved({"model": arguments, "task": arguments})


def _tensor(name: Any, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(f"model.{name} is no tensor")
    return value.detach()


def _classes(family: str) -> tuple[type, type]:
    if family == "hubert":
        from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertPretrainingConfig

        return HubertConfig, HubertPretrainingConfig
    from s3prl.upstream.wav2vec2.wav2vec2_model import AudioPretrainingConfig, Wav2Vec2Config

    return Wav2Vec2Config, AudioPretrainingConfig


def _known(given: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """The fields that s3prl's class has; `None` is its default, and sequences are the tuples they were.

    :raises ValueError: text where a number is due.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    kept: dict[str, Any] = {}
    for name, default in defaults.items():
        value = given.get(name)
        if isinstance(default, tuple) and isinstance(value, str):
            value = literal(value)  # the old form keeps such values as text
        if isinstance(value, list):
            value = tuple(value)
        if value is None:
            continue
        if isinstance(default, int | float) and not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}, not a number")
        kept[name] = value
    return kept or {"sample_rate": 16000}  # s3prl takes no empty one


def _defaults(cls: type) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(cls)}


def _sizes(cls: type) -> dict[str, Any]:
    return {name: _defaults(cls)[name] for name in ("encoder_layers", "encoder_embed_dim")}


def _check_sizes(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Before anything of these sizes is built."""
    numbers = {name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}
    found = {
        "encoder_layers": len(numbers),
        "encoder_embed_dim": weights["mask_emb"].numel(),
        "encoder_ffn_embed_dim": len(weights["encoder.layers.0.fc1.weight"]),
    }
    for name, size in found.items():
        if config[name] != size:
            raise ValueError(f"{name} is {config[name]!r}, its weights are of {size}")


def _symbols(state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> list[list[str]]:
    """The symbols of each dictionary; where the file has none, numbers, as many as there are codewords."""
    task_state = state.get("task_state")
    found = task_state.get("dictionaries") if isinstance(task_state, Mapping) else None
    if not found:
        return [[str(number) for number in range(len(weights["label_embs_concat"]))]]
    symbols = []
    for entry in found:
        own = entry if isinstance(entry, list | tuple) else fields_of(entry).get("symbols")
        if not isinstance(own, list | tuple):
            raise ValueError("a dictionary in task_state holds no symbols")
        symbols.append([str(symbol) for symbol in own])
    return symbols


def _check(family: str, content: Mapping[str, Any]) -> None:
    """Whether s3prl's model takes the weights, as its hub will; its parameters are not allocated.

    :raises ValueError: one is missing, not known, or of another shape.
    """
    model_class, task_class = _classes(family)
    config, task = model_class(**content["model_cfg"]), task_class(**content["task_cfg"])
    with torch.random.fork_rng(devices=[]), FakeTensorMode():
        if family == "hubert":
            from s3prl.upstream.hubert.hubert_model import HubertModel

            model = HubertModel(config, task, content["dictionaries_symbols"])
        else:
            from s3prl.upstream.wav2vec2.wav2vec2_model import Wav2Vec2Model

            model = Wav2Vec2Model(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in content["model_weight"].items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(f"{name} has shape {found.get(name)}, s3prl's model {wanted.get(name)}")
