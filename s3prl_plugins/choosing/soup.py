"""Weights averaged over checkpoints of one run ("model soups", arXiv 2203.05482; here of one trajectory, as in arXiv
1803.05407)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.errors import CheckpointError

__all__ = ["average"]

_Key = tuple[str, ...]


def average(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of every floating tensor; everything else must be equal, but integer tensors (counters), which are the last's.

    Summed in float64, one state in memory at a time, so that the mean of equal float32 states is that state bit by bit.
    Running statistics of normalisation layers are averaged as they stand.

    :param states: nested mappings of tensors and plain values, at least one.
    :raises CheckpointError: they differ in keys, sizes or plain values.
    """
    sums: dict[_Key, Tensor] = {}
    first: dict[_Key, Any] = {}
    last: Mapping[str, Any] = {}
    count = 0
    for last in states:
        count += 1
        found = dict(_leaves(last))
        averaged = {key: value for key, value in found.items() if _is_averaged(value)}
        fixed = {key: _described(value) for key, value in found.items()}
        if count == 1:
            first = fixed
            sums = {key: value.to(torch.float64, copy=True) for key, value in averaged.items()}
            continue
        if differing := sorted(key for key in first.keys() | fixed.keys() if first.get(key) != fixed.get(key)):
            raise CheckpointError(
                f"checkpoints of one run are averaged, these differ in {'/'.join(differing[0])}; use those of one run"
            )
        for key, value in averaged.items():
            sums[key] += value
    return _with(last, {key: total / count for key, total in sums.items()}, ())


def _is_averaged(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _described(value: Any) -> Any:
    """What must not differ."""
    return (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else value


def _leaves(value: Mapping[str, Any], key: _Key = ()) -> Iterator[tuple[_Key, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, (*key, str(name)))
        else:
            yield (*key, str(name)), inner


def _with(value: Mapping[str, Any], means: Mapping[_Key, Tensor], key: _Key) -> dict[str, Any]:
    """`value` with the means in the places of its floating tensors, in their types."""
    made: dict[str, Any] = {}
    for name, inner in value.items():
        place = (*key, str(name))
        if isinstance(inner, Mapping):
            made[name] = _with(inner, means, place)
        else:
            made[name] = means[place].to(inner.dtype) if place in means else inner
    return made
