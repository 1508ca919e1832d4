"""`s3prl-plugins choose` end to end on the tiny corpus."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import s3prl_plugins
from s3prl_plugins.choosing.choice import choose
from s3prl_plugins.choosing.dev_scores import Measuring
from s3prl_plugins.choosing.rules import parse_rule
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.export import encoder_content
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.tasks import TaskData
from s3prl_plugins.report.page import write_page
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

TASKS = ("ks", "asv")


def experiment(corpus: Path, folder: Path, tasks: tuple[str, ...], trainable: bool, **runner: Any) -> Experiment:
    small = {"warmup_steps": 0, "save_step": 1, "log_step": 1, "eval_at_start": False, **runner}
    sizes = {name: {"train_batch": {"size": 1}} for name in tasks}
    changes: dict[str, Any] = {"corpus_root": str(corpus), "tasks": list(tasks), "runner": small, "superb": sizes}
    changes["exclude_other_tests"] = False  # would read the names in the test lists
    hubert = folder.parents[0] / "tiny.pt" if trainable else folder.parents[1] / "tiny.pt"
    args = stock_args(
        expdir=str(folder), upstream="hubert_local", upstream_ckpt=str(hubert), upstream_trainable=trainable,
        device="cpu", seed=3,
    )  # fmt: skip
    return Experiment(args, merge(load_yaml(find_config("all_task_mini")), changes))


@pytest.fixture(scope="module")
def sweep(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads alone, and a joint run of three steps that logged its dev scores at the first two."""
    root = tmp_path_factory.mktemp("sweep")
    write_checkpoint(root / "tiny.pt", random_checkpoint("tiny", 0))
    for task in TASKS:
        experiment(tiny_corpus, root / "ssl" / task, (task,), False, total_steps=1, eval_step=1).train()
    experiment(tiny_corpus, root / "all_task", TASKS, True, total_steps=3, eval_step=1, max_keep=3).train()
    lines = (root / "all_task" / "metrics.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["step"] < 3 or "dev/ks/acc" not in line]
    (root / "all_task" / "metrics.jsonl").write_text("".join(kept))
    return root


@pytest.fixture(autouse=True)
def no_test_split(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Reading a test split is an error."""
    read: list[str] = []
    real = TaskData.examples

    def examples(self: TaskData, split: str) -> Any:
        assert split != self.config.card.test, "a test split was read"
        read.append(f"{self.config.task}:{split}")
        return real(self, split)

    monkeypatch.setattr(TaskData, "examples", examples)
    yield read


def weights(folder: Path, step: int | None = None) -> dict[str, torch.Tensor]:
    found = checkpoint.read(folder / f"states-{step}.ckpt") if step else checkpoint.newest_whole(folder)[0]
    model = checkpoint.load_tensors(found, "model")
    return {f"{part}.{k}": v for part in ("upstream", "featurizers", "heads") for k, v in model[part].items()}


def edited(sweep: Path, folder: Path, values: dict[int, dict[str, float]]) -> Path:
    """The run with these dev scores in its log."""
    shutil.copytree(sweep / "all_task", folder)
    entries = [entry for entry in read_metrics(folder) if "train/ks/loss" in entry]
    entries += [{"step": step, "dev/ks/acc": own["ks"], "dev/asv/eer": own["asv"]} for step, own in values.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return folder


def test_mean_becomes_a_run_folder_that_everything_takes(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_test_split: list[str]
) -> None:
    run, target = sweep / "all_task", tmp_path / "chosen"
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    assert main(["choose", str(run), "--rule", "mean", "-o", str(target)]) == 0
    assert before == {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    said = capsys.readouterr().out
    results = json.loads((target / "results.json").read_text())
    chosen, logged = results["about"]["chosen"], read_metrics(run)
    assert chosen["rule"] == "mean" and list(chosen["candidates"]) == ["1", "2", "3"]
    [step] = chosen["steps"]
    assert step == results["step"] and f"mean: step {step}" in said and "mean gain" in said
    for number in (1, 2):
        recorded = next(entry for entry in logged if entry["step"] == number and "dev/ks/acc" in entry)
        assert chosen["candidates"][str(number)]["dev"]["ks"] == recorded["dev/ks/acc"]
    means = {int(key): one["mean_gain"] for key, one in chosen["candidates"].items()}
    assert means[step] == max(means.values())
    gains = chosen["candidates"][str(step)]["gain"]
    assert gains.keys() == set(TASKS) and means[step] == pytest.approx(sum(gains.values()) / 2)
    assert set(no_test_split) == {"ks:dev", "asv:dev"}

    mine, original = weights(target), weights(run, step)
    assert mine.keys() == original.keys() and all(torch.equal(mine[name], original[name]) for name in mine)
    assert results["scores"]["ks"]["dev"]["acc"] == chosen["candidates"][str(step)]["dev"]["ks"]
    loaded = s3prl_plugins.load(target, "cpu")
    assert loaded.calibration == results["calibration"] and "threshold" in loaded.calibration["asv"]
    assert encoder_content(target)["mtl"]["step"] == step
    assert "mean_gain" in write_page(target).read_text()
    Measuring().experiment(checkpoint.newest_whole(target)[0]).evaluate("ks:dev")
    assert json.loads((target / "results.json").read_text())["about"]["chosen"] == chosen
    with pytest.raises(CheckpointError, match=r"training\.pt cannot be read"):
        Measuring().experiment(checkpoint.newest_whole(target)[0]).train()
    assert main(["choose", str(run), "--rule", "mean", "-o", str(target)]) == 2
    assert f"{target} exists; choose another name" in capsys.readouterr().err


def test_scores_decide_between_mean_worst_and_last(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep / "ssl", tmp_path / "ssl")
    for task, name, value in (("ks", "acc", 50.0), ("asv", "eer", 40.0)):
        (tmp_path / "ssl" / task / "metrics.jsonl").write_text(json.dumps({"step": 1, f"dev/{task}/{name}": value}))
    values = {1: {"ks": 52.0, "asv": 39.0}, 2: {"ks": 90.0, "asv": 44.0}, 3: {"ks": 60.0, "asv": 45.0}}
    run = edited(sweep, tmp_path / "all_task", values)
    taken = {}
    for name in ("mean", "worst", "last", "per-task", "soup:2"):
        choice = choose(run, parse_rule(name), None, Measuring(Path("nowhere")))
        taken[name] = choice.by_task or choice.steps
    assert taken == {"mean": (2,), "worst": (1,), "last": (3,), "per-task": {"ks": 2, "asv": 1}, "soup:2": (2, 3)}
    assert choice.gains[2] == {"ks": pytest.approx(0.8), "asv": pytest.approx(-0.1)}
    assert choice.together(2) == (pytest.approx(0.35), pytest.approx(-0.1))


def test_a_soup_has_the_mean_of_every_weight(sweep: Path, tmp_path: Path) -> None:
    assert main(["choose", str(sweep / "all_task"), "--rule", "soup:2", "-o", str(tmp_path / "soup")]) == 0
    soup, older, newer = weights(tmp_path / "soup"), weights(sweep / "all_task", 2), weights(sweep / "all_task", 3)
    for name, value in soup.items():
        if value.is_floating_point():
            assert torch.equal(value, ((older[name].double() + newer[name].double()) / 2).to(value.dtype)), name
    assert not torch.equal(soup["heads.ks.network.final_proj.weight"], newer["heads.ks.network.final_proj.weight"])
    results = json.loads((tmp_path / "soup" / "results.json").read_text())
    assert results["about"]["chosen"]["steps"] == [2, 3] and set(results["scores"]) == set(TASKS)


def test_per_task_writes_a_folder_for_each_checkpoint_that_is_best_for_some_task(sweep: Path, tmp_path: Path) -> None:
    values = {1: {"ks": 52.0, "asv": 39.0}, 2: {"ks": 90.0, "asv": 44.0}, 3: {"ks": 60.0, "asv": 45.0}}
    run = edited(sweep, tmp_path / "run", values)
    assert main(["choose", str(run), "--rule", "per-task", "-o", str(tmp_path / "best")]) == 0
    results = json.loads((tmp_path / "best" / "results.json").read_text())
    assert results["about"]["chosen"]["steps"] == {"ks": 2, "asv": 1} and results["about"]["tasks"] == list(TASKS)
    for step, task in ((2, "ks"), (1, "asv")):
        folder = tmp_path / "best" / f"step-{step}"
        mine, original = weights(folder), weights(run, step)
        assert {name for name in mine if name.startswith("heads.")} == {
            name for name in original if name.startswith(f"heads.{task}.")
        }
        assert all(torch.equal(value, original[name]) for name, value in mine.items())
        own = json.loads((folder / "results.json").read_text())
        assert own["scores"].keys() == {task} and own["scores"][task] == results["scores"][task]
    assert "per-task" in write_page(tmp_path / "best").read_text()


def test_what_is_missing_is_said_in_one_line(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_corpus: Path
) -> None:
    run = tmp_path / "alone"
    shutil.copytree(sweep / "all_task", run)
    with pytest.raises(ConfigError, match="none lie beside .*name the folder of `s3prl-plugins finetune ssl`"):
        choose(run, parse_rule("mean"), None, Measuring())
    with pytest.raises(ConfigError, match=r"soup:4 needs 4 checkpoints, .* has kept 3; .*max_keep"):
        choose(run, parse_rule("soup:4"), None, Measuring())
    with pytest.raises(CheckpointError, match=r"holds no whole states-\*\.ckpt"):
        choose(tmp_path, parse_rule("last"), None, Measuring())

    single = tmp_path / "single"
    shutil.copytree(sweep / "ssl" / "ks", single / "ssl" / "ks")
    with pytest.raises(ConfigError, match=r"no baseline for asv: .*asv holds no run; make it with"):
        choose(run, parse_rule("worst"), single, Measuring())
    known = choose(run, parse_rule("last"), single, Measuring())
    assert known.gains[1].keys() == {"ks"} and known.together(1) is None and known.gains[3] == {}

    state = torch.load(single / "ssl" / "ks" / "states-1.ckpt", weights_only=False)
    for key, value, message in (
        (("runner", "total_steps"), 9, "is at step 1 of 9; let it finish"),
        (("size",), "paper", "has size paper, the run .* mini"),
    ):
        changed = merge(state["Config"], {key[0]: {key[1]: value} if key[1:] else value})
        torch.save({**state, "Config": changed}, single / "ssl" / "ks" / "states-1.ckpt")
        with pytest.raises(ConfigError, match=message):
            choose(run, parse_rule("mean"), single, Measuring())
        assert choose(run, parse_rule("last"), single, Measuring()).gains[1] == {}

    (run / "checkpoints" / "3" / "model.pt").write_bytes(b"torn")
    said: list[str] = []
    assert choose(run, parse_rule("last"), sweep, Measuring(), said.append).steps == (2,)
    assert len(said) == 1 and "states-3.ckpt is passed over, it is damaged" in said[0]
    target = tmp_path / "broken"
    nowhere = ["--corpus-root", str(tmp_path / "nowhere")]
    assert main(["choose", str(run), "--rule", "last", "-o", str(target), *nowhere]) == 2
    assert "nowhere" in capsys.readouterr().err and not target.exists()
