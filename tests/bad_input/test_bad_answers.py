"""Recordings that are to be answered for, and prediction files that are to be submitted: one line for each bad one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
from damages import AUDIO, BINARY, FLIPPED, TEXT, bounded, restored, said_in_one_line

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.stdlist import write_stdlist
from s3prl_plugins.superb.submission import SLOTS
from s3prl_plugins.superb.submission_check import check
from s3prl_plugins.superb.submission_expected import Expected

TAKEN = ("8 kHz", "44.1 kHz", "48 kHz", "stereo", "six channels", "first half", "last sample gone")
"""Refused in a corpus; here every rate and number of channels is taken, and of a cut-off file what there is."""


def test_predict_has_one_line_for_each_bad_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tone = np.sin(np.arange(16000) / 20) / 4
    paths = []
    for number, (make, _) in enumerate(AUDIO.values()):
        paths.append(tmp_path / f"{number} ü" / "a.wav")
        paths[-1].parent.mkdir()
        soundfile.write(str(paths[-1]), tone, 16000)
        make(paths[-1])
        if paths[-1].is_dir():
            paths[-1] = paths[-1].with_name("folder.wav")  # a folder stands for the files in it
    command = ["predict", "superb_tiny", *map(str, paths), "--device", "cpu", "--format", "jsonl", "--tasks", "ks"]
    with bounded():
        assert main(command) == 1
    shown, said = capsys.readouterr()
    answers = {entry["name"]: entry for entry in map(json.loads, shown.splitlines())}
    lines = [line for line in said.splitlines() if line.startswith("s3prl-plugins predict: /")]
    faults = []
    for path, (kind, (_, owed)) in zip(paths, AUDIO.items(), strict=True):
        found = [line for line in lines if f"{path}: " in line]
        fault = said_in_one_line(found[0]) if found else ""
        expected = owed == "refused" and kind not in TAKEN
        if fault or len(found) != expected or ("error" in answers[str(path)]) != expected:
            faults.append(f"{kind}: {found} {fault}")
    assert not faults, "\n".join(faults)
    assert f"{len(lines)} of {len(paths)} recordings failed" in said


LABELS = {"action": ["on", "off"], "object": ["lamp"], "location": ["none"]}
LINES = {
    "asr": "a HELLO WORLD\nb IT'S\n", "pr": "a HH AH0 L OW1\nb <unk>\n", "sf": "a PLAY B-artist ME E-artist\nb ME\n",
    "ks": "a yes\nb yes\n", "sid": "a yes\nb yes\n", "er_fold1": "a yes\nb yes\n", "asv": "a 0.5\nb -1e-3\n",
    "ic": "a,on,lamp,none\nb,off,lamp,none\n",
}  # fmt: skip


def detections(path: Path) -> None:
    write_stdlist(path, {"a": {"d1": 2.5, "d2": -1.0}, "b": {"d1": 0.0, "d2": 0.25}})


def diarization(path: Path) -> None:
    """Of one recording; of a score's digits the form has no proof."""
    (path.parents[2] / "frame_shift").write_text("160\n")
    with h5py.File(path, "w") as file:
        file.create_dataset("T_hat", data=np.full((100, 2), 0.5, np.float32))


WRITTEN: dict[str, Callable[[Path], object]] = {
    **{name: lambda path, text=text: path.write_text(text) for name, text in LINES.items()},
    "qbe": detections,
    "sd": diarization,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_submit_has_lines_for_each_bad_file(name: str, tmp_path: Path) -> None:
    slot, place = SLOTS[name], tmp_path / "a b" / "für"
    path = place / (Path(slot.source).parent / "a.h5" if name == "sd" else slot.source)
    path.parent.mkdir(parents=True)
    WRITTEN[name](path)
    labels = {"ic": LABELS, "sf": {"slots": ["artist"]}}.get(slot.task, {"class": ["yes"]})
    names = ("a",) if name == "sd" else ("a", "b")
    expected = Expected("corpus", names=names, labels=labels, seconds={}, documents=("d1", "d2"))

    def found() -> list[str]:
        problems = Problems(gather=True)
        with bounded():
            check(slot, place, expected, problems)
        return [str(problem) for problem in problems.found]

    assert found() == []
    faults = []
    for kind, (make, owed) in (BINARY if name == "sd" else TEXT).items():
        with restored(path):
            make(path)
            lines = found()
            for moved in path.parent.glob(".moved-*"):
                moved.unlink()
        said = [fault for line in lines if (fault := said_in_one_line(line, place.name))]
        may = (*FLIPPED, "a block of zeros") if name == "sd" else ("UTF-16",) if name == "qbe" else ()  # XML may be
        if said or (owed == "refused" and not lines and kind not in may):
            faults.append(f"{kind}: {said or 'was taken'}")
    assert not faults, "\n".join(faults)
