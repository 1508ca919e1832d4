# ruff: noqa: E501 (one line for each entry of a table)
"""Every key of every configuration with every kind of wrong value: one line that names the key."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from damages import said_in_one_line

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.balancers.table import BALANCERS, build_balancer
from s3prl_plugins.config import build, load_yaml, override, plain
from s3prl_plugins.errors import ConfigError, UserError
from s3prl_plugins.heads.task import task_config
from s3prl_plugins.multitask import config as joint
from s3prl_plugins.multitask.config import run_config, shipped_configs
from s3prl_plugins.pretrain.distortions import DISTORTIONS, build_distortions
from s3prl_plugins.qbe.config import QbeConfig
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.upstream.hubert.pretraining import HubertPretraining
from s3prl_plugins.upstream.learn2diss.config import Learn2DissPretraining
from s3prl_plugins.upstream.mgf.pretraining import MgfPretraining
from s3prl_plugins.upstream.pase.pretraining import PasePretraining

NAN, INF = float("nan"), float("inf")
ABSURD = {
    "a mapping": {"zzz": 1}, "a list": [[]], "a text": "many", "nothing": None, "yes": True, "NaN": NAN, "infinite": INF,
    "minus infinite": -INF, "minus one": -1, "a huge negative number": -(10**30), "a half": 0.5, "a text of a number": "-1",
    "an empty text": "", "zero": 0, "a huge number": 10**30, "a number": 3, "an empty list": [], "an empty mapping": {},
    "a list of texts": ["many"], "a list of NaN": [NAN], "a list of minus one": [-1], "a key nobody knows": {"zzzz": None},
    "bytes": b"x", "no": False, "a list of mappings": [{"zzz": 1}], "a text of a list": "[1]", "a text of NaN": "nan", "a set": {1}, "a complex number": 1j, "a date": "2020-01-01", "a text with a line break": "a\nb",
}  # fmt: skip
"""Kind of wrong value -> one."""
EITHER = {"zero", "a huge number", "an empty list", "an empty mapping"}
"""Right for some keys, which say themselves what they take."""
FREE = {"options", "specaug", "model", "distortions", "worker_options", "superb", "weights", "balancer", "hubert", "head_lr",
        "workers", "lr_of", "scales", "splits", "speakers"}  # fmt: skip
"""Mappings whose keys are another's: read in their own section below, or by torch and s3prl."""


def wrong(kind: str, value: Any, whole: Any) -> bool:
    """Whether a kind of value must be refused in the place of `whole`, which is right there."""
    if kind in EITHER or whole is None:
        return False
    if isinstance(whole, list) and kind in ("a list of mappings", "a list of texts"):
        return False
    if isinstance(whole, bool):
        return not isinstance(value, bool)
    if isinstance(whole, int | float):
        fraction = kind == "a half" and isinstance(whole, int)
        return fraction or not (kind in ("a half", "a number") or (value is None))
    if isinstance(whole, str):
        return not isinstance(value, str)
    if isinstance(whole, list):
        return not isinstance(value, list) or (kind != "a list of texts" and whole and not isinstance(whole[0], list))
    return kind != "nothing"


