"""Which parameters are one layer, and which layers are the last."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s3prl_plugins.errors import ConfigError

__all__ = ["last_layers", "layer_of"]

_NUMBERED = re.compile(r"(.*?(?:^|\.))(\d+)(?:\.|$)")


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to, from its dotted name: up to the first number, or else its module.

    >>> layer_of("encoder.layers.3.fc1.weight"), layer_of("encoder.layer_norm.bias"), layer_of("mask_emb")
    ('encoder.layers.3', 'encoder.layer_norm', 'mask_emb')
    """
    if match := _NUMBERED.match(name):
        return match[1] + match[2]
    return name.rpartition(".")[0] or name


def last_layers(names: Sequence[str], count: int) -> list[str]:
    """The parameters of the last layers.

    Layers are counted on the last stack of numbered ones (`encoder.layers.0`, `encoder.layers.1` ...); parameters behind
    the stack belong to its last layer. Without such a stack every module is a layer.

    :param names: dotted names in the model's order.
    :raises ConfigError: there are fewer layers.
    """
    layers = list(dict.fromkeys(layer_of(name) for name in names))
    stacks: dict[str, list[str]] = {}
    for layer in layers:
        stem, _, number = layer.rpartition(".")
        if number.isdigit():
            stacks.setdefault(stem, []).append(layer)
    stack = next((stack for stack in reversed(stacks.values()) if len(stack) > 1), layers)
    if count > len(stack):
        raise ConfigError(
            f"config.balancer.last_layers must be at most {len(stack)}, the layers there are; found {count}"
        )
    chosen = set(layers[layers.index(stack[-count]) :])
    return [name for name in names if layer_of(name) in chosen]
