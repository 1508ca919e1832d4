"""Names that are no UTF-8, of files, folders and what lies below them: read, or refused in one line that prints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damages import NO_UTF8, one_line
from datasets import DATASETS, heard

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

SHOWN = "x\\udcff"


@pytest.fixture(scope="module")
def place(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of such a name: `corpus` is a corpus, two recordings, an encoder, an empty file."""
    folder = tmp_path_factory.mktemp("names") / NO_UTF8
    folder.mkdir()
    (folder / "corpus").symlink_to(tiny_corpus)
    tone = np.sin(np.arange(16000) / 20) / 4
    with (folder / "a.wav").open("wb") as file:
        soundfile.write(file, tone, 16000, format="WAV")
    shutil.copy(folder / "a.wav", folder / f"{NO_UTF8}.wav")
    (folder / f"bad{NO_UTF8}.wav").write_bytes(b"")
    write_checkpoint(folder / "tiny.pt", random_checkpoint("tiny", 0))
    return folder


@pytest.mark.parametrize("name", DATASETS)
def test_a_corpus_there_is_read(name: str, place: Path, tiny_corpus: Path) -> None:
    found, expected = (heard(DATASETS[name], root) for root in (place / "corpus", tiny_corpus))
    if name == "speech":
        assert [item[1:] for item in found] == [item[1:] for item in expected]
    else:
        assert found[-1] == expected[-1] and len(found) == len(expected)
        assert [item.name for item in found[-2]] == [item.name for item in expected[-2]]


def test_an_utterance_has_no_such_name() -> None:
    with pytest.raises(CorpusError, match="an utterance's name must be UTF-8, found .*; rename it"):
        Example(NO_UTF8, Path("a.wav"), 1.0, None)


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "rttm"])
def test_recordings(form: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "superb_tiny", str(place), "--device", "cpu", "--format", form, "--tasks", "sd"]
    assert main(command) == 1
    shown, said = capsys.readouterr()
    assert main([*command, "-o", str(place / f"answers.{form}")]) == 1
    written = (place / f"answers.{form}").read_text(encoding="utf-8")
    for text in (shown, written):
        text.encode()
        assert SHOWN in text and (form != "rttm" or len(text.split("\n")[0].split(" ")) == 10)
    if form == "json":
        assert [Path(entry["name"]).name for entry in json.loads(written)][-1] == f"{NO_UTF8}.wav"
    lines = [line for line in said.splitlines() if "audio cannot be read" in line]
    assert len(lines) == 1 and f"bad{SHOWN}.wav" in lines[0] and "; " in lines[0]


def settings(place: Path) -> list[str]:
    given = {"corpus_root": place / "corpus", "runner.total_steps": 1, "runner.warmup_steps": 0,
             "runner.eval_at_start": False, "encoder.conv_grad_mult": None}  # fmt: skip
    return ["-o", ",,".join(f"config.{key}={value}" for key, value in given.items()), "--device", "cpu"]


def test_a_run_takes_its_encoder_and_corpus_from_there(place: Path, tmp_path: Path) -> None:
    encoder = ["-u", "hubert_local", "-k", str(place / "tiny.pt"), "--tasks", "ic"]
    assert main(["finetune", "all-task", *encoder, "-p", str(tmp_path / "run"), *settings(place)]) == 0
    run = str(tmp_path / "run" / "all_task")
    assert main(["export", run, "--with-heads", "-o", str(place / "model.pt")]) == 0
    assert main(["predict", str(place / "model.pt"), str(place / "a.wav"), "--device", "cpu"]) == 0
    assert main(["report", run, "-o", str(place / "report")]) == 0


COMMANDS = {
    "a run's folder": "finetune all-task -u fbank --frozen -p {place}/run --tasks ic",
    "a configuration": "finetune all-task -p {place}/run -c {place}/none.yaml",
    "an encoder": "finetune all-task -p {place}/run -u hubert_local -k {place}/none.pt --tasks ic",
    "a model": "predict {place}/none.pt {place}/a.wav",
    "a pretraining's speech": "pretrain hubert -c hubert_tiny -p {place}/run --speech {place}/none",
    "a run to report": "report {place}",
    "a run to choose from": "choose {place} --rule mean",
    "a run to export": "export {place} -o {place}/x.pt",
    "a store": "features info {place}",
    "a corpus to check": "corpus check {place}/none.yaml",
    "a corpus to make": "corpus make {place} --size tiny",
    "a task": "finetune all-task -p {place}/run --tasks {name}",
    "a flag": "finetune all-task -p {place}/run --{name} x",
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands(case: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word.format(place=place, name=NO_UTF8) for word in COMMANDS[case].split()]
    one_line([*words, *(settings(place) if "tasks ic" in COMMANDS[case] else [])], capsys, SHOWN)
    shutil.rmtree(place / "run", ignore_errors=True)
