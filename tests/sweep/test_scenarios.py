"""The scenarios as data: which runs there are, what each needs, and whose recipe it follows."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.task import task_config
from s3prl_plugins.multitask.config import find_config, resolve, run_config, shipped_configs
from s3prl_plugins.multitask.er_folds import check_er_fold, er_fold, parse_folds
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.sweep import scenarios

SIZES = ("mini", "paper")


def mapping(size: str = "mini", **changes: Any) -> dict[str, Any]:
    return merge(load_yaml(find_config(f"all_task_{size}")), changes)


@functools.cache
def single_task_runs(size: str) -> dict[str, scenarios.Run]:
    return {run.name: run for run in scenarios.ssl(mapping(size)) + scenarios.transfer(mapping(size))}


def recipe(task: str, size: str) -> Any:
    return task_config(load_yaml(shipped_configs() / "superb" / f"{task}_{size}.yaml"))


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_experiment_has_nine_one_nine_and_nine_runs_each_with_a_folder_of_its_own(size: str) -> None:
    config = mapping(size)
    parts = [scenarios.ssl(config), scenarios.all_task(config), scenarios.leave_one_out(config)]
    transfer = scenarios.transfer(config)
    assert [len(part) for part in parts] == [9, 1, 9] and len(transfer) == 18
    assert transfer[:9] == parts[2]
    every = [run for part in parts for run in part] + transfer[9:]
    assert len({run.name for run in every}) == 28
    for run in every:
        assert resolve(run.config) == run.config
        assert run_config(run.config).size == size
        assert not {"ssl", "transfer", "heads"} & run.config.keys()
    assert [run.name for run in every if run.trainable] == [
        "all_task",
        *(f"leave_one_out/{t}" for t in FINETUNED_TASKS),
    ]


def test_every_transfer_needs_the_run_that_left_its_task_out_and_takes_its_encoder() -> None:
    runs = {run.name: run for run in scenarios.transfer(mapping())}
    for task in FINETUNED_TASKS:
        run, source = runs[f"transfer/{task}"], runs[f"leave_one_out/{task}"]
        assert run.needs == (source.name,) and run.encoder == source.name and not source.needs
        assert run.config["tasks"] == [task] and not run.heads
        assert source.config["tasks"] == [other for other in FINETUNED_TASKS if other != task]
        assert source.heads == {other: f"ssl/{other}" for other in source.config["tasks"]}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("task", FINETUNED_TASKS)
def test_a_head_alone_is_trained_by_its_superb_recipe(task: str, size: str) -> None:
    expected = recipe(task, size)
    ssl, transfer = (run_config(single_task_runs(size)[f"{part}/{task}"].config) for part in ("ssl", "transfer"))
    for config in (ssl, transfer):
        assert config.runner.total_steps == expected.recipe.steps
        assert config.runner.gradient_accumulate_steps == expected.recipe.accumulate
        assert config.runner.gradient_clipping.total == expected.recipe.clip
        assert (config.runner.schedule, config.runner.warmup_steps) == ("constant", 0)
        assert config.optimizer.heads.name == expected.recipe.optimizer and not config.optimizer.head_lr
        assert config.optimizer.heads.lr == config.optimizer.upstream.lr == expected.recipe.lr
        assert config.balancer == {"name": "fixed"} and not config.exclude_other_tests
        assert config.encoder.padding == run_config(mapping(size)).encoder.padding
    assert ssl.specaug == expected.specaug and (ssl.specaug is not None) == (task in ("asr", "sf"))
    assert transfer.specaug == run_config(mapping(size)).specaug is not None
    assert ssl.task_configs[task].train_batch == expected.train_batch
    assert ssl.task_configs[task].head == expected.head
    assert transfer.task_configs[task].train_batch.size == (8 if size == "paper" else expected.train_batch.size)


def test_labels_of_diarization_are_finer_in_the_papers_joint_and_transfer_runs() -> None:
    runs = [*scenarios.ssl(mapping("paper"), ["sd"]), *scenarios.transfer(mapping("paper"), ["sd"])[-1:]]
    runs += scenarios.all_task(mapping("paper"))
    assert [run_config(run.config).task_configs["sd"].head.frame_shift for run in runs] == [None, 160, 160]


def test_overrides_reach_the_runs() -> None:
    changed = mapping(
        superb={"ks": {"recipe": {"lr": 0.5}, "train_batch": {"size": 3}, "head": {"hidden_size": 7}}},
        ssl={"steps": 11, "superb": {"ks": {"train_batch": {"size": 5}}}},
    )
    ssl = run_config(scenarios.ssl(changed, ["ks"])[0].config)
    joint = run_config(scenarios.all_task(changed)[0].config)
    assert (ssl.optimizer.heads.lr, ssl.runner.total_steps) == (0.5, 11)
    assert [c.task_configs["ks"].train_batch.size for c in (ssl, joint)] == [5, 3]
    assert [c.task_configs["ks"].head.hidden_size for c in (ssl, joint)] == [7, 7]


def test_each_other_fold_of_er_is_a_run_of_its_own_that_starts_no_head_from_a_fold_that_heard_its_test() -> None:
    runs = {run.name: run for run in scenarios.all_task(mapping(), parse_folds("1-5"))}
    assert list(runs) == ["all_task", *(f"all_task_er_fold{n}" for n in (2, 3, 4, 5))]
    heads = {run.name: run for run in scenarios.ssl(mapping(), None, parse_folds("1-5"))}
    assert len(heads) == 13
    for name, run in runs.items():
        source = heads[run.heads["er"]]
        assert er_fold(source.config) == er_fold(run.config) == ("fold" + name[-1] if "fold" in name else "fold1")
        assert {task: run.heads[task] for task in run.heads if task != "er"} == {
            task: f"ssl/{task}" for task in FINETUNED_TASKS if task != "er"
        }


def test_a_run_with_leaks_is_made_if_asked_for() -> None:
    plain, leaking = scenarios.all_task(mapping(), with_leaks=True)
    assert leaking.name == "all_task_with_leaks"
    assert leaking.config == {**plain.config, "exclude_other_tests": False} != plain.config


def test_only_the_tasks_that_are_named_are_left_out_or_transferred_to() -> None:
    names = [run.name for run in scenarios.transfer(mapping(), ["sid", "asr"])]
    assert names == ["leave_one_out/sid", "leave_one_out/asr", "transfer/sid", "transfer/asr"]


@pytest.mark.parametrize(
    ("text", "folds"), [("1-5", (1, 2, 3, 4, 5)), ("2", (2,)), ("1,3", (1, 3)), ("4-5,2", (2, 4, 5))]
)
def test_folds_as_text(text: str, folds: tuple[int, ...]) -> None:
    assert parse_folds(text) == folds


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parse_folds("0-5"), "--er-folds must lie in 1-5, found '0-5'"),
        (lambda: parse_folds("5-1"), "--er-folds must lie in 1-5, found '5-1'"),
        (lambda: parse_folds("two"), "--er-folds must read like 1-5 or 1,3, found 'two'"),
        (lambda: scenarios.ssl(mapping(tasks=["ks"]), None, (2,)), "--er-folds needs task 'er' among config.tasks"),
        (lambda: scenarios.leave_one_out(mapping(tasks=["ks"])), "needs at least two in config.tasks, found ks"),
        (lambda: scenarios.ssl(mapping(tasks=["ks"]), ["pr"]), "--tasks names 'pr', which config.tasks does not have"),
        (lambda: scenarios.ssl(mapping(ssl={"step": 3})), "unknown key config.ssl.step; did you mean 'steps'"),
        (lambda: scenarios.ssl(mapping(ssl={"steps": 0})), "config.ssl: steps must be at least 1, found 0"),
        (lambda: scenarios.ssl(mapping(ssl={"superb": {"kss": {}}})), "unknown task superb.kss; did you mean 'ks'"),
        (lambda: scenarios.ssl(mapping(ssl={"lr_search": {"grid": [1, 0]}})), "grid must hold learning rates above 0"),
        (lambda: scenarios.ssl(mapping(heads="sll")), "config.heads is 'sll'; did you mean 'ssl'"),
        (lambda: check_er_fold("fold1", "fold2", "DIR"), "fold2 cannot be scored with DIR: it kept fold1 out"),
    ],
)
def test_what_cannot_be_planned_is_named(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("trained", "asked"), [("fold2", "fold2"), (None, "fold2"), ("fold2", None)])
def test_a_model_may_be_scored_on_the_fold_that_it_never_heard(trained: str | None, asked: str | None) -> None:
    check_er_fold(trained, asked, "DIR")
