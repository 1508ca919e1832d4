"""Joint runs end to end on the tiny corpus: train, stop, continue, evaluate, move, infer."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import s3prl_plugins
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CheckpointError, ConfigError, CorpusError
from s3prl_plugins.files import write_checked
from s3prl_plugins.inference.calibration import calibration
from s3prl_plugins.inference.formats import text
from s3prl_plugins.logs import logged_scores, read_metrics
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import MultitaskRunner, stock_args
from s3prl_plugins.report.page import write_page
from s3prl_plugins.superb.cards import FINETUNED_TASKS, card
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


def mapping(corpus: Path, tasks: tuple[str, ...] = FINETUNED_TASKS, **runner: Any) -> dict[str, Any]:
    config = load_yaml(find_config("all_task_mini"))
    small = {"warmup_steps": 1, "log_step": 1, "save_step": 2, "eval_at_start": False, **runner}
    sizes = {name: {"train_batch": {"size": 1}} for name in FINETUNED_TASKS}
    return merge(config, {"corpus_root": str(corpus), "tasks": list(tasks), "runner": small, "superb": sizes})


def arguments(folder: Path, hubert: Path, **given: Any) -> argparse.Namespace:
    chosen = {"upstream": "hubert_local", "upstream_ckpt": str(hubert), "upstream_trainable": True, **given}
    return stock_args(expdir=str(folder), device="cpu", seed=3, **chosen)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def collect(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                collect(f"{prefix}/{key}", inner)
        elif isinstance(value, torch.Tensor):
            found[prefix] = value

    newest, _ = checkpoint.newest_whole(folder)
    for part in ("model", "training"):
        collect(part, checkpoint.load_tensors(newest, part))
    return found


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, hubert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps of all nine tasks, evaluated before and after."""
    folder = tmp_path_factory.mktemp("run") / "all_task"
    config = mapping(tiny_corpus, total_steps=4, eval_step=4, eval_at_start=True, max_keep=3)
    Experiment(arguments(folder, hubert), config).train()
    return folder


