"""In which form hidden states are kept: time-means, frames, or frames in fewer bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s3prl_plugins.errors import ConfigError, nearest

__all__ = ["KINDS", "Bytes", "Kind", "find_kind", "through"]

Bytes = bytes | memoryview


class Kind(Protocol):
    """A form of the states of one utterance, whose layers are all of one shape (frames, dim)."""

    name: str

    def encode(self, layers: Sequence[Tensor]) -> Bytes | None:
        """The states as bytes; None where this form cannot hold them (NaN, infinite, or out of its range)."""

    def decode(self, data: Bytes, layers: int, frames: int, dim: int) -> Tensor:
        """(layers, frames, dim) float32 in memory of its own; (layers, 1, dim) of kind `pooled`.

        :param frames: as they were encoded.
        """

    def size(self, layers: int, frames: int, dim: int) -> int:
        """Bytes of an utterance."""


class _Frames:
    """Every frame in a floating-point type."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name, self.dtype = name, dtype

    def encode(self, layers: Sequence[Tensor]) -> Bytes | None:
        states = torch.empty(len(layers), *layers[0].shape, dtype=self.dtype)
        for own, layer in zip(states, layers):
            own.copy_(layer.detach().float())
        low, high = torch.aminmax(states)  # NaN where there is one; 20 times faster than isfinite
        return _bytes(states) if math.isfinite(low) and math.isfinite(high) else None

    def decode(self, data: Bytes, layers: int, frames: int, dim: int) -> Tensor:
        return _floats(data, self.dtype, (layers, frames, dim))

    def size(self, layers: int, frames: int, dim: int) -> int:
        return layers * frames * dim * self.dtype.itemsize


class _Pooled:
    """The mean over time of each layer, float32: all that linear -> mean over time -> linear can see of an utterance.

    W mean(sum_l w_l h_l) + b equals mean(W sum_l w_l h_l + b); with layer normalisation the states must come normalised.
    """

    name = "pooled"

    def encode(self, layers: Sequence[Tensor]) -> Bytes | None:
        means = torch.stack([layer.detach().double().mean(dim=0) for layer in layers]).float().cpu()
        return _bytes(means) if means.isfinite().all() else None

    def decode(self, data: Bytes, layers: int, frames: int, dim: int) -> Tensor:
        return _floats(data, torch.float32, (layers, 1, dim))

    def size(self, layers: int, frames: int, dim: int) -> int:
        return layers * dim * 4


class _Quantised:
    """Every channel of every layer in 2^bits - 1 even steps between its least and its greatest value in the utterance.

    Middle and step are float32, so a channel that hardly moves around a large constant keeps its movement. The error is
    at most half a step: (greatest - least) / (2^bits - 2) / 2.
    """

    def __init__(self, name: str, bits: int) -> None:
        self.name, self.bits = name, bits
        self.top = 2 ** (bits - 1) - 1

    def encode(self, layers: Sequence[Tensor]) -> Bytes | None:
        states = _stack(layers).numpy()
        if not np.isfinite(states).all():
            return None
        low, high = states.min(axis=1), states.max(axis=1)
        middle = low / 2 + high / 2
        step = (high / 2 - low / 2) / self.top
        moved = np.divide(states - middle[:, None], step[:, None], out=np.zeros_like(states), where=step[:, None] > 0)
        whole = np.clip(np.rint(moved), -self.top, self.top).astype(np.int8)
        return b"".join((middle.astype("<f4").tobytes(), step.astype("<f4").tobytes(), self._pack(whole)))

    def decode(self, data: Bytes, layers: int, frames: int, dim: int) -> Tensor:
        channels = layers * dim
        scale = torch.from_numpy(np.frombuffer(data, "<f4", 2 * channels).copy())
        middle, step = scale.view(2, layers, 1, dim)
        whole = self._unpack(np.frombuffer(data, np.int8, offset=8 * channels))
        return whole[: layers * frames * dim].view(layers, frames, dim).mul_(step).add_(middle)

    def size(self, layers: int, frames: int, dim: int) -> int:
        return 8 * layers * dim + (layers * frames * dim * self.bits + 7) // 8

    def _pack(self, whole: NDArray[np.int8]) -> bytes:
        if self.bits == 8:
            return whole.tobytes()
        flat = np.pad(whole.reshape(-1), (0, whole.size % 2))
        first, second = np.split(flat, 2)
        return (first & 15 | second << 4).tobytes()

    def _unpack(self, data: NDArray[np.int8]) -> Tensor:
        """float32 (number of values, rounded up to even for 4 bits)."""
        if self.bits == 8:
            return torch.from_numpy(data.astype(np.float32))
        found = torch.empty(2, data.size)
        # Halves lie one after the other, not interleaved: twice as fast.
        halves = found.numpy()
        halves[0], halves[1] = (data << 4) >> 4, data >> 4
        return found.view(-1)


_ALL: tuple[Kind, ...] = (
    _Pooled(),
    _Frames("float32", torch.float32),
    _Frames("float16", torch.float16),
    _Quantised("int8", 8),
    _Quantised("int4", 4),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def find_kind(name: str) -> Kind:
    """:raises ConfigError: there is no such kind."""
    if name not in KINDS:
        raise ConfigError(f"unknown kind of stored states {name!r}; {nearest(name, KINDS)}")
    return KINDS[name]


def through(kind: Kind, layers: Sequence[Tensor]) -> Tensor:
    """What a store of this kind would give for `layers`, on their device; the same states where it could not hold them.

    A run must see these also where it computes, so that its numbers do not depend on what was stored before.
    """
    return encoded_and_back(kind, kind.encode(layers), layers)


def encoded_and_back(kind: Kind, data: Bytes | None, layers: Sequence[Tensor]) -> Tensor:
    """As `through`. :param data: what `kind.encode` made of `layers`."""
    if data is None:
        return torch.stack(list(layers))
    frames, dim = layers[0].shape
    return kind.decode(data, len(layers), frames, dim).to(layers[0].device)


def _stack(layers: Sequence[Tensor]) -> Tensor:
    return torch.stack([layer.detach() for layer in layers]).float().cpu()


def _bytes(states: Tensor) -> memoryview:
    flat: NDArray[np.uint8] = states.view(torch.uint8).numpy().reshape(-1)
    return flat.data


def _floats(data: Bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """A copy, since torch knows no tensor that must not be written; converted by torch, 20 times faster than numpy's halves.

    Memory of torch's is aligned as that of states it computes, so products with either round alike.
    """
    stored = torch.empty(shape, dtype=dtype)
    stored.numpy()[...] = np.frombuffer(data, "<f4" if dtype == torch.float32 else "<f2").reshape(shape)
    return stored.float()
