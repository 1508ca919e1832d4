"""Configurations of joint runs: every shipped one loads, stands alone once resolved, and names what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s3prl_plugins.config import build, load_yaml, merge, override, plain
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.task import task_config
from s3prl_plugins.multitask.config import RunConfig, find_config, resolve, run_config, shipped_configs
from s3prl_plugins.superb.cards import FINETUNED_TASKS

CONFIGS = sorted(path.relative_to(shipped_configs()).as_posix() for path in shipped_configs().rglob("*.yaml"))
JOINT = [name for name in CONFIGS if name.startswith("multitask/")]
SUPERB = [name for name in CONFIGS if name.startswith("superb/") and "qbe" not in name]


def mini(**changes: Any) -> dict[str, Any]:
    return merge(load_yaml(find_config("all_task_mini")), changes)


def test_every_task_has_a_paper_and_a_mini_configuration() -> None:
    assert set(SUPERB) == {f"superb/{task}_{size}.yaml" for task in FINETUNED_TASKS for size in ("paper", "mini")}
    assert {"multitask/all_task_paper.yaml", "multitask/all_task_mini.yaml", "multitask/scenarios_mini.yaml"} <= set(
        JOINT
    )


@pytest.mark.parametrize("name", SUPERB)
def test_configurations_of_tasks_load(name: str) -> None:
    mapping = load_yaml(shipped_configs() / name)
    config = task_config(mapping)
    assert name == f"superb/{config.task}_{'paper' if 'paper' in name else 'mini'}.yaml"
    assert task_config(plain(config)) == config


@pytest.mark.parametrize("name", JOINT)
def test_configurations_of_joint_runs_load_and_stand_alone_once_resolved(name: str) -> None:
    mapping = load_yaml(shipped_configs() / name)
    resolved = resolve(mapping)
    assert resolve(resolved) == resolved
    config = run_config(mapping)
    assert config == run_config(resolved) == build(RunConfig, resolved) == run_config(plain(config))
    assert set(config.task_configs) == set(config.tasks)
    assert config.size == ("paper" if "paper" in name else "mini")
    assert config.exclude_other_tests == (config.size == "mini")


def test_settings_of_a_task_are_laid_over_its_file() -> None:
    file = load_yaml(shipped_configs() / "superb" / "ks_mini.yaml")
    config = run_config(mini(tasks=["ks"], superb={"ks": {"head": {"hidden_size": 7}}})).task_configs["ks"]
    assert config.head.hidden_size == 7
    assert config.recipe.lr == file["recipe"]["lr"] and config.corpus.path == Path(file["corpus"]["path"])


def test_settings_of_tasks_that_are_not_chosen_are_left_out() -> None:
    assert set(run_config(mini(tasks=["ks", "pr"])).superb) == {"ks", "pr"}


def test_a_configuration_is_found_by_path_or_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = find_config("all_task_mini")
    assert shipped == find_config("all_task_mini.yaml") == shipped_configs() / "multitask" / "all_task_mini.yaml"
    monkeypatch.chdir(tmp_path)
    Path("all_task_mini.yaml").write_text(shipped.read_text())
    assert find_config("all_task_mini.yaml") == Path("all_task_mini.yaml")
    with pytest.raises(ConfigError, match=r"no config file 'x/all_task_mini.yaml' here"):
        find_config("x/all_task_mini.yaml")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("config.tasks=['ks','sidd']", "unknown task 'sidd'; did you mean 'sid'"),
        ("config.tasks=['qbe']", "'qbe' has no head to train"),
        ("config.tasks=[]", "config.tasks is empty; name at least one"),
        ("config.tasks=['ks','ks']", "names a task twice: ks, ks; name each once"),
        ("config.tasks=ks", r"config.tasks must be a list such as \['asr', 'pr'\], found 'ks'"),
        ("config.size=small", "config.size is 'small'; .*Known: mini, paper"),
        ("config.superb.kss.head.hidden_size=3", "unknown task config.superb.kss; did you mean 'ks'"),
        ("config.superb=3", "config.superb must map tasks to their settings, found 3"),
        ("config.superb.ks=3", "config.superb.ks must be a mapping, found 3"),
        ("config.superb.ks.hed.hidden_size=3", "unknown key config.superb.ks.hed; did you mean 'head'"),
        ("config.superb.ks.head.hiden_size=3", "unknown key config.superb.ks.head.hiden_size; did you mean 'hidden_size'"),
        ("config.superb.er.corpus.fold=fold6", "config.superb.er.corpus.fold is 'fold6'; did you mean 'fold5'"),
        ("config.superb.sid.corpus.max_seconds=0", "max_seconds must be above 0 seconds, found 0"),
        ("config.exclude_other_test=True", "unknown key config.exclude_other_test; did you mean 'exclude_other_tests'"),
        ("config.encoder.padding=non", "config.encoder.padding is 'non'; did you mean 'none'"),
        ("config.optimizer.heads.lr=fast", "config.optimizer.heads.lr must be float, found 'fast'"),
        ("config.optimizer.heads.lr=-1", "lr must not be negative, found -1"),
        ("config.runner.warmup_steps=9999", r"warmup_steps must lie in 0..total_steps \(\d+\), found 9999"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        run_config(override(option, mini()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["corpus_root", "optimizer", "runner", "size"])
def test_what_is_missing_is_named(key: str) -> None:
    mapping = mini()
    del mapping[key]
    with pytest.raises(ConfigError, match=f"config.{key} is (missing; set it|None)"):
        run_config(mapping)


def test_without_a_list_of_tasks_all_nine_are_trained() -> None:
    mapping = mini()
    del mapping["tasks"]
    assert run_config(mapping).tasks == FINETUNED_TASKS
