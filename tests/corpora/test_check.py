"""The corpus check through its command: every fault put into a corpus is found, nothing else is, nothing is changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml
from s3prl_plugins.corpora import check_audio
from s3prl_plugins.corpora.check import Report, TaskReport, check
from s3prl_plugins.corpora.check_report import as_data, as_text
from s3prl_plugins.corpora.sources import SOURCES
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.leaks import Leak
from s3prl_plugins.multitask.config import find_config, run_config, task_configs
from s3prl_plugins.superb.cards import CARDS, FINETUNED_TASKS

SECOND = np.sin(np.arange(16000) / 20).astype(np.float32) / 4


def command(root: Path, *more: str) -> list[str]:
    return ["corpus", "check", "all_task_mini", "-o", f"config.corpus_root={root}", "--jobs", "1", *more]


def report(root: Path, capsys: pytest.CaptureFixture[str], *more: str, status: int) -> dict[str, Any]:
    capsys.readouterr()
    assert main(command(root, "--json", *more)) == status
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert data["faults"] == sum(kind["count"] for task in data["tasks"].values() for kind in task["faults"])
    assert (status == 1) == (data["faults"] > 0)
    return data


def kinds(data: dict[str, Any], task: str) -> dict[str, int]:
    return {kind["rule"]: kind["count"] for kind in data["tasks"][task]["faults"]}


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_sound_corpus_has_no_fault_and_its_leaks_are_reported(
    tiny_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(tiny_corpus)
    data = report(tiny_corpus, capsys, status=0)
    assert set(data["tasks"]) == set(FINETUNED_TASKS) and data["sources"] == {}
    assert all(split["utterances"] > 0 for task in data["tasks"].values() for split in task["splits"].values())
    pairs = {(leak["train"], leak["held_out"]) for leak in data["leaks"]}
    assert pairs == {("asv", "sid:dev"), ("asv", "sid:test"), ("sid", "asv:dev"), ("sid", "asv:test")}
    assert data["exclude_other_tests"]["on"] and set(data["exclude_other_tests"]["drops"]) == {"asv", "sid"}
    assert files(tiny_corpus) == before


def test_the_text_says_the_same(tiny_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = report(tiny_corpus, capsys, "--tasks", "sid", "asv", status=0)
    assert main(command(tiny_corpus, "--tasks", "sid", "asv", "--max", "1")) == 0
    text = capsys.readouterr().out
    sizes = {task: data["tasks"][task]["splits"]["train"]["utterances"] for task in ("sid", "asv")}
    assert f"sid  train {sizes['sid']} (" in text and "No fault found." in text
    leak = next(leak for leak in data["leaks"] if (leak["train"], leak["held_out"]) == ("asv", "sid:dev"))
    count, (first, *_) = leak["utterances"]["count"], leak["utterances"]["examples"]
    assert f"asv train, sid dev: {count} utterances ({first}, ...), " in text
    drops = ", ".join(f"{data['exclude_other_tests']['drops'][task]} of {sizes[task]} of {task}" for task in sizes)
    assert f"config.exclude_other_tests is on and leaves out of training: {drops}" in text
    off = f"config.corpus_root={tiny_corpus},,config.exclude_other_tests=False"
    assert main([*command(tiny_corpus, "--tasks", "sid", "asv"), "-o", off]) == 0
    assert f"config.exclude_other_tests is off; it would leave out of training: {drops}" in capsys.readouterr().out
    main(command(tiny_corpus, "--tasks", "sid", "ks"))
    assert "No utterance or speaker is in one task's training and in another's" in capsys.readouterr().out


@pytest.fixture
def copy(tiny_corpus: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_corpus, tmp_path / "corpus")
    return tmp_path / "corpus"


def damage(root: Path) -> None:
    """One or more of every kind of fault."""
    first, second, third, fourth, *_ = sorted((root / "SNIPS" / "train").glob("*.wav"))
    soundfile.write(first, SECOND[:0], 16000)
    second.write_text("no audio")
    soundfile.write(third, np.where(np.arange(16000) == 9000, np.inf, SECOND), 16000, subtype="FLOAT")
    soundfile.write(fourth, SECOND[:399], 16000)
    yes, yes_too, *_ = sorted((root / "speech_commands" / "yes").glob("*.wav"))
    soundfile.write(yes, SECOND, 8000)
    soundfile.write(yes_too, np.stack([SECOND, SECOND], 1), 16000)
    cut, gone, *_ = sorted((root / "LibriSpeech" / "train-clean-100").rglob("*.flac"))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    gone.unlink()
    lexicon = root / "LibriSpeech" / "lexicon.txt"
    lexicon.write_text(
        "".join(line for line in lexicon.read_text().splitlines(True) if line.split()[0] not in ("THE", "FOR"))
    )
    table = root / "fluent_speech_commands" / "data" / "test_data.csv"
    table.write_text(table.read_text().replace("activate", "explode"))
    (root / "IEMOCAP" / "meta_data" / "Session1" / "test_meta_data.json").unlink()
    shutil.rmtree(root / "VoxCeleb1" / "test")


def test_every_kind_of_fault_is_found_in_one_report(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(copy)
    before = files(copy)
    data = report(copy, capsys, status=1)
    assert kinds(data, "sf") == {
        "audio holds no samples": 1,
        "audio cannot be read": 1,
        "audio holds NaN or infinite samples": 1,
        "an utterance must have 400 samples": 1,
    }
    assert kinds(data, "ks") == {"sample rate must be 16000 Hz": 1, "audio must be mono": 1}
    assert kinds(data, "asr") == {"audio file is missing": 1, "audio cannot be decoded": 1}
    words = "the lexicon must have every word of the transcripts, one is missing"
    assert set(kinds(data, "pr")) >= {"audio file is missing", words}
    (unknown,) = [kind for kind in data["tasks"]["ic"]["faults"] if kind["rule"].startswith("action must be one of")]
    assert unknown["examples"][0]["where"] == str(copy / "fluent_speech_commands/data/test_data.csv")
    assert "found 'explode' for wavs/" in unknown["examples"][0]["found"] and unknown["cure"] == "remove the row"
    assert data["tasks"]["er"]["missing"] == [str(copy / "IEMOCAP/meta_data/Session1/test_meta_data.json")]
    assert kinds(data, "asv") == {"file or folder is missing": 1}
    assert data["tasks"]["asv"]["missing"] == [str(copy / "VoxCeleb1/test")]
    assert kinds(data, "sd") == {}
    assert {"IEMOCAP", "LibriSpeech", "VoxCeleb1"} == set(data["sources"])
    assert files(copy) == before


def test_quick_reads_headers_only(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(copy)
    data = report(copy, capsys, "--quick", "--tasks", "sf", "asr", status=1)
    assert "audio holds NaN or infinite samples" not in kinds(data, "sf") and "audio cannot be read" in kinds(
        data, "sf"
    )
    assert kinds(data, "asr") == {"audio file is missing": 1}


def test_examples_are_limited_and_counted(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (copy / "SNIPS" / "train").glob("*.wav"):
        soundfile.write(path, SECOND, 8000)
    assert main(command(copy, "--tasks", "sf", "--max", "2")) == 1
    text = capsys.readouterr().out
    assert "  8 x sample rate must be 16000 Hz\n" in text and "... and 6 more" in text
    assert text.count("found 8000") == 2 and "cure: convert it to 16 kHz mono" in text
    assert "sample rate" in text and "9 faults found, in sf." in text  # and the split they leave empty


@pytest.mark.parametrize("task", FINETUNED_TASKS)
def test_a_missing_corpus_is_one_fault_and_its_source_is_named(
    task: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    assert main(command(tmp_path, "--tasks", task)) == 1
    text = capsys.readouterr().out
    assert "file or folder is missing" in text and "corpora" in text
    source = next(source for source in SOURCES if task in source.tasks)
    assert source.page in text and all(step in text for step in source.steps)
    assert f"s3prl-plugins corpus make {tmp_path}" in text
    missing = report(tmp_path, capsys, "--tasks", task, status=1)["tasks"][task]["missing"]
    assert all(Path(path).parent == tmp_path for path in missing) and len(missing) == (2 if task == "ks" else 1)


def test_a_missing_root_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path / "nowhere")) == 1
    text = capsys.readouterr().out
    assert text.count("is missing") == 1 and f"{tmp_path / 'nowhere'}: the folder config.corpus_root is missing" in text


def test_folders_that_no_split_uses_may_be_absent(tiny_corpus: Path) -> None:
    configs = task_configs({**load_yaml(find_config("all_task_paper")), "tasks": ["asr"]})
    assert any("dev-other" in folders for folders in configs["asr"].corpus.splits.values())
    assert not (tiny_corpus / "LibriSpeech" / "dev-other").exists()
    assert check(configs, tiny_corpus, jobs=1).faults == 0


def test_files_are_decoded_once_for_all_their_tasks(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    honest = check_audio.fault
    monkeypatch.setattr(check_audio, "fault", lambda path: decoded.append(path) or honest(path))
    config = run_config({**load_yaml(find_config("all_task_mini")), "tasks": ["asr", "pr", "sid", "asv"]})
    bad = next((copy / "LibriSpeech" / "dev-clean").rglob("*.flac"))
    bad.write_bytes(bad.read_bytes()[:-3000])
    found = check(config.task_configs, copy, jobs=1)
    assert len(decoded) == len(set(decoded)) > 30
    assert [[problem.where for problem in found.tasks[task].problems] for task in ("asr", "pr", "sid")] == [
        [str(bad)],
        [str(bad)],
        [],
    ]
    assert json.dumps(as_data(found, True, 3)) and as_text(found, copy, True, True, 0).count(str(bad)) == 0


def test_processes_find_what_one_finds(tmp_path: Path) -> None:
    paths = []
    for number in range(200):
        path = tmp_path / f"{number:03d}.wav"
        samples = SECOND[: 400 + number]
        soundfile.write(path, samples * (np.nan if number % 50 == 7 else 1), 16000, subtype="FLOAT")
        paths.append(str(path))
    alone = dict(check_audio.decode(paths, jobs=1))
    assert [Path(path).stem for path, fault in alone.items() if fault] == ["007", "057", "107", "157"]
    assert dict(check_audio.decode(paths, jobs=2)) == alone


def test_classes_that_would_lose_all_their_training_are_counted() -> None:
    training = [Example(f"u{n}", Path(f"{n}.wav"), 1.0, "ab"[n % 2], "") for n in range(4)]
    tasks = {"sid": TaskReport("sid", {"train": training, "dev": [], "test": []})}
    found = Report(tasks, [Leak("sid", "asv", "test", ("u0", "u2", "u3"), ())])
    assert found.emptied == {"sid": (1, 2)}
    assert "leaves out of training: 3 of 4 of sid" in (text := as_text(found, Path(), True, True, 3))
    assert "sid then has no training utterance left of 1 of its 2 classes" in text


def test_sources_cover_the_ten_tasks_once() -> None:
    assert sorted(task for source in SOURCES for task in source.tasks) == sorted(CARDS)
    assert all(source.page.startswith("http") and source.steps for source in SOURCES)


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (["--tasks", "assr"], "did you mean 'asr'"),
        (["--jobs", "0"], "--jobs must be at least 1, found 0"),
        (["--max", "-1"], "--max must be at least 0, found -1"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    added: list[str], said: str, tiny_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tiny_corpus, *added)) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error
