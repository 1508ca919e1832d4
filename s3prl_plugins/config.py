"""From YAML to frozen dataclasses: unknown keys rejected, values converted to the field's type, no `eval`.

A configuration class is a frozen dataclass whose fields carry their unit and source in a docstring below the field.
`build` turns a mapping into one; `override` applies s3prl's `-o` strings; `merge` lays one mapping over another.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml

from s3prl_plugins.errors import ConfigError, nearest

__all__ = ["Signed", "above_0", "build", "literal", "load_yaml", "merge", "override", "parse_yaml", "plain"]

_MOST_VALUES = 100_000
_LARGEST = 1e15
"""No count, length or rate comes near it."""
_DEEPEST = 20
"""Keys within keys of an override."""

T = TypeVar("T")
Signed = Annotated[float, "may be negative"]
"""The type of a field that may be negative, which no other number of a configuration may."""


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML file whose top level is a mapping; an unreadable or malformed file is a `ConfigError`."""
    try:
        loaded = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"config file {str(path)!r} cannot be read ({error.strerror}); pass an existing file with -c"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        reason = "" if where else f" ({error})"
        raise ConfigError(f"config file {str(path)!r}{line} is not valid YAML{reason}; mend it there") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"config file {str(path)!r} must hold a mapping, found {type(loaded).__name__}")
    return loaded


def parse_yaml(text: str) -> Any:
    """`yaml.safe_load`, and no more work than the text is long: references may repeat what they stand for only so often.

    :raises yaml.YAMLError: malformed, or a tag that is no plain value.
    :raises ValueError: impossible date or number, absurd nesting, or references to more than 100,000 values in all.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > _MOST_VALUES:
            raise ValueError(f"its references stand for more than {_MOST_VALUES:,} values")
        made = loader.construct_document(node)
        repr(made)  # hexadecimal numbers may have more digits than Python shows
        return made
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    finally:
        loader.dispose()


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Scalars and containers in a node, those of references each time."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1  # what a reference to a node within itself comes to
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def literal(text: str) -> Any:
    """A Python literal (`1e-3`, `['asr', 'pr']`, `None`, `True`), or the bare string where it is none."""
    try:
        found = ast.literal_eval(text.strip())
        repr(found)  # as in parse_yaml
        return found
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text.strip()


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; neither is changed."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def override(string: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Apply s3prl's override syntax, `config.a.b=1e-3,,config.tasks=['asr','pr']`, to a copy of `config`.

    Values are Python literals or bare strings. Only `config.` options are taken: `args.` ones belong to the
    stock command, which handles them itself.
    """
    changed = copy.deepcopy(dict(config))
    for option in filter(None, (part.strip() for part in string.split(",,"))):
        key, equals, value = option.partition("=")
        scope, *path = key.strip().split(".")
        if not equals or scope != "config" or not path or not all(path) or len(path) > _DEEPEST:
            raise ConfigError(f"override {option[:200]!r} must read config.KEY=VALUE, several joined by ',,'")
        target = changed
        for name in path[:-1]:
            inner = target.setdefault(name, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"override {option!r}: {name!r} holds {inner!r}, which has no keys to set")
            target = inner
        target[path[-1]] = literal(value)
    return changed


def build(cls: type[T], mapping: Any, where: str = "config") -> T:
    """An instance of the dataclass `cls` from a mapping, with every value converted and checked.

    :param where: dotted name of the mapping, for error messages.
    :raises ConfigError: unknown or missing key, value of another type, or what the class itself refuses.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where} must be a mapping of keys to values, found {mapping!r}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            raise ConfigError(f"unknown key {where}.{key}; {nearest(str(key), fields)}")
    hints = typing.get_type_hints(cls, include_extras=True)
    values = {key: _convert(value, hints[key], f"{where}.{key}") for key, value in mapping.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{where}.{name} is missing; set it in the YAML file or with -o")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def above_0(config: Any, *names: str) -> None:
    """:raises ConfigError: one of these fields is 0 or less; null passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise ConfigError(f"{name} must be above 0, found {value}")


def plain(value: Any) -> Any:
    """A configuration as YAML- and JSON-ready mappings, lists and scalars (the inverse of `build`)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`; strings such as `1e-3` (a string to PyYAML) become numbers where one is due."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        return _convert_scalar(value, arguments[0], where)
    if origin is typing.Union or origin is types.UnionType:
        return _convert_union(value, arguments, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}; {nearest(str(value), map(str, arguments))}")
        return value
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where)
    if origin is tuple:
        return _convert_tuple(value, arguments, where)
    if origin in (dict, Mapping) or hint in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a mapping, found {value!r}")
        inner = arguments[1] if arguments else Any
        return {str(key): _convert(item, inner, f"{where}.{key}") for key, item in value.items()}
    value = _convert_scalar(value, hint, where)
    if hint in (int, float) and value < 0:
        raise ConfigError(f"{where} must not be negative, found {value}")
    return value


def _convert_union(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    errors = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _convert(value, choice, where)
        except ConfigError as error:
            errors.append(str(error))
    raise ConfigError(errors[-1])


def _convert_tuple(value: Any, arguments: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ConfigError(f"{where} must be a list, found {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise ConfigError(f"{where} must hold {len(arguments)} values, found {len(value)}: {value!r}")
    return tuple(_convert(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, arguments)))


def _convert_scalar(value: Any, hint: Any, where: str) -> Any:
    if hint in (int, float) and isinstance(value, str):
        value = literal(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, int | float) and not abs(value) <= _LARGEST:
        raise ConfigError(f"{where} must be a number of at most {_LARGEST:g}, found {value}")
    wrong_bool = isinstance(value, bool) and hint is not bool
    if not isinstance(hint, type) or not isinstance(value, hint) or wrong_bool:
        name = getattr(hint, "__name__", str(hint))
        raise ConfigError(f"{where} must be {name}, found {value!r}")
    return value
