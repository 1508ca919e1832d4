"""Every value of every configuration, and every option that is a small language, at random: read, or one line."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from spoiling import ODD, SCRAPS, one_line_at_most, places, spoilt, with_value

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.choosing.rules import parse_rule
from s3prl_plugins.config import build, literal, load_yaml, override, parse_yaml, plain
from s3prl_plugins.features.budget import parse_size
from s3prl_plugins.features.kinds import find_kind
from s3prl_plugins.features.shards import Entry
from s3prl_plugins.files import parse_json
from s3prl_plugins.heads.task import task_config
from s3prl_plugins.multitask import config as joint
from s3prl_plugins.multitask.config import run_config, shipped_configs
from s3prl_plugins.multitask.er_folds import parse_folds
from s3prl_plugins.multitask.evaluation import parse_splits
from s3prl_plugins.qbe.config import QbeConfig
from s3prl_plugins.superb.cards import FINETUNED_TASKS, task_names
from s3prl_plugins.superb.submission import slot
from s3prl_plugins.upstream.hubert.pretraining import HubertPretraining
from s3prl_plugins.upstream.learn2diss.config import Learn2DissPretraining
from s3prl_plugins.upstream.mgf.pretraining import MgfPretraining
from s3prl_plugins.upstream.pase.pretraining import PasePretraining

PRETRAININGS: dict[str, type] = {
    "hubert": HubertPretraining, "learn2diss": Learn2DissPretraining, "mgf": MgfPretraining, "pase": PasePretraining,
}  # fmt: skip
CONFIGS = sorted(path.relative_to(shipped_configs()).as_posix() for path in shipped_configs().rglob("*.yaml"))


@pytest.fixture(autouse=True, scope="module")
def quick_yaml() -> Iterator[None]:
    """Each shipped file is parsed once."""
    known = functools.cache(load_yaml)
    joint.load_yaml = lambda path: copy.deepcopy(known(path))  # type: ignore[assignment]
    yield
    joint.load_yaml = load_yaml


def reader_of(name: str) -> Callable[[Any], Any]:
    """What makes a configuration of the mapping in a shipped file."""
    kind, stem = name.removesuffix(".yaml").split("/")
    if kind == "multitask":
        return run_config
    if kind == "superb" and not stem.startswith("qbe"):
        return task_config
    cls = QbeConfig if kind == "superb" else PRETRAININGS[stem.split("_")[0]]
    return lambda mapping: build(cls, mapping)


@pytest.mark.parametrize("name", CONFIGS)
@given(data=st.data())
def test_a_value_of_another_kind(name: str, data: st.DataObject) -> None:
    """A configuration is made, which is the same again from what it says of itself, or one line names the fault."""
    whole, read = load_yaml(shipped_configs() / name), reader_of(name)
    if name.startswith("multitask"):
        whole = joint.resolve(whole)
    changed = whole
    for _ in range(data.draw(st.integers(1, 2))):
        spot = data.draw(st.sampled_from(list(places(changed))[1:]))
        changed = with_value(changed, spot, data.draw(st.sampled_from(ODD)))
    with one_line_at_most():
        made = read(changed)
        if name.startswith("pretrain"):
            assert plain(build(type(made), plain(made))) == plain(made)


LANGUAGES: dict[str, tuple[bytes, Callable[[str], Any]]] = {
    "a rule of choose": (b"soup:3", parse_rule),
    "a size": (b"1.5 GB", parse_size),
    "folds": (b"1-3,5", parse_folds),
    "splits": (b"asr:test-clean,ks:dev", lambda text: parse_splits(text, FINETUNED_TASKS)),
    "a task": (b"asr,pr", lambda text: task_names(text.split(","))),
    "a part of a submission": (b"er_fold1", slot),
    "a kind of stored states": (b"int4", find_kind),
    "an override": (b"config.runner.total_steps=5,,config.tasks=['asr', 'pr']", lambda text: override(text, {})),
    "an override of a run": (
        b"config.runner.lr=1e-3,,config.superb.ks.head.projector_dim=8,,config.balancer.name=pcgrad",
        lambda text: run_config(override(text, joint.load_yaml(shipped_configs() / "multitask/all_task_mini.yaml"))),
    ),
    "a literal": (b"{'a': [1, 2.5, None, True], 'b': (1,)}", literal),
    "an entry of a feature store": (b"0123456789abcdef 0 8 1 1 1 4023233417", Entry.parse),
    "an option of an optimizer": (
        b"config.optimizer.heads.lr=1e-3,,config.optimizer.heads.options={'betas': [0.9, 0.99]}",
        lambda text: run_config(override(text, joint.load_yaml(shipped_configs() / "multitask/all_task_mini.yaml"))),
    ),
}
"""One that is right, and what reads it."""


@pytest.mark.parametrize("name", LANGUAGES)
@given(data=st.data())
def test_a_small_language(name: str, data: st.DataObject) -> None:
    whole, read = LANGUAGES[name]
    with one_line_at_most():
        read(whole.decode())
    text = data.draw(spoilt(whole) | st.sampled_from(SCRAPS)).decode("utf-8", "surrogateescape")
    with one_line_at_most():
        read(text)


YAML = b"""a: &a {x: 1, y: [1e-3, 0x1F, 2020-01-02, ~, yes]}
b: {<<: *a, z: "q"}
"c d": |
  text
e:
  - 1.5
  - {f: g}
"""


@given(spoilt(YAML) | st.sampled_from(SCRAPS))
def test_yaml(data: bytes) -> None:
    """`parse_yaml` fails in the two ways that it names."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(yaml.YAMLError, ValueError):
        parse_yaml(text)


@given(data=st.data())
def test_a_yaml_file(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "spoilt.yaml"
    path.write_bytes(data.draw(spoilt(YAML)))
    with one_line_at_most():
        load_yaml(path)


@given(spoilt(json.dumps({"a": [1, None, {"b": "c"}], "d": 1.5e3}).encode()))
def test_json(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_json(data.decode("utf-8", "replace"))
