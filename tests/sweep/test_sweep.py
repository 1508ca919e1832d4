"""Sweeps: the order of runs, failures and interruptions with pretended runs; all four scenarios with real ones."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import ConfigError, Interrupted
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.er_folds import er_fold_of
from s3prl_plugins.multitask.evaluation import update_results
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import MultitaskRunner, stock_args
from s3prl_plugins.sweep import scenarios
from s3prl_plugins.sweep.job import Job, train_and_score
from s3prl_plugins.sweep.launcher import InProcess
from s3prl_plugins.sweep.run_state import is_finished
from s3prl_plugins.sweep.scenarios import Run
from s3prl_plugins.sweep.sweep import Outcome, Sweep, SweepOptions
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

TASKS = ("ks", "er")


class Pretended:
    """A launcher whose jobs take `steps` looks and then write their scores, or fail."""

    pause, apart = 0.0, False

    def __init__(self, slots: int, failing: Iterable[str] = (), steps: Callable[[str], int] = lambda name: 1) -> None:
        self.slots, self.failing, self.steps = slots, set(failing), steps
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.running: set[str] = set()

    def start(self, job: Job) -> PretendedHandle:
        self.started.append(job.name)
        self.running.add(job.name)
        assert len(self.running) <= self.slots
        return PretendedHandle(self, job, self.steps(job.name))


class PretendedHandle:
    def __init__(self, launcher: Pretended, job: Job, left: int) -> None:
        self.launcher, self.job, self.left = launcher, job, left

    def poll(self) -> str | None:
        self.left -= 1
        if self.left >= 0:
            return None
        self.launcher.running.discard(self.job.name)
        if self.job.name in self.launcher.failing:
            return "it broke"
        self.job.folder.mkdir(parents=True)
        scores = {(task, "test"): {"acc": 1.0} for task in self.job.config["tasks"]}
        update_results(self.job.folder, self.job.config["runner"]["total_steps"], scores, {"seed": 1})
        return ""

    def ask(self) -> None:
        pass

    def cancel(self) -> None:
        self.launcher.cancelled.append(self.job.name)


def pretended_runs(needs: dict[str, tuple[str, ...]]) -> list[Run]:
    config = {"tasks": ["ks"], "runner": {"total_steps": 3}}
    return [Run(name, config, needs=needed) for name, needed in needs.items()]


@given(data=st.data(), slots=st.integers(1, 4))
def test_needs_come_first_failures_stop_only_what_needs_them_and_nothing_is_done_twice(
    data: st.DataObject, slots: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = [f"run{i}" for i in range(data.draw(st.integers(1, 7)))]
    needs = {
        name: tuple(sorted(data.draw(st.sets(st.sampled_from(names[:i]), max_size=2)))) if i else ()
        for i, name in enumerate(names)
    }
    failing = data.draw(st.sets(st.sampled_from(names)))
    order = data.draw(st.permutations(names))
    lasts = {name: data.draw(st.integers(0, 3)) for name in names}
    options = SweepOptions(tmp_path_factory.mktemp("sweep"), {"seed": 1})
    runs = pretended_runs({name: needs[name] for name in order})

    def doomed(name: str) -> bool:
        return name in failing or any(doomed(need) for need in needs[name])

    first = Pretended(slots, failing, lasts.__getitem__)
    told: list[str] = []
    outcomes = Sweep(runs, options).run(first, told.append)
    for name in names:
        stopped = any(doomed(need) for need in needs[name])
        expected = "waiting" if stopped else "failed" if name in failing else "done"
        assert outcomes[name].state == expected
        assert (name in first.started) == (not stopped)
        assert all(first.started.index(need) < first.started.index(name) for need in needs[name] if not stopped)
    assert len(first.started) == len(set(first.started))
    assert sum(line.startswith("[") for line in told) == len(names)

    second = Pretended(slots)
    again = Sweep(runs, options).run(second, told.append)
    assert sorted(second.started) == sorted(name for name in names if doomed(name))
    assert {name for name in names if again[name].state == "kept"} == {name for name in names if not doomed(name)}
    assert Sweep(runs, options).run(Pretended(slots)) == dict.fromkeys(names, Outcome("kept"))


def test_an_interruption_ends_the_jobs_that_run(tmp_path: Path) -> None:
    class Interrupted(Pretended):
        def start(self, job: Job) -> PretendedHandle:
            if len(self.running) == 2:
                raise KeyboardInterrupt
            return super().start(job)

    launcher = Interrupted(3, steps=lambda name: 10**9)
    with pytest.raises(KeyboardInterrupt):
        Sweep(pretended_runs({"a": (), "b": (), "c": ()}), SweepOptions(tmp_path, {})).run(launcher)
    assert launcher.cancelled == ["a", "b"]


def test_a_run_that_ends_without_its_scores_has_failed(tmp_path: Path) -> None:
    class Silent(Pretended):
        def start(self, job: Job) -> Any:
            handle = super().start(job)
            handle.poll = lambda: ""  # type: ignore[method-assign]
            return handle

    outcomes = Sweep(pretended_runs({"a": ()}), SweepOptions(tmp_path, {})).run(Silent(1))
    assert (outcomes["a"].state, outcomes["a"].detail) == ("failed", "ended without its scores")


# Real runs, of two tasks and two steps.


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


@pytest.fixture(scope="module")
def mapping(tiny_corpus: Path) -> dict[str, Any]:
    few = {"superb": {task: {"train_batch": {"size": 2}} for task in TASKS}, "steps": 2}
    return merge(
        load_yaml(find_config("scenarios_mini")),
        {
            "corpus_root": str(tiny_corpus),
            "tasks": list(TASKS),
            "runner": {"total_steps": 2, "warmup_steps": 0, "save_step": 1, "log_step": 1, "eval_at_start": False},
            "ssl": few,
            "transfer": few,
        },
    )


class Breaking(InProcess):
    """Carries out so many jobs, then none."""

    def __init__(self, count: int) -> None:
        self.count = count

    def start(self, job: Job) -> Any:
        self.count -= 1
        if self.count < 0:
            raise KeyboardInterrupt
        return super().start(job)


def options(root: Path, hubert: Path, **changes: Any) -> SweepOptions:
    args = {"upstream": "hubert_local", "upstream_ckpt": str(hubert), "device": "cpu", "seed": 3}
    return SweepOptions(root, {**args, **changes.pop("args", {})}, **changes)


def every_run(mapping: dict[str, Any]) -> list[Run]:
    return [*scenarios.all_task(mapping), *scenarios.transfer(mapping)]


@pytest.fixture(scope="module")
def swept(mapping: dict[str, Any], hubert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """All four scenarios, cut off after three runs and started again; and what the second start told."""
    root = tmp_path_factory.mktemp("sweep") / "seed3"
    assert {o.state for o in Sweep(scenarios.ssl(mapping), options(root, hubert)).run(InProcess()).values()} == {"done"}
    with pytest.raises(KeyboardInterrupt):
        Sweep(every_run(mapping), options(root, hubert)).run(Breaking(2))
    begun = root / "transfer" / "ks"
    assert not begun.exists()
    before = stamps(root)
    told: list[str] = []
    Sweep(every_run(mapping), options(root, hubert)).run(InProcess(), told.append)
    assert {path: stamp for path, stamp in stamps(root).items() if path in before} == before
    return root, told


def stamps(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def model(folder: Path) -> dict[str, Any]:
    saved: dict[str, Any] = checkpoint.load_tensors(checkpoint.newest_whole(folder)[0], "model")
    return saved


def test_a_sweep_started_again_does_what_is_missing(swept: tuple[Path, list[str]], mapping: dict[str, Any]) -> None:
    root, told = swept
    started = [line for line in told if ": started" in line]
    assert started == [
        "leave_one_out/er: started with trained heads of ks", "transfer/ks: started", "transfer/er: started",
    ]  # fmt: skip
    for run in [*scenarios.ssl(mapping), *every_run(mapping)]:
        assert is_finished(root / run.name, run.config, [(task, "test") for task in run.config["tasks"]])
        results = json.loads((root / run.name / "results.json").read_text())
        assert results["about"]["seed"] == 3 and results["about"]["finetuned"] == run.trainable


def test_transfer_keeps_the_encoder_of_the_run_that_left_its_task_out(swept: tuple[Path, list[str]]) -> None:
    root, _ = swept
    encoders = {}
    for task, other in (TASKS, TASKS[::-1]):
        source, target = model(root / "leave_one_out" / task), model(root / "transfer" / task)
        assert list(source["labels"]) == [other] and list(target["labels"]) == [task]
        assert source["upstream"].keys() == target["upstream"].keys()
        assert all(torch.equal(tensor, target["upstream"][name]) for name, tensor in source["upstream"].items())
        encoders[task] = source["upstream"]
    assert not all(torch.equal(tensor, encoders["er"][name]) for name, tensor in encoders["ks"].items())
    assert "upstream" not in model(root / "ssl" / "ks")


def test_a_transfer_run_can_be_evaluated_after_the_runs_it_came_from_are_gone(
    swept: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, _ = swept
    moved = tmp_path / "moved"
    shutil.copytree(root / "transfer" / "ks", moved)
    saved, _ = checkpoint.newest_whole(moved)
    args = stock_args(**{**saved.args, "past_exp": str(moved), "init_upstream": str(tmp_path / "gone")})
    scores = Experiment(args, saved.config).evaluate("test")
    kept = json.loads((root / "transfer" / "ks" / "results.json").read_text())["scores"]
    assert scores["ks", "test"] == kept["ks"]["test"]


def test_joint_runs_start_their_heads_from_those_trained_alone(
    swept: tuple[Path, list[str]], mapping: dict[str, Any], hubert: Path, tmp_path: Path
) -> None:
    root, _ = swept
    assert json.loads((root / "all_task" / "results.json").read_text())["about"]["init_heads"] == ["er", "ks"]
    [run] = scenarios.all_task(mapping)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "ssl").symlink_to(root / "ssl")
    for heads in ("auto", "ssl", "scratch"):
        job = Sweep([run], options(tmp_path / "new", hubert, heads=heads)).jobs["all_task"]
        built = Experiment(stock_args(**job.args), job.config).model
        for task in TASKS:
            alone = model(root / "ssl" / task)
            same = [torch.equal(t, alone["heads"][f"{task}.{n}"]) for n, t in built.heads[task].state_dict().items()]
            same.append(torch.equal(built.featurizers[task].weights, alone["featurizers"][f"{task}.weights"]))
            assert all(same) if heads != "scratch" else not any(same)


def test_missing_heads_are_an_error_only_where_they_are_demanded(
    mapping: dict[str, Any], hubert: Path, tmp_path: Path
) -> None:
    runs = scenarios.all_task(mapping, (1, 2))
    assert Sweep(runs, options(tmp_path, hubert)).jobs["all_task"].args["init_heads"] == {}
    with pytest.raises(ConfigError, match=r"ssl/ks is not finished; run `s3prl-plugins finetune ssl -p .*` first"):
        Sweep(runs, options(tmp_path, hubert, heads="ssl"))


def test_other_folds_of_er_take_no_head_of_the_first(
    swept: tuple[Path, list[str]], mapping: dict[str, Any], hubert: Path
) -> None:
    root, _ = swept
    runs = scenarios.all_task(mapping, (1, 2))
    assert set(Sweep(runs, options(root, hubert)).jobs["all_task_er_fold2"].args["init_heads"]) == {"ks"}
    with pytest.raises(ConfigError, match=r"ssl_er_fold2 is not finished; run .* --er-folds 2` first"):
        Sweep(runs, options(root, hubert, heads="ssl"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"args": {"seed": 4}}, "was made with seed = 3, now asked for is 4"),
        ({"args": {"upstream": "fbank", "upstream_ckpt": None}}, "was made with upstream = 'hubert_local', now"),
        (
            {"args": {"upstream_ckpt": "other.pt"}},
            "was made with upstream_ckpt = 'tiny.pt', now asked for is 'other.pt'",
        ),
        ({"heads": "scratch"}, r"was made with init_heads = \['er', 'ks'\], now asked for is \[\]"),
    ],
)
def test_a_folder_made_otherwise_is_not_taken(
    change: dict[str, Any], message: str, swept: tuple[Path, list[str]], mapping: dict[str, Any], hubert: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        Sweep(scenarios.all_task(mapping), options(swept[0], hubert, **change))


def test_a_folder_made_with_another_configuration_is_not_taken_but_one_that_only_logs_otherwise_is(
    swept: tuple[Path, list[str]], mapping: dict[str, Any], hubert: Path
) -> None:
    changed = merge(mapping, {"optimizer": {"heads": {"lr": 0.5}}})
    with pytest.raises(ConfigError, match="made with config.optimizer.heads.lr = 0.002, now asked for is 0.5; choose"):
        Sweep(scenarios.all_task(changed), options(swept[0], hubert))
    Sweep(scenarios.ssl(changed), options(swept[0], hubert))  # a head alone has a rate of its own
    harmless = merge(mapping, {"runner": {"log_step": 7, "num_workers": 1}, "corpus_root": "elsewhere"})
    assert Sweep(scenarios.all_task(harmless), options(swept[0], hubert)).finished == {"all_task"}


def test_a_half_done_run_is_continued(
    swept: tuple[Path, list[str]], mapping: dict[str, Any], hubert: Path, tmp_path: Path
) -> None:
    shutil.copytree(swept[0], tmp_path / "cut")
    folder = tmp_path / "cut" / "all_task"
    whole = model(folder)
    (folder / "states-2.ckpt").unlink()
    shutil.rmtree(folder / "checkpoints" / "2")
    (folder / "results.json").unlink()
    told: list[str] = []
    outcomes = Sweep(scenarios.all_task(mapping), options(tmp_path / "cut", hubert)).run(InProcess(), told.append)
    assert told[0] == "all_task: continued" and outcomes["all_task"].state == "done"
    for part in ("upstream", "heads", "featurizers"):
        assert all(torch.equal(tensor, whole[part][name]) for name, tensor in model(folder)[part].items())


def test_a_joint_run_is_scored_on_no_fold_that_it_was_trained_on(
    swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = swept
    assert er_fold_of(root / "all_task") == er_fold_of(root / "leave_one_out" / "ks") == "fold1"
    assert er_fold_of(root / "leave_one_out" / "er") is None
    saved, _ = checkpoint.newest_whole(root / "all_task")
    args = stock_args(**{**saved.args, "past_exp": str(root / "all_task"), "downstream_variant": "fold2"})
    with pytest.raises(SystemExit, match="2"):
        MultitaskRunner(args, saved.config)
    assert "ER's fold2 cannot be scored with" in capsys.readouterr().err
    other = merge(saved.config, {"superb": {"er": {"corpus": {"fold": "fold2"}}}})
    for start in ({"init_ckpt": str(root / "all_task")}, {"init_heads": {"er": str(root / "ssl" / "er")}}):
        with pytest.raises(ConfigError, match="it kept fold1 out of training and has seen fold2's test session"):
            Experiment(stock_args(**{**saved.args, "init_heads": {}, **start}), other)


def test_a_run_in_other_hands_is_left_alone(mapping: dict[str, Any], hubert: Path, tmp_path: Path) -> None:
    import fcntl
    import os

    from s3prl_plugins.sweep.job import execute

    job = Sweep(scenarios.ssl(mapping, ["ks"]), options(tmp_path, hubert)).jobs["ssl/ks"]
    job.folder.mkdir(parents=True)
    descriptor = os.open(job.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="ssl/ks is in the hands of another process"):
            execute(job)
    finally:
        os.close(descriptor)
    assert list(job.folder.iterdir()) == []


def test_training_that_is_through_but_not_scored_is_scored(
    swept: tuple[Path, list[str]], mapping: dict[str, Any], hubert: Path, tmp_path: Path
) -> None:
    shutil.copytree(swept[0] / "ssl", tmp_path / "ssl")
    results = tmp_path / "ssl" / "ks" / "results.json"
    before = results.read_text()
    results.unlink()
    sweep = Sweep(scenarios.ssl(mapping), options(tmp_path, hubert))
    assert sweep.finished == {"ssl/er"}
    train_and_score(sweep.jobs["ssl/ks"].args, sweep.jobs["ssl/ks"].config, "test")
    assert results.read_text() == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_jobs_together_and_starts_no_more(number: int, status: int, tmp_path: Path) -> None:
    calls: list[tuple[str, str]] = []

    class Handle(PretendedHandle):
        def poll(self) -> str | None:
            calls.append(("poll", self.job.name))
            if self.job.name == "b":
                signal.raise_signal(number)
            return None

        def ask(self) -> None:
            calls.append(("ask", self.job.name))

        def cancel(self) -> None:
            calls.append(("cancel", self.job.name))

    class Apart(Pretended):
        apart = True

        def start(self, job: Job) -> PretendedHandle:
            return Handle(self, super().start(job).job, 0)

    runs = pretended_runs({"a": (), "b": (), "c": ()})
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="with its jobs; the same command goes on with them") as ended:
        Sweep(runs, SweepOptions(tmp_path, {})).run(Apart(2), lambda line: None)
    assert ended.value.status == status and signal.getsignal(number) == before
    assert calls == [(what, name) for what in ("poll", "ask", "cancel") for name in "ab"]
