"""omegaconf's containers, argparse's namespaces and enumerations, inert or real, as dictionaries, lists and scalars."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from s3prl_plugins.convert.inert import Inert

__all__ = ["fields_of", "plain_container", "resolved"]

_MOST = 1_000_000
"""Values of a configuration, each as often as it occurs."""


def fields_of(value: Any) -> Mapping[str, Any]:
    """Attributes of an object, inert or real; of a mapping its entries."""
    if isinstance(value, Mapping):
        return value
    found = value.state if isinstance(value, Inert) else getattr(value, "__dict__", {})
    return found if isinstance(found, Mapping) else {}


def plain_container(value: Any) -> Any:
    """`value` without omegaconf's nodes; what has no plain form (types, functions) becomes None.

    :raises ValueError: it has too many values.
    :raises RecursionError: it nests too deeply, or holds itself.
    """
    return _plain(value, iter(range(_MOST)))


def _plain(value: Any, left: Iterator[int]) -> Any:
    if next(left, None) is None:
        raise ValueError(f"its configuration has more than {_MOST:,} values")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, left) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, left) for item in value]
    fields = fields_of(value)
    for name in ("_content", "_val", "_value_"):
        if name in fields:
            return _plain(fields[name], left)
    if isinstance(value, Inert) and value.args and isinstance(value.args[-1], str):
        return value.args[-1]  # an enumeration: by its value, or getattr(class, name)
    origin = value.origin if isinstance(value, Inert) else type(value).__name__
    return _plain(fields, left) if origin.endswith("Namespace") else None


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """The `model` and `task` of a configuration, with `${a.b}` as the value that stands there."""
    parts: dict[str, Any] = {}
    for part in ("model", "task"):
        found = config.get(part)
        parts[part] = {key: _value(item, config) for key, item in found.items()} if isinstance(found, Mapping) else {}
    return parts


def _value(value: Any, config: Mapping[str, Any]) -> Any:
    match = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
    if not match:
        return value
    found: Any = config
    for name in match[1].split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return None if isinstance(found, str) and found.startswith("${") else found
