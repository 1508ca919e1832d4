"""`s3prl-plugins predict`: files, folders and patterns in, five formats out, one line a fault."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from s3prl_plugins.cli import main
from s3prl_plugins.inference import loading
from s3prl_plugins.inference.model import Model
from s3prl_plugins.superb.cards import FINETUNED_TASKS


@pytest.fixture(autouse=True)
def loaded_once(superb_tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loading.load
    monkeypatch.setattr(
        "s3prl_plugins.inference.load",
        lambda name, device, **given: superb_tiny if name == "superb_tiny" else real(name, device, **given),
    )


@pytest.fixture
def folder(tiny_corpus: Path, tmp_path: Path) -> Path:
    """Two recordings, one below, and a file that is no audio."""
    found = sorted((tiny_corpus / "SNIPS").rglob("*.wav"))[:2]
    (tmp_path / "in" / "below").mkdir(parents=True)
    shutil.copy(found[0], tmp_path / "in" / "a.wav")
    shutil.copy(found[1], tmp_path / "in" / "below" / "b.wav")
    (tmp_path / "in" / "notes.txt").write_text("not audio")
    return tmp_path / "in"


def predict(*words: object) -> int:
    return main(["predict", "superb_tiny", *map(str, words)])


def test_one_command_gives_a_json_of_nine_answers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder / "a.wav", "--format", "json") == 0
    [answers] = json.loads(capsys.readouterr().out)
    assert answers.keys() == {"name", "seconds", *FINETUNED_TASKS}
    assert answers["name"] == str(folder / "a.wav")


def test_folders_and_patterns_are_searched_and_each_file_answered_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, f"{folder}/**/*.wav", folder / "a.wav", "--tasks", "ks", "--format", "jsonl") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == [str(folder / "a.wav"), str(folder / "below" / "b.wav")]
    assert all(line.keys() == {"name", "seconds", "ks"} for line in lines)


def test_a_recording_that_fails_is_one_line_and_the_others_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [folder / "notes.txt", folder / "a.wav", folder / "gone.wav"]
    assert predict(*files, "--tasks", "asr", "--format", "json") == 1
    out, err = capsys.readouterr()
    entries = json.loads(out)
    assert ["error" in entry for entry in entries] == [True, False, True]
    assert "notes.txt: audio cannot be read" in err and "2 of 3 recordings failed" in err and "Traceback" not in err
    assert predict(*files, "--tasks", "asr") == 1
    assert capsys.readouterr().out.startswith(f"{folder / 'a.wav'} (")


def test_text_has_a_line_for_each_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder / "a.wav", "--top", "1") == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r".*a\.wav \(\d+\.\d\d s\)", first)
    assert {line.split()[0] for line in lines} == set(FINETUNED_TASKS)


def test_rttm_and_textgrid_are_what_their_readers_take(
    folder: Path, superb_tiny: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder / "a.wav", "--format", "rttm") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    answers = superb_tiny(str(folder / "a.wav"))
    assert answers.sd is not None and answers.asr is not None and answers.pr is not None
    found = [(row[7], float(row[3]), float(row[3]) + float(row[4])) for row in rows]
    wanted = [(f"speaker{turn.label}", turn.start, turn.stop) for turn in answers.sd.turns]
    assert len(found) == len(wanted) > 0
    for left, right in zip(found, wanted):
        assert left[0] == right[0] and left[1:] == pytest.approx(right[1:], abs=2e-3)
    assert all(row[:3] == ["SPEAKER", "a", "1"] and len(row) == 10 for row in rows)

    assert predict(folder, "--format", "textgrid", "-o", tmp_path / "grids") == 0
    assert sorted(path.name for path in (tmp_path / "grids").iterdir()) == ["a.TextGrid", "b.TextGrid"]
    grid = (tmp_path / "grids" / "a.TextGrid").read_text()
    tiers = {re.search(r'name = "(.*)"', part)[1]: part for part in grid.split("item [")[2:]}  # type: ignore[index]
    for name, track in (("words", answers.asr.words), ("phones", answers.pr.phones)):
        intervals = re.findall(r'xmin = ([\d.]+)\n\s+xmax = ([\d.]+)\n\s+text = "(.*)"', tiers[name])
        assert [text for _, _, text in intervals if text] == [part.label for part in track]
        assert float(intervals[0][0]) == 0 and float(intervals[-1][1]) == pytest.approx(answers.seconds, abs=1e-5)
        assert all(left[1] == right[0] for left, right in pairwise(intervals))
        assert f"intervals: size = {len(intervals)}" in tiers[name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["IN", "--format", "textgrid"], "writes one file a recording, found 2; give a folder with -o"),
        (["IN/below/../below", "IN/nothing*"], r"nothing\* holds no audio files"),
        (["IN", "--tasks", "qbe"], "no head for task 'qbe'"),
        (["IN", "--tasks", "asr", "--format", "rttm"], "--format rttm shows sd, found asr"),
        (["IN", "--top", "0"], "--top must be at least 1, found 0"),
        (["IN", "-o", "IN/a.wav"], "a.wav exists; choose another name"),
        (["IN", "--window", "1"], "window must be at least 8 s, found 1"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(*(word.replace("IN", str(folder)) for word in words)) == 2
    err = capsys.readouterr().err.strip()
    assert re.search(message, err) and "\n" not in err


def test_a_model_that_is_none_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "superb_tyni", str(folder)]) == 2
    assert "no model 'superb_tyni': no such file or folder; did you mean 'superb_tiny'" in capsys.readouterr().err
    assert main(["predict", str(folder / "a.wav"), str(folder)]) == 2
    assert "a.wav cannot be read" in capsys.readouterr().err


def test_an_output_file_is_written_whole(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder, "--tasks", "ks", "asr", "--format", "json", "-o", tmp_path / "out" / "a.json") == 0
    assert len(json.loads((tmp_path / "out" / "a.json").read_text())) == 2
    assert capsys.readouterr().out == ""


def test_the_terminal_shows_answers_and_nothing_else(folder: Path) -> None:
    command = [sys.executable, "-m", "s3prl_plugins.cli", "predict", "superb_tiny", "in/a.wav", "--tasks", "ks", "sd"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    first, *answers = done.stdout.splitlines()
    assert first.startswith("in/a.wav (")
    assert [line.split()[0] for line in answers] == ["sd", "ks"]
