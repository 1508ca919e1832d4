"""Configuration: strict keys, converted values, s3prl's override syntax without `eval`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.config import build, literal, load_yaml, merge, override, parse_yaml, plain
from s3prl_plugins.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    lr: float
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    sizes: tuple[int, ...] = (1,)
    path: Path | None = None
    on: bool = False
    weights: dict[str, float] = field(default_factory=dict)


def test_build_converts_and_plain_inverts() -> None:
    mapping = {"inner": {"lr": "1e-3", "kind": "b"}, "sizes": [2, 3.0], "path": "x/y", "on": True, "weights": {"k": 1}}
    built = build(Outer, mapping)
    assert built == Outer(Inner(1e-3, "b"), (2, 3), Path("x/y"), True, {"k": 1.0})
    assert build(Outer, plain(built)) == built


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"inner": {"lr": 1, "knd": "a"}}, r"unknown key config\.inner\.knd; did you mean 'kind'\? Known: kind, lr"),
        ({"inner": {}}, r"config\.inner\.lr is missing"),
        ({"inner": {"lr": "fast"}}, r"config\.inner\.lr must be float, found 'fast'"),
        ({"inner": {"lr": 1, "kind": "c"}}, r"config\.inner\.kind is 'c'; .*Known: a, b"),
        ({"inner": {"lr": 1}, "sizes": 3}, r"config\.sizes must be a list, found 3"),
        ({"inner": {"lr": 1}, "sizes": [1, 2.5]}, r"config\.sizes\[1\] must be int, found 2\.5"),
        ({"inner": {"lr": 1}, "on": 1}, r"config\.on must be bool, found 1"),
        ({"inner": {"lr": True}}, r"config\.inner\.lr must be float, found True"),
        ({"inner": 3}, r"config\.inner must be a mapping of keys to values, found 3"),
    ],
)
def test_what_does_not_fit_is_named(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(Outer, mapping)
    assert "\n" not in str(caught.value)


def test_override_reads_literals_and_leaves_the_original() -> None:
    config = {"a": {"b": 1}, "tasks": ["ks"]}
    changed = override("config.a.b=1e-3,,config.tasks=['asr', 'pr'],,config.name = pcgrad ,,config.c.d=None", config)
    assert changed == {"a": {"b": 1e-3}, "tasks": ["asr", "pr"], "name": "pcgrad", "c": {"d": None}}
    assert config == {"a": {"b": 1}, "tasks": ["ks"]}


def test_override_runs_no_code(tmp_path: Path) -> None:
    target = tmp_path / "made"
    code = f"__import__('pathlib').Path({str(target)!r}).touch()"
    assert override(f"config.x={code}", {})["x"] == code
    assert literal(code) == code
    assert not target.exists()


@pytest.mark.parametrize("option", ["config.a", "args.lr=1", "config=3", "config..b=1", "config.a.b.c=1"])
def test_malformed_overrides_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        override(option, {"a": {"b": 1}})


def test_merge_goes_deep_and_null_replaces() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": {"e": 1}}, {"a": {"b": 3}, "d": None}) == {
        "a": {"b": 3, "c": 2},
        "d": None,
    }


def test_unreadable_yaml_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1\nb: 2")
    with pytest.raises(ConfigError, match=r"bad\.yaml', line 2 is not valid YAML"):
        load_yaml(bad)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path / "none.yaml")
    bad.write_text("- 1")
    with pytest.raises(ConfigError, match="must hold a mapping, found list"):
        load_yaml(bad)


names = st.text(alphabet="abcdef_0", min_size=1, max_size=4)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
literals = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
mappings = st.recursive(
    st.dictionaries(names, st.integers(), max_size=3),
    lambda inner: st.dictionaries(names, inner | st.integers() | st.none(), max_size=3),
    max_leaves=8,
)


@given(literals)
def test_what_python_prints_is_read_as_it_was(value: Any) -> None:
    assert literal(repr(value)) == value


@given(st.lists(st.tuples(st.lists(names, min_size=1, max_size=3), literals), max_size=3))
def test_an_override_sets_what_it_names_and_nothing_else(options: list[tuple[list[str], Any]]) -> None:
    wanted: dict[str, Any] = {"kept": {"x": 1}}
    kept = []
    for path, value in options:
        if ",," in repr(value) or any(path[: len(other)] == other or other[: len(path)] == path for other, _ in kept):
            continue
        kept.append((path, value))
        target = wanted
        for name in path[:-1]:
            target = target.setdefault(name, {})
        target[path[-1]] = value
    text = ",,".join(f"config.{'.'.join(path)}={value!r}" for path, value in kept)
    assert override(text, {"kept": {"x": 1}}) == wanted


@given(mappings, mappings)
def test_what_lies_over_wins_and_nothing_else_changes(a: Any, b: Any) -> None:
    before = repr((a, b))
    assert merge(a, {}) == a == merge({}, a) == merge(a, a)
    assert merge(merge(a, b), b) == merge(a, b)
    assert merge(a, b).keys() == a.keys() | b.keys()
    flat = {key: value for key, value in b.items() if not isinstance(value, dict)}
    assert flat.items() <= merge(a, b).items()
    assert repr((a, b)) == before


@given(
    st.builds(
        Outer,
        inner=st.builds(Inner, lr=st.floats(0, 1e15), kind=st.sampled_from(["a", "b"])),
        sizes=st.lists(st.integers(0, 10**9), max_size=3).map(tuple),
        path=st.none() | names.map(Path),
        on=st.booleans(),
        weights=st.dictionaries(names, st.floats(0, 1), max_size=3),
    )
)
def test_a_configuration_survives_yaml(config: Outer) -> None:
    assert build(Outer, parse_yaml(yaml.safe_dump(plain(config)))) == config
    assert build(Outer, override(",,".join(f"config.{k}={v!r}" for k, v in plain(config).items()), {})) == config