def test_every_task_is_trained_logged_and_evaluated(finished: Path, hubert: Path) -> None:
    entries = read_metrics(finished)
    steps = [entry for entry in entries if "train/asr/loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3, 4]
    assert all(f"train/{task}/loss" in entry for task in FINETUNED_TASKS for entry in steps)
    for step in (0, 4):
        scores = logged_scores(finished, step)
        assert {(task, card(task).dev) for task in FINETUNED_TASKS} <= set(scores)
        for task in FINETUNED_TASKS:
            assert {metric.name for metric in card(task).metrics} <= set(scores[task, card(task).dev])
            assert ("loss" in scores[task, card(task).dev]) == (not card(task).open_set)
    assert list(finished.glob("events.out.tfevents.*"))


def test_a_run_cut_off_and_continued_ends_bit_identical(
    finished: Path, tiny_corpus: Path, hubert: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(finished, cut)
    (cut / "states-4.ckpt").unlink()
    shutil.rmtree(cut / "checkpoints" / "4")
    saved, _ = checkpoint.newest_whole(cut)
    Experiment(argparse.Namespace(**{**saved.args, "past_exp": str(cut)}), saved.config).train()
    straight, continued = tensors(finished), tensors(cut)
    assert straight.keys() == continued.keys() and len(straight) > 200
    assert [name for name in straight if not torch.equal(straight[name], continued[name])] == []

    def without_clock(folder: Path) -> list[dict[str, float]]:
        return [{k: v for k, v in e.items() if "audio_seconds" not in k} for e in read_metrics(folder)]

    assert without_clock(finished) == without_clock(cut)


def test_evaluating_twice_gives_the_same_numbers_and_files_even_after_a_move(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(finished, moved)
    contents = []
    for _ in range(2):
        saved, _ = checkpoint.newest_whole(moved)
        args = argparse.Namespace(**{**saved.args, "past_exp": str(moved), "init_ckpt": str(saved.path)})
        runner = MultitaskRunner(args, saved.config)
        runner.evaluate()
        files = [
            path for path in moved.rglob("*") if path.is_file() and path.suffix in (".ark", ".txt", ".csv", ".json")
        ]
        contents.append({path: path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert "eer" in capsys.readouterr().out
    results = json.loads((moved / "results.json").read_text())
    assert results["step"] == 4 and set(results["scores"]) == set(FINETUNED_TASKS)
    assert results["calibration"].keys() == {"sd", "asv"}
    loaded = s3prl_plugins.load(moved, "cpu")
    assert loaded.calibration == results["calibration"] and loaded.calibration["sd"].keys() == {"threshold", "median"}
    assert loaded.calibration == calibration(loaded.joint, runner.experiment.tasks)
    write_checked(moved / "results.json", {**results, "step": 2})
    assert s3prl_plugins.load(moved, "cpu").calibration == {}
    write_checked(moved / "results.json", results)
    for task in FINETUNED_TASKS:
        entry = card(task)
        assert {metric.name for metric in entry.metrics} <= set(results["scores"][task][entry.test])
        first = entry.predictions[0].format(split=entry.test, fold="fold1", recording="*")
        assert list((moved / task).glob(first)), first
    assert "<svg" in write_page(moved).read_text()


def without_dev(task: str) -> dict[str, float]:
    raise CorpusError("split 'dev' is missing; complete the corpus")


def test_tasks_and_splits_can_be_named(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    saved, _ = checkpoint.newest_whole(folder)
    experiment = Experiment(argparse.Namespace(**{**saved.args, "past_exp": str(folder)}), saved.config)
    assert set(experiment.evaluate("asr:test-clean,ks:dev")) == {("asr", "test-clean"), ("ks", "dev")}
    monkeypatch.setattr(experiment.evaluator, "settings", without_dev)  # a threshold that no score needs
    assert experiment.evaluate("asv:test")["asv", "test"]["eer"] >= 0
    results = json.loads((folder / "results.json").read_text())
    assert set(results["scores"]) == {"asr", "ks", "asv"} and "calibration" not in results
    with pytest.raises(ConfigError, match="task 'ks' has no split 'tst'; did you mean 'test'"):
        experiment.splits("ks:tst")
    with pytest.raises(ConfigError, match="names task 'qbe', which this run does not have"):
        experiment.splits("qbe:dev")


def test_every_task_answers_for_one_file(finished: Path, tiny_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, _ = checkpoint.newest_whole(finished)
    wave = next((tiny_corpus / "SNIPS").rglob("*.wav"))
    args = {**saved.args, "past_exp": str(finished), "evaluate_split": str(wave)}
    MultitaskRunner(argparse.Namespace(**args), saved.config).inference()
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{wave} (") and {line.split()[0] for line in lines} == set(FINETUNED_TASKS)
    model = s3prl_plugins.load(finished, "cpu")
    assert [first, *lines] == text(model(wave, as_evaluated=True)).splitlines()


def test_any_upstream_of_the_hub_stays_frozen_if_asked(tiny_corpus: Path, hubert: Path, tmp_path: Path) -> None:
    args = arguments(tmp_path / "fbank", hubert, upstream="fbank", upstream_ckpt=None, upstream_trainable=False)
    config = mapping(tiny_corpus, ("ks", "sd", "pr"), total_steps=2)
    experiment = Experiment(args, config)
    experiment.train()
    saved = checkpoint.load_tensors(checkpoint.newest_whole(tmp_path / "fbank")[0], "model")
    assert "upstream" not in saved
    assert set(experiment.evaluate("dev")) == {("ks", "dev"), ("sd", "dev"), ("pr", "dev")}


def test_a_run_can_start_from_the_weights_of_another(
    finished: Path, tiny_corpus: Path, hubert: Path, tmp_path: Path
) -> None:
    newest, _ = checkpoint.newest_whole(finished)
    args = arguments(tmp_path / "next", hubert, init_ckpt=str(newest.path))
    experiment = Experiment(args, mapping(tiny_corpus, total_steps=1))
    saved = checkpoint.load_tensors(newest, "model")["heads"]
    assert all(torch.equal(tensor, saved[name]) for name, tensor in experiment.model.heads.state_dict().items())
    assert experiment.folder == tmp_path / "next"


def test_a_folder_that_holds_a_run_is_not_overwritten(finished: Path, tiny_corpus: Path, hubert: Path) -> None:
    with pytest.raises(ConfigError, match="already holds a run; continue it with -a"):
        Experiment(arguments(finished, hubert), mapping(tiny_corpus, ("ks",), total_steps=1)).train()


def test_a_checkpoint_of_other_heads_is_refused(
    finished: Path, tiny_corpus: Path, hubert: Path, tmp_path: Path
) -> None:
    newest, _ = checkpoint.newest_whole(finished)
    config = merge(mapping(tiny_corpus, total_steps=1), {"superb": {"ks": {"head": {"hidden_size": 7}}}})
    with pytest.raises(CheckpointError, match="does not fit this model .*ks"):
        Experiment(arguments(tmp_path / "x", hubert, init_ckpt=str(newest.path)), config)


def test_the_expert_works_under_s3prls_own_runner(tiny_corpus: Path, hubert: Path, tmp_path: Path) -> None:
    from s3prl.downstream import runner as stock

    args = arguments(tmp_path / "stock", hubert, downstream="multitask")
    tasks = ("ks", "sd", "asv")
    config = mapping(tiny_corpus, tasks, total_steps=4, eval_step=4, eval_dataloaders=["dev"], gradient_clipping=1.0)
    config["optimizer"] = {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1e-3}
    (tmp_path / "stock").mkdir()
    single = stock.Runner.__mro__[1](args, config)
    single.train()
    assert (tmp_path / "stock" / "ks" / "dev_predict.txt").is_file()
    assert (tmp_path / "stock" / "states-4.ckpt").is_file()
