# ruff: noqa: E501 (one line for each entry of a table)
"""Bad input ends in one line that names file or key, rule, value found and cure, and leaves nothing half-written."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from damages import one_line

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.stock import MultitaskRunner, stock_args
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

SMALL = {
    "runner.total_steps": 1,
    "runner.warmup_steps": 0,
    "runner.eval_at_start": False,
    "encoder.conv_grad_mult": None,
}
SECOND = np.sin(np.arange(16000) / 20).astype(np.float32) / 4


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step of one task."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(finetune(tiny_corpus, folder, "ic")) == 0
    return folder / "all_task"


def finetune(
    corpus: Path, folder: Path, task: str, *more: str, upstream: str = "fbank", options: str = ""
) -> list[str]:
    settings = ",,".join(f"config.{key}={value}" for key, value in {"corpus_root": corpus, **SMALL}.items())
    command = ["finetune", "all-task", "--device", "cpu", "-u", upstream, "--frozen", "--tasks", task]
    return [*command, "-p", str(folder), "-o", f"{settings},,{options}", *more]


def damaged(corpus: Path, place: Path, name: str) -> Path:
    """The corpus with its folder `name` copied, the others linked."""
    root = place / "corpus"
    root.mkdir()
    for path in corpus.iterdir():
        if path.name == name:
            shutil.copytree(path, root / name)
        else:
            (root / path.name).symlink_to(path)
    return root


# Commands that are wrong in themselves: what is added, what the line says.
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "unknown task": (["--tasks", "assr"], ["unknown task 'assr'", "did you mean 'asr'"]),
    "task without a head": (["--tasks", "qbe"], ["'qbe' has no head to train", "Known: asr"]),
    "task named twice": (["--tasks", "ks", "ks"], ["names a task twice", "name each once"]),
    "unknown key": (["-o", "config.runer.total_steps=1"], ["unknown key config.runer", "did you mean 'runner'"]),
    "unknown inner key": (
        ["-o", "config.runner.total_step=1"],
        ["unknown key config.runner.total_step;", "did you mean 'total_steps'"],
    ),
    "unknown key of a task's corpus": (
        ["-o", "config.superb.ic.corpus.pth='x'"],
        ["unknown key config.superb.ic.corpus.pth", "did you mean 'path'"],
    ),
    "unknown task in superb": (["-o", "config.superb.icc.head.x=1"], ["config.superb.icc", "did you mean 'ic'"]),
    "value of another type": (["-o", "config.runner.total_steps=many"], ["config.runner.total_steps", "'many'"]),
    "value out of range": (["-o", "config.runner.total_steps=0"], ["total_steps must be at least 1, found 0"]),
    "override of no form": (["-o", "runner.total_steps"], ["'runner.total_steps' must read config.KEY=VALUE"]),
    "unknown config": (["-c", "all_task_min"], ["no config file 'all_task_min'", "did you mean 'all_task_mini'"]),
    "unknown upstream": (["-u", "hubertt"], ["unknown upstream 'hubertt' (-u)", "did you mean 'hubert'"]),
    "no checkpoint": (["-u", "hubert_local"], ["'hubert_local' needs a checkpoint file, found -k None"]),
    "missing checkpoint": (["-u", "hubert_local", "-k", "no.pt"], ["found -k 'no.pt'", "pass one that exists"]),
    "missing run to start from": (["-i", "no/states-1.ckpt"], ["no/states-1.ckpt"]),
    "unknown view": (["-s", "frames"], ["no view 'frames' (-s)", "hidden_states"]),
    "unknown split": (["-t", "tset"], ["no split 'tset'", "did you mean 'test'"]),
    "unknown device": (["--device", "gpu"], ["--device 'gpu' is not a device", "cpu, cuda"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands(case: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added, said = COMMANDS[case]
    one_line([*finetune(tiny_corpus, tmp_path / "run", "ic"), *added], capsys, *said)
    assert not (tmp_path / "run").exists()


# Task -> the folder of its corpus, and one index or folder it cannot do without.
INDEXES = {
    "asr": ("LibriSpeech", "train-clean-100"),
    "pr": ("LibriSpeech", "lexicon.txt"),
    "sf": ("SNIPS", "slots.txt"),
    "sd": ("LibriMix", "train/segments"),
    "er": ("IEMOCAP", "meta_data/Session1/train_meta_data.json"),
    "ic": ("fluent_speech_commands", "data/train_data.csv"),
    "ks": ("speech_commands", "_background_noise_"),
    "asv": ("VoxCeleb1", "dev_meta_data.txt"),
    "sid": ("VoxCeleb1", "veri_test_class.txt"),
}


@pytest.mark.parametrize("task", FINETUNED_TASKS)
@pytest.mark.parametrize("what", ["folder", "index"])
def test_missing_corpora_and_indexes(
    task: str, what: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, index = INDEXES[task]
    root = damaged(tiny_corpus, tmp_path, name)
    gone = root / name if what == "folder" else root / name / index
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    one_line(finetune(root, tmp_path / "run", task), capsys, str(gone), ";")
    assert not (tmp_path / "run").exists()


@dataclass
class Damage:
    """A fault of a corpus: where, how it is made, and what the line says."""

    task: str
    name: str
    files: str
    make: Callable[[Path], None]
    said: tuple[str, ...]


def write(rate: int = 16000, **options: object) -> Callable[[np.ndarray], Callable[[Path], None]]:
    return lambda samples: lambda path: soundfile.write(path, samples, rate, **options)


def with_nan(path: Path) -> None:
    soundfile.write(path, np.where(np.arange(16000) == 900, np.nan, SECOND), 16000, subtype="FLOAT")


def replaced(old: str, new: str, count: int = -1) -> Callable[[Path], None]:
    return lambda path: _rewrite(path, lambda text: text.replace(old, new, count))


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before


def without(start: str) -> Callable[[str], str]:
    return lambda text: "".join(line for line in text.splitlines(keepends=True) if not line.startswith(start))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


IC = ("ic", "fluent_speech_commands", "wavs/**/*.wav")
DAMAGES = {
    "empty": Damage(*IC, write()(SECOND[:0]), ("audio holds no samples", ".wav: ", "replace the file")),
    "nan": Damage(*IC, with_nan, ("holds NaN or infinite samples", ".wav: ", "replace the file")),
    "wrong rate": Damage(*IC, write(8000)(SECOND), ("must be 16000 Hz, found 8000", ".wav: ", "sox IN -r 16000")),
    "stereo": Damage(*IC, write()(np.stack([SECOND] * 2, 1)), ("must be mono, found 2 channels", "sox IN")),
    "unreadable": Damage(*IC, lambda path: path.write_text("hello"), ("audio cannot be read (", "replace the file")),
    "missing": Damage(*IC, lambda path: path.unlink(), ("audio file is missing", ".wav: ", "complete the corpus")),
    "cut off": Damage(
        "asr", "LibriSpeech", "train-clean-100/**/*.flac", halved, ("audio cannot be read (", ".flac: ", "replace")
    ),
    "word outside the lexicon": Damage(
        "pr", "LibriSpeech", "train-clean-100/*/*/*.trans.txt", lambda path: _rewrite(path, lambda t: t.rstrip() + " ZYZZYVA\n"),
        ("lexicon.txt: the lexicon must have every word", "'ZYZZYVA'", "add a line 'ZYZZYVA PH PH ...'"),
    ),
    "phone nobody knows": Damage(
        "pr", "LibriSpeech", "lexicon.txt", replaced("AH0", "AH7"), ("lexicon.txt: ", "found 'AH7'", "add a line"),
    ),
    "character that is no letter": Damage(
        "asr", "LibriSpeech", "train-clean-100/*/*/*.trans.txt", lambda path: _rewrite(path, lambda t: t.rstrip() + " 42\n"),
        (".trans.txt: ", "A-Z and ', found '2'", "respell"),
    ),
    "intent unseen in training": Damage(
        "ic", "fluent_speech_commands", "data/test_data.csv", replaced("activate", "explode"),
        ("test_data.csv: action must be one of", "found 'explode' for wavs/", "remove the row"),
    ),
    "speaker unseen in training": Damage(
        "sid", "VoxCeleb1", "veri_test_class.txt", lambda path: _rewrite(path, without("1 id10001")),
        ("veri_test_class.txt: ", "speaker 'id10001' of", "is not in train", "mend the list"),
    ),
    "emotion nobody knows": Damage(
        "er", "IEMOCAP", "meta_data/Session1/train_meta_data.json", replaced('"label": "neu"', '"label": "xxx"', 1),
        ("Session1/train_meta_data.json: label must be one of neu, hap", "found 'xxx' for Session"),
    ),
    "slot nobody knows": Damage(
        "sf", "SNIPS", "slots.txt", lambda path: path.write_text("O\nnothing\n"),
        ("all.iob.snips.txt: slots must be in slots.txt, found", "add it"),
    ),
    "class of keywords nobody knows": Damage(
        "ks", "speech_commands_test", "yes", lambda path: shutil.move(path, path.with_name("yess")),
        ("speech_commands_test/yess: ", "must be one of yes, no"),
    ),
    "trial of no form": Damage(
        "asv", "VoxCeleb1", "voxceleb1_test_v2.txt", replaced("1 id", "2 id", 1),
        ("voxceleb1_test_v2.txt: a trial must begin with 1 or 0, found '2'", "mend the list"),
    ),
    "segment without speaker": Damage(
        "sd", "LibriMix", "train/utt2spk", lambda path: _rewrite(path, lambda text: text.split("\n", 1)[1]), ("utt2spk: segment ", "has no speaker", "add it"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_corpora(case: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage = DAMAGES[case]
    root = damaged(tiny_corpus, tmp_path, damage.name)
    files = sorted((root / damage.name).glob(damage.files))
    assert files
    for path in files:
        damage.make(path)
    one_line(finetune(root, tmp_path / "run", damage.task), capsys, str(root), *damage.said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("runner", ["num_workers=2", "eval_at_start=True"])
def test_a_fault_that_a_reading_process_or_an_evaluation_meets(
    runner: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = damaged(tiny_corpus, tmp_path, IC[1])
    for path in (root / IC[1]).glob(IC[2]):
        with_nan(path)
    command = finetune(root, tmp_path / "run", "ic", options=f"config.runner.{runner}")
    one_line(command, capsys, "holds NaN or infinite samples", ".wav: ", "replace the file")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("upstream", ["fbank", "hubert_local"])
def test_an_utterance_shorter_than_the_receptive_field(
    upstream: str, hubert: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = damaged(tiny_corpus, tmp_path, IC[1])
    for path in (root / IC[1]).glob(IC[2]):
        soundfile.write(path, SECOND[:300], 16000)
    command = finetune(root, tmp_path / "run", "ic", "-k", str(hubert), upstream=upstream)
    one_line(command, capsys, "utterance ", ": 300 samples are shorter than one frame", "remove it")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_architecture(
    hubert: Path, finished: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wider = random_checkpoint("tiny", 0)
    wider["model_cfg"]["encoder_embed_dim"] = 320
    contents = {"wider.pt": wider, "other.pt": {"model": torch.zeros(3)}, "weights.pt": torch.zeros(3)}
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pt").write_text("no checkpoint")
    for name in (*contents, "text.pt"):
        command = finetune(tiny_corpus, tmp_path / "run", "ic", "-k", str(tmp_path / name), upstream="hubert_local")
        one_line(command, capsys, f"'hubert_local' cannot be built from -k '{tmp_path / name}'", "made for it")
    command = finetune(
        tiny_corpus, tmp_path / "run", "ic", "-i", str(finished), "-k", str(hubert), upstream="hubert_local"
    )
    one_line(
        command, capsys, "the checkpoint does not fit this model", "ic.weights", "use the configuration and upstream"
    )
    command = finetune(tiny_corpus, tmp_path / "run", "ks", "-i", str(finished))
    one_line(command, capsys, "the checkpoint does not fit this model", "use the configuration and upstream")
    assert not (tmp_path / "run").exists()


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_with_a_run_stays_as_it_is(
    finished: Path, tiny_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(finished)
    command = finetune(tiny_corpus, finished.parent, "ks")
    one_line(command, capsys, f"{finished} was made with config.tasks = ['ic']", "['ks']", "another folder with -p")
    command = finetune(tiny_corpus, finished.parent, "ic", "--seed", "2")
    one_line(command, capsys, f"{finished} was made with seed = 1337, now asked for is 2")
    assert content(finished) == before


def test_files_that_were_there_before_a_failed_start_stay(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = damaged(tiny_corpus, tmp_path, IC[1])
    for path in (root / IC[1]).glob(IC[2]):
        with_nan(path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    one_line(finetune(root, tmp_path / "run", "ic"), capsys, "NaN")
    assert content(tmp_path / "run") == {tmp_path / "run" / "notes.txt": b"mine"}


@pytest.mark.parametrize("fault", ["key", "nan", "checkpoint"])
def test_the_stock_command(fault: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = damaged(tiny_corpus, tmp_path, IC[1])
    for path in (root / IC[1]).glob(IC[2]):
        with_nan(path)
    runner = {"total_steps": 1, "warmup_steps": 0, "eval_at_start": False}
    change = {"corpus_root": str(root), "tasks": ["ic"], "runner": runner, "encoder": {"conv_grad_mult": None}}
    config = merge(load_yaml(find_config("all_task_mini")), change)
    upstream, said = "fbank", "holds NaN or infinite samples"
    if fault == "key":
        config["runner"]["totl_steps"] = 3
        said = "unknown key config.runner.totl_steps; did you mean 'total_steps'"
    if fault == "checkpoint":
        upstream, said = "hubert_local", "needs a checkpoint file, found -k None"
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "args_2020.yaml").write_text("as s3prl's main writes it")
    args: argparse.Namespace = stock_args(expdir=str(folder), device="cpu", upstream=upstream)
    with pytest.raises(SystemExit) as stop:
        MultitaskRunner(args, config).train()
    error = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%|" not in line]
    assert stop.value.code == 2 and len(error) == 1 and said in error[0]
    assert not folder.exists()