def leaves(mapping: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key, with its value; nothing below those in `FREE`."""
    for key, value in mapping.items():
        yield (*path, key), value
        if isinstance(value, dict) and key not in FREE:
            yield from leaves(value, (*path, key))


def shipped(name: str) -> dict[str, Any]:
    return load_yaml(shipped_configs() / name)


def classed(cls: type[Any]) -> Callable[[Any], Any]:
    return lambda mapping: build(cls, mapping)


def sections() -> dict[str, tuple[dict[str, Any], Callable[[Any], Any]]]:
    """Section -> a whole one with all its defaults, and what reads it."""
    found: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {}
    for name in ("all_task_mini", "all_task_paper", "scenarios_mini"):
        mapping = shipped(f"multitask/{name}.yaml")
        found[name] = ({**plain(run_config(mapping)), "tasks": ["ic"], "superb": {}}, run_config)
    for task in FINETUNED_TASKS:
        for size in ("mini", "paper"):
            found[f"{task}_{size}"] = (plain(task_config(shipped(f"superb/{task}_{size}.yaml"))), task_config)
    classes = {"qbe_mini": QbeConfig, "hubert_tiny": HubertPretraining, "learn2diss_tiny": Learn2DissPretraining}
    classes |= {"mgf_tiny": MgfPretraining, "pase_tiny": PasePretraining}
    for name, cls in classes.items():
        mapping = shipped(f"{'superb' if name == 'qbe_mini' else 'pretrain'}/{name}.yaml")
        found[name] = (plain(build(cls, mapping)), classed(cls))
    return found


SECTIONS = sections()


@pytest.fixture(autouse=True, scope="module")
def quick_yaml() -> Iterator[None]:
    """Each shipped file is parsed once."""
    known = functools.cache(load_yaml)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint, "load_yaml", lambda path: copy.deepcopy(known(path)))
        yield


def faults(whole: dict[str, Any], read: Callable[[Any], Any]) -> list[str]:
    read(whole)
    found = []
    for path, value in leaves(whole):
        for kind, absurd in ABSURD.items():
            changed = copy.deepcopy(whole)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = copy.deepcopy(absurd)
            where = f"{'.'.join(path)} = {absurd!r} ({value!r})"
            try:
                read(changed)
                null = absurd is None and path[-1] == "crops"
                said = "was taken" if wrong(kind, absurd, value) and path[-1] not in FREE and not null else ""
            except ConfigError as error:
                key = "" if kind in EITHER or path[-1] in FREE else path[-1].removesuffix("s")
                said = said_in_one_line(f"{error};", key)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            if said:
                found.append(f"{where}: {said}")
    return found


@pytest.mark.parametrize("name", SECTIONS)
def test_values(name: str) -> None:
    found = faults(*SECTIONS[name])
    assert not found, f"{len(found)}\n" + "\n".join(found)


POSITIVE = {
    "all_task_mini": ("runner.total_steps", "runner.log_step", "runner.save_step", "runner.max_keep", "runner.gradient_clipping.heads",
                      "runner.gradient_accumulate_steps"),
    "scenarios_mini": ("ssl.lr_search.steps", "runner.total_steps", "tasks"),
    "asr_mini": ("recipe.lr", "recipe.steps", "recipe.clip", "recipe.accumulate", "train_batch.size", "eval_batch.size", "head.project_dim", "head.hidden_dims"),
    "asv_mini": ("head.scale", "head.embedding_size", "corpus.max_seconds", "corpus.min_seconds"),
    "sd_mini": ("head.hidden_size", "head.num_speakers", "head.thresholds", "head.medians", "corpus.chunk_frames"),
    "er_mini": ("corpus.valid_ratio", "head.hidden_size", "corpus.fold"),
    "pr_mini": ("corpus.lexicon",),
    "qbe_mini": ("corpus.languages", "search.shortest"),
    "hubert_tiny": ("iterations", "temperature", "mask_length", "speech.longest", "speech.batch", "speech.folders"),
    "learn2diss_tiny": ("temperature", "utterance.stretch", "joint.mask_length", "joint.cluster_share", "joint.clusters", "joint.train.steps"),
    "mgf_tiny": ("train.steps", "train.clip", "mask_length", "stretch", "sample"),
    "pase_tiny": ("train.steps", "train.accumulate", "chunk", "sample", "workers"),
}  # fmt: skip
"""Section -> keys that take neither 0 nor an empty list or mapping."""


@pytest.mark.parametrize("name", POSITIVE)
def test_zero_and_nothing(name: str) -> None:
    whole, read = SECTIONS[name]
    for dotted in POSITIVE[name]:
        *path, last = dotted.split(".")
        changed = copy.deepcopy(whole)
        inner = changed
        for key in path:
            inner = inner[key]
        value = inner[last]
        inner[last] = [] if isinstance(value, list) else {} if isinstance(value, dict) else type(value)()
        with pytest.raises(ConfigError) as error:
            read(changed)
        assert not said_in_one_line(f"{error.value};", last), dotted


@pytest.mark.parametrize("name", SECTIONS)
def test_keys(name: str) -> None:
    """One that nobody knows, in every mapping, and one left out, wherever it has no default."""
    whole, read = SECTIONS[name]
    places = [path for path, value in leaves(whole) if isinstance(value, dict) and path[-1] not in FREE]
    for path in [(), *places]:
        changed = copy.deepcopy(whole)
        inner = changed
        for key in path:
            inner = inner[key]
        inner["totl"] = 1
        with pytest.raises(ConfigError) as error:
            read(changed)
        assert not said_in_one_line(str(error.value), "unknown key", ".".join([*path, "totl"]), "Known: ")
    for key in [
        key for key in whole if key in ("optimizer", "runner", "task", "recipe", "speech", "size", "encoder", "train")
    ]:
        if not (name.startswith(("all", "scen")) and key == "encoder"):
            with pytest.raises(ConfigError, match=rf"config\.{key} is"):
                read({other: value for other, value in whole.items() if other != key})


@pytest.mark.parametrize("name", BALANCERS)
def test_balancers(name: str) -> None:
    """Every option of every balancer."""
    whole = {"name": name, **plain(BALANCERS[name][0]())}
    found = []
    for key, value in whole.items():
        for kind, absurd in ABSURD.items():
            try:
                build_balancer({**whole, key: absurd}, ("ks", "ic"), FINETUNED_TASKS, "task", 0, tuple(BALANCERS))
                said = "was taken" if wrong(kind, absurd, value) else ""
            except ConfigError as error:
                said = said_in_one_line(f"{error}; ", key if kind not in EITHER else "")
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            if said:
                found.append(f"{key} = {absurd!r}: {said}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distortions(name: str) -> None:
    """Every option of every distortion."""
    whole = plain(DISTORTIONS[name]())
    found = []
    for key, value in whole.items():
        for kind, absurd in ABSURD.items():
            try:
                build_distortions({name: {**whole, key: absurd}})
                free = isinstance(value, list | dict) or (
                    key == "snr" and kind.startswith(("minus one", "a list of minus"))
                )
                said = "was taken" if wrong(kind, absurd, value) and not free else ""
            except UserError as error:
                said = said_in_one_line(
                    f"{error}; ", "" if kind in EITHER else absurd[0] if kind == "a list of texts" else key
                )
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            if said:
                found.append(f"{key} = {absurd!r}: {said}")
    assert not found, "\n".join(found)


OVERRIDES = {
    "no equals sign": ("config.seed", "must read config.KEY=VALUE"),
    "no key": ("=1", "must read config.KEY=VALUE"),
    "no scope": ("runner.total_steps=1", "must read config.KEY=VALUE"),
    "another scope": ("args.seed=1", "must read config.KEY=VALUE"),
    "an empty part": ("config..a=1", "must read config.KEY=VALUE"),
    "a dot at the end": ("config.a.=1", "must read config.KEY=VALUE"),
    "a key below a number": ("config.runner.total_steps.x=1", "has no keys to set"),
    "one comma": ("config.runner.total_steps=1,config.runner.log_step=1", "config.runner.total_steps must be int"),
    "a semicolon": ("config.runner.total_steps=1;config.runner.log_step=1", "config.runner.total_steps must be int"),
    "a space for the equals sign": ("config.runner.total_steps 1", "must read config.KEY=VALUE"),
    "two equals signs": ("config.runner.total_steps==1", "config.runner.total_steps must be int"),
    "a bracket that stays open": ("config.tasks=['asr'", "config.tasks must be a list"),
    "a name of a task for a list": ("config.tasks=asr", "config.tasks must be a list"),
    "an unknown key": ("config.runer.total_steps=1", "unknown key config.runer; did you mean 'runner'"),
    "an unknown inner key": ("config.runner.totl_steps=1", "unknown key config.runner.totl_steps; did you mean"),
    "a number written out": ("config.runner.total_steps=ten", "config.runner.total_steps must be int, found 'ten'"),
    "a comma for the decimal point": ("config.optimizer.heads.lr=0,1", "config.optimizer.heads.lr must be float"),
    "a choice nobody knows": ("config.runner.schedule=cosine", "config.runner.schedule is 'cosine'"),
    "true in small letters": ("config.runner.eval_at_start=true", "config.runner.eval_at_start must be bool, found 'true'"),
}  # fmt: skip


@pytest.mark.parametrize("case", OVERRIDES)
def test_overrides(case: str) -> None:
    text, said = OVERRIDES[case]
    with pytest.raises(ConfigError) as error:
        run_config(override(text, shipped("multitask/all_task_mini.yaml")))
    assert not said_in_one_line(f"{error.value};", said)


def test_there_are_thirty_kinds() -> None:
    assert len(ABSURD) + len({"a key nobody knows", "a key left out"}) >= 30 and len(SECTIONS) >= 26
