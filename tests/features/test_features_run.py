"""The feature store in runs: the same numbers as without it, no audio read twice, the same end after any interruption."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.features.utterances import FRESH, crop_generator, training_draw, utterance
from s3prl_plugins.heads import audio
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config, run_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.folder import undone_on_error
from s3prl_plugins.multitask.shelves import task_kind
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.multitask.tasks import read_tasks
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.seeding import generator
from s3prl_plugins.superb.cards import FINETUNED_TASKS, card
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

SOME = ("pr", "ks", "asv")
"""Frames of whole utterances, means over time with random silences, and crops."""


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def mapping(corpus: Path, tasks: tuple[str, ...] = SOME, size: int = 2, **changes: Any) -> dict[str, Any]:
    """A short run of the mini recipe; without SpecAugment, so that KS, IC, SID and ER need means only."""
    given = {
        "corpus_root": str(corpus),
        "tasks": list(tasks),
        "specaug": None,
        "encoder": {"crops": "fixed", "conv_grad_mult": None, "store_kind": "float16"},
        "superb": {name: {"train_batch": {"size": size}} for name in FINETUNED_TASKS},
        "runner": {"total_steps": 4, "warmup_steps": 0, "log_step": 1, "save_step": 2, "max_keep": 3, "eval_at_start": False},
    }  # fmt: skip
    return merge(merge(load_yaml(find_config("scenarios_mini")), given), changes)


def arguments(folder: Path, hubert: Path, **given: Any) -> argparse.Namespace:
    chosen = {"upstream": "hubert_local", "upstream_ckpt": str(hubert), "upstream_trainable": False, **given}
    return stock_args(expdir=str(folder), device="cpu", seed=3, **chosen)


def trained(folder: Path, hubert: Path, config: dict[str, Any], **given: Any) -> Experiment:
    experiment = Experiment(arguments(folder, hubert, **given), config)
    experiment.train()
    return experiment


def weights(folder: Path) -> dict[str, torch.Tensor]:
    saved = checkpoint.load_tensors(checkpoint.newest_whole(folder)[0], "model")
    return {f"{part}.{name}": tensor for part in ("heads", "featurizers") for name, tensor in saved[part].items()}


def losses(folder: Path) -> list[dict[str, float]]:
    return [{key: value for key, value in entry.items() if key.endswith("/loss")} for entry in read_metrics(folder)]


def different(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    assert one.keys() == other.keys() and one
    return [name for name in one if not torch.equal(one[name], other[name])]


@pytest.mark.parametrize("task", FINETUNED_TASKS)
def test_equal_keys_mean_equal_samples(task: str, tiny_corpus: Path) -> None:
    data = read_tasks(run_config(mapping(tiny_corpus, (task,))).task_configs, tiny_corpus)[task]
    heard: dict[Any, torch.Tensor] = {}
    cropped = 0
    for split in (card(task).train, card(task).dev):
        examples = data.examples(split)
        crops = [example for example in examples if data.reader.crop(example) is not None]
        for example in [*examples[:4], *crops[:4]]:
            entry = utterance(data.reader, example, None)
            wave = data.reader.waveform(example, None)
            assert entry is not None and torch.equal(heard.setdefault(entry, wave), wave)
            if split == card(task).dev:
                continue
            first, second = (data.reader.waveform(example, generator(seed, "draw")) for seed in (1, 2))
            fresh, fixed = (utterance(data.reader, example, draw) for draw in (FRESH, training_draw("fixed", 3)))
            seconds = data.reader.crop(example)
            if seconds is None:
                assert fresh == fixed == entry and torch.equal(first, wave) and torch.equal(second, wave)
            else:
                cropped += 1
                assert fresh is None and fixed is not None and fixed != entry
                assert fixed != utterance(data.reader, example, training_draw("fixed", 4))
                assert len(first) <= seconds * 16000
                again = [data.reader.waveform(example, crop_generator(3, data.reader, example)) for _ in range(2)]
                assert torch.equal(*again)
    assert (cropped > 0) == (task in ("ks", "asv", "sid"))


@pytest.mark.parametrize("crops", ["fresh", "fixed"])
def test_fixed_crops_come_again_fresh_ones_do_not(crops: Any, tiny_corpus: Path) -> None:
    data = read_tasks(run_config(mapping(tiny_corpus, ("asv",))).task_configs, tiny_corpus)["asv"]
    chosen = [example for example in data.examples("train") if data.reader.crop(example)][:3]
    stream = TaskStream(data.reader, chosen, data.config.train_batch, 0, crops=crops)
    epochs: list[dict[str, torch.Tensor]] = [{}, {}]
    for epoch in epochs:
        while len(epoch) < len(chosen):
            batch = stream.next()
            epoch.update({e.name: wave for e, wave in zip(batch.examples, batch.waves) if wave is not None})
    same = [torch.equal(epochs[0][e.name], epochs[1][e.name]) for e in chosen]
    assert all(same) if crops == "fixed" else not any(same)


def test_a_crop_cannot_be_cut_out_of_the_states_of_the_whole(hubert: Path, tiny_corpus: Path) -> None:
    """Why crops are computed from their own samples: GroupNorm over time and attention see what is cut off."""
    experiment = Experiment(arguments(Path("unused"), hubert), mapping(tiny_corpus, ("asr",)))
    data = experiment.tasks["asr"]
    wave = data.reader.waveform(max(data.examples("train"), key=lambda example: example.seconds), None)
    start, frames = 16000, 25
    with torch.no_grad():
        [whole] = experiment.model.trunk([wave])
        [crop] = experiment.model.trunk([wave[start : start + frames * 320 + 80]])
    for place, (all_of_it, own) in enumerate(zip(whole.layers, crop.layers)):
        cut = all_of_it[0, start // 320 : start // 320 + frames]
        error = float((cut - own[0]).norm() / own[0].norm())
        assert error > 0.05, f"layer {place}"


def test_kinds_follow_from_task_and_specaugment(tiny_corpus: Path) -> None:
    plain = run_config(mapping(tiny_corpus, FINETUNED_TASKS, encoder={"store_kind": "int8"}))
    assert {task for task in FINETUNED_TASKS if task_kind(task, plain) == "pooled"} == {"ks", "ic", "sid", "er"}
    masked = run_config(
        mapping(tiny_corpus, FINETUNED_TASKS, encoder={"store_kind": "int8"}, specaug={"apply_time_mask": True})
    )
    assert {task_kind(task, masked) for task in FINETUNED_TASKS} == {"int8"}


@pytest.mark.parametrize("normalize", [False, True])
def test_stored_frames_in_float32_change_no_bit(
    normalize: bool, tiny_corpus: Path, hubert: Path, tmp_path: Path
) -> None:
    """With SpecAugment, which keeps frames for every task; one utterance a batch, as the store computes them."""
    tasks = ("pr", "ks", "asv", "sd")
    masks = load_yaml(find_config("scenarios_mini"))["specaug"]
    config = mapping(tiny_corpus, tasks, 1, specaug=masks, runner={"total_steps": 3})
    given = {"upstream_feature_normalize": normalize}
    for name, store in (("without", "none"), ("first", str(tmp_path / "f")), ("second", str(tmp_path / "f"))):
        trained(tmp_path / name, hubert, merge(config, {"encoder": {"store": store, "store_kind": "float32"}}), **given)
    assert not (tmp_path / "without" / "features").exists() and not (tmp_path / "first" / "features").exists()
    for name in ("first", "second"):
        assert different(weights(tmp_path / "without"), weights(tmp_path / name)) == []
        assert losses(tmp_path / "without") == losses(tmp_path / name)


@pytest.mark.parametrize("normalize", [False, True])
def test_losses_and_scores_hardly_change_with_means_and_halves(
    normalize: bool, tiny_corpus: Path, hubert: Path, tmp_path: Path
) -> None:
    tasks = ("ks", "er", "pr", "sd")
    scores, found = [], []
    for name, store in (("without", "none"), ("with", None)):
        config = mapping(tiny_corpus, tasks, 3, encoder={"store": store}, runner={"total_steps": 3})
        experiment = trained(tmp_path / name, hubert, config, upstream_feature_normalize=normalize)
        scores.append(experiment.evaluate("dev"))
        found.append(losses(tmp_path / name))
    assert (tmp_path / "with" / "features").is_dir()
    for one, other in zip(*found):
        for key, value in one.items():
            assert other[key] == pytest.approx(value, rel=1e-3 if "pr" in key or "sd" in key else 1e-5)
    for pair, one_score in scores[0].items():
        assert scores[1][pair]["loss"] == pytest.approx(one_score["loss"], rel=1e-3)


def test_nothing_is_read_or_computed_twice(
    tiny_corpus: Path, hubert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = mapping(tiny_corpus, ("pr", "ks", "sid"), encoder={"store": str(tmp_path / "features")})
    first = trained(tmp_path / "first", hubert, config).evaluate("dev")

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("the store has it")

    second = Experiment(arguments(tmp_path / "second", hubert), config)
    second._open_store()  # describing the encoder runs it
    monkeypatch.setattr(Trunk, "forward", forbidden)
    monkeypatch.setattr(audio.soundfile, "read", forbidden)
    second.train()
    assert second.evaluate("dev") == first
    assert different(weights(tmp_path / "first"), weights(tmp_path / "second")) == []


@pytest.mark.parametrize("left", ["all", "part", "none"])
def test_a_run_cut_off_and_continued_ends_bit_identical(
    left: str, tiny_corpus: Path, hubert: Path, tmp_path: Path
) -> None:
    """Whether the store was filled beyond the checkpoint, is damaged, or is lost; several utterances a batch."""
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    trained(straight, hubert, mapping(tiny_corpus, ("pr", "ks", "asv"), 3))
    shutil.copytree(straight, cut)
    (cut / "states-4.ckpt").unlink()
    shutil.rmtree(cut / "checkpoints" / "4")
    shards = sorted((cut / "features").rglob("*.bin"))
    assert len(shards) == 2
    if left == "part":
        for shard in shards:
            data = bytearray(shard.read_bytes())
            data[len(data) // 3] ^= 255
            shard.write_bytes(data[: len(data) // 2])
    elif left == "none":
        shutil.rmtree(cut / "features")
    saved, _ = checkpoint.newest_whole(cut)
    continued = Experiment(argparse.Namespace(**{**saved.args, "past_exp": str(cut)}), saved.config)
    if left == "part":
        kept = sum(path.stat().st_size for path in shards)
        with pytest.warns(UserWarning, match="feature store: .*computed again"):
            continued.train()
        assert sum(path.stat().st_size for path in (cut / "features").rglob("*.bin")) > kept  # refilled
    else:
        continued.train()
    assert continued.step == 4 and different(weights(straight), weights(cut)) == []
    assert losses(straight) == losses(cut)


def test_workers_change_nothing(tiny_corpus: Path, hubert: Path, tmp_path: Path) -> None:
    for name, workers in (("alone", 0), ("helped", 2)):
        config = mapping(tiny_corpus, ("pr", "sid"), encoder={"store": str(tmp_path / f"f{workers}")})
        trained(tmp_path / name, hubert, merge(config, {"runner": {"num_workers": workers}}))
    assert different(weights(tmp_path / "alone"), weights(tmp_path / "helped")) == []
    config["encoder"]["store"] = str(tmp_path / "f0")
    trained(tmp_path / "again", hubert, merge(config, {"runner": {"num_workers": 2}}))
    assert different(weights(tmp_path / "alone"), weights(tmp_path / "again")) == []


def test_a_small_budget_is_told_and_changes_no_number(
    tiny_corpus: Path, hubert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {}
    for budget in ("1GB", "1MB", "0"):
        store = tmp_path / f"features {budget}"
        config = mapping(tiny_corpus, ("pr", "ks"), encoder={"store": str(store), "store_budget": budget})
        capsys.readouterr()
        trained(tmp_path / budget, hubert, config)
        said = capsys.readouterr().out
        assert said.count("feature store: ") == 1 and ("computed each time: pr" in said) == (budget != "1GB")
        sizes[budget] = sum(path.stat().st_size for path in store.rglob("*.bin"))
        assert different(weights(tmp_path / "1GB"), weights(tmp_path / budget)) == []
    assert sizes["1GB"] > 1e6 > sizes["1MB"] > sizes["0"] == 0


def test_who_has_no_store_is_told_why(
    tiny_corpus: Path, hubert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"total_steps": 1}
    padded = mapping(tiny_corpus, ("ks",), encoder={"padding": "batch"}, runner=short)
    trained(tmp_path / "padded", hubert, padded).evaluate("dev")
    said = capsys.readouterr().out
    assert said.count("no feature store: config.encoder.padding is 'batch'") == 1
    trained(tmp_path / "finetuned", hubert, mapping(tiny_corpus, ("ks",), runner=short), upstream_trainable=True)
    assert "feature store" not in capsys.readouterr().out
    assert not list(tmp_path.rglob("features"))


def test_the_former_setting_names_its_successor(tiny_corpus: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key config.encoder.memory_gb; .* set config.encoder.store_budget"):
        run_config(mapping(tiny_corpus, encoder={"memory_gb": 4.0}))


def test_runs_of_a_sweep_share_a_store(tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"corpus_root": tiny_corpus, "tasks": ["asr", "pr"], "ssl.steps": 2, "encoder.store_kind": "float16"}
    settings |= {f"superb.{task}.train_batch.size": 1 for task in ("asr", "pr")}
    override = ",,".join(f"config.{key}={value}" for key, value in settings.items())

    def ssl(folder: str, *more: str) -> int:
        given = ["-u", "fbank", "--device", "cpu", "-p", str(tmp_path / folder), "-o", override, "-t", "dev", *more]
        return main(["finetune", "ssl", *given])

    def entries(folder: Path) -> list[int]:
        return [len(path.read_text().splitlines()) - 1 for path in sorted(folder.glob("*/float16/*.idx"))]

    assert ssl("a", "--tasks", "asr") == 0
    [first] = entries(tmp_path / "a" / "features")
    assert ssl("a") == 0  # PR hears mostly what ASR has heard
    assert sorted(entries(tmp_path / "a" / "features"))[-1] == first > sum(entries(tmp_path / "a" / "features")) / 2
    assert not list(tmp_path.glob("a/ssl/*/features"))

    assert ssl("b", "--tasks", "asr", "--feature-store", str(tmp_path / "own"), "--feature-budget", "1GB") == 0
    assert entries(tmp_path / "own") == [first] and not (tmp_path / "b" / "features").exists()
    assert ssl("c", "--tasks", "asr", "--feature-store", "none") == 0
    assert not (tmp_path / "c" / "features").exists()
    capsys.readouterr()
    assert ssl("b", "--tasks", "asr", "--feature-store", "none") == 2
    assert "made with config.encoder.store = 'a folder', now asked for is 'none'" in capsys.readouterr().err
    assert ssl("b", "--tasks", "asr", "--feature-budget", "many") == 2
    assert "a size must be a number with kB, MB, GB or TB such as 50GB, or 0, found 'many'" in capsys.readouterr().err


@pytest.mark.parametrize("has_states", [False, True])
def test_a_failed_start_leaves_a_shared_store_only_if_it_holds_states(has_states: bool, tmp_path: Path) -> None:
    run, store = tmp_path / "run", tmp_path / "features"
    with pytest.raises(ConfigError), undone_on_error(run, store):
        (run / "features").mkdir()
        (store / "audio").mkdir(parents=True)
        (store / "audio" / "1.txt").write_text("a digest")
        if has_states:
            (store / "1.bin").write_text("states")
        raise ConfigError("no")
    assert not run.exists() and store.exists() == has_states
