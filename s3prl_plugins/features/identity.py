"""What hidden states are a function of: the encoder as it computes, and the samples it is given."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import s3prl_plugins

__all__ = ["FORMAT", "Utterance", "describe", "identity", "versions"]

FORMAT = 2
"""Of the files; another number is another store."""


@dataclass(frozen=True)
class Utterance:
    """What was fed to the encoder, without its samples."""

    path: Path
    """The audio file."""
    start: int = 0
    """First sample used."""
    stop: int | None = None
    """One past the last sample used; None is the end of the file."""
    variant: str = ""
    """What the reader does to the samples and which crop was drawn; empty: as they lie."""


def identity(upstream: nn.Module, selection: str, layer: int | None, normalize: bool = False) -> str:
    """A hex digest that two encoders share only if they give equal states for equal samples, utterance by utterance.

    Over: the format of the files, the versions of s3prl and of this package (whose readers prepare the samples), the class
    and the source files of every part of the encoder that is not torch's own, its plain settings (numbers, words, lists,
    dataclasses), every parameter and buffer with name, type, shape and bytes, the view, the layer. Neither over the device
    nor over where files lie, so that a store can be moved. States are those of `padding: none`.

    :param upstream: with its final weights; digests of encoders that are still to be loaded mean nothing.
    :param selection: the view, s3prl's `-s`.
    :param layer: the only layer of it, s3prl's `-l`.
    :param normalize: the states are layer-normalised before they are stored (of kind `pooled` only, where the mean over
        time would otherwise come first).
    """
    digest = hashlib.sha256()
    facts = (FORMAT, versions(), "none", selection, layer, normalize)
    digest.update(repr(facts).encode())
    for name, part in upstream.named_modules():
        digest.update(repr((name, _path(type(part)), list(_settings(vars(part), 0)))).encode())
    for source in _sources(upstream):
        digest.update(source)
    tensors = {**dict(upstream.named_parameters()), **dict(upstream.named_buffers())}
    for name, tensor in sorted(tensors.items()):
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def describe(upstream: nn.Module, selection: str, layer: int | None) -> dict[str, Any]:
    """What a person wants to know of the encoder that a store belongs to; written into its files."""
    rates: Any = getattr(upstream, "get_downsample_rates", None)
    return {
        "upstream": _path(type(upstream)),
        "parameters": sum(parameter.numel() for parameter in upstream.parameters()),
        "view": selection,
        "layer": layer,
        "rate": rates(selection) if rates else None,
        **versions(),
    }


def versions() -> dict[str, str]:
    """Of the code that states depend on, beside the encoder's own."""
    return {"s3prl": version("s3prl"), "s3prl_plugins": s3prl_plugins.__version__}


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _sources(upstream: nn.Module) -> list[bytes]:
    """The files that define the encoder's classes; torch's own change states by rounding at most."""
    modules = {cls.__module__ for part in upstream.modules() for cls in type(part).__mro__}
    found = []
    for name in sorted(modules):
        if name.partition(".")[0] not in ("torch", "builtins") and name in sys.modules:
            try:
                path = inspect.getsourcefile(sys.modules[name])
                found.append(Path(path).read_bytes() if path else b"")
            except (OSError, TypeError):
                continue
    return found


def _settings(value: Any, depth: int) -> Iterator[str]:
    """The public plain values below a module's attributes. Words with a slash are places, not settings.

    A tensor that is neither parameter nor buffer is passed over: torch's weight norm leaves such ones behind a forward.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    elif isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, bool | int | float | None) or (isinstance(value, str) and "/" not in value):
        yield repr(value)
    elif isinstance(value, Mapping) and depth < 8:
        for key in sorted((key for key in value if isinstance(key, str)), key=str):
            if not key.startswith("_") and key != "training":
                yield from (f"{key}.{line}" for line in _settings(value[key], depth + 1))
    elif isinstance(value, list | tuple) and depth < 8:
        for place, item in enumerate(value):
            yield from (f"{place}.{line}" for line in _settings(item, depth + 1))


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
