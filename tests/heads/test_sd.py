"""Diarization's reader against s3prl's dataset, and its faults."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
import torch
from classification_cases import config, write_libri_mix

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.diarization_score import frame_labels
from s3prl_plugins.heads.task import build_reader
from s3prl_plugins.problems import Problems


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sd")
    write_libri_mix(root, recordings=12)
    return root


@pytest.mark.parametrize(("chunk", "step"), [(2000, 0.01), (40, 0.02)])
def test_training_stretches_and_labels_are_those_of_s3prl(tmp_path: Path, chunk: int, step: float) -> None:
    from s3prl.downstream.diarization.dataset import DiarizationDataset

    write_libri_mix(tmp_path, recordings=12, step=step)
    folder = str(tmp_path / "LibriMix" / "train")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = DiarizationDataset("train", folder, chunk_size=chunk, frame_shift=320, num_speakers=2)
    reader = build_reader(config("sd", corpus={"chunk_frames": chunk}), tmp_path)
    found = {(e.path.stem, e.start): e for e in reader.examples("train", Problems())}
    assert len(found) == len(theirs) == (12 if chunk == 2000 else 48)
    covered = 0
    for number, (recording, start, _) in enumerate(theirs.chunk_indices):
        wave, labels = theirs[number]
        example = found[recording, start * 320]
        torch.testing.assert_close(reader.waveform(example, None), torch.as_tensor(wave).float())
        lost = sum(end - begin == 0.8 for _, begin, end in example.label)  # s3prl loses what covers a whole chunk
        expected = torch.as_tensor(labels).sum(dim=1) + lost
        assert frame_labels(example.label, len(labels), 320, 2).sum(dim=1).tolist() == expected.tolist()
        covered += lost
    assert (covered > 0) is (chunk == 40)


def test_evaluation_hears_whole_recordings(root: Path) -> None:
    reader = build_reader(config("sd", corpus={"chunk_frames": 40}), root)
    test = reader.examples("test", Problems())
    assert [example.name for example in test] == sorted(f"test-{number}" for number in range(12))
    assert all(example.seconds == 2.5 and len(reader.waveform(example, None)) == 40000 for example in test)


def test_a_finer_frame_shift_shortens_the_chunks(root: Path) -> None:
    from dataclasses import replace

    fine = config("sd", corpus={"chunk_frames": 40})
    fine = replace(fine, head=replace(fine.head, frame_shift=160))
    assert max(example.seconds for example in build_reader(fine, root).examples("train", Problems())) == 0.4


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="dev: corpus folder is missing"):
        build_reader(config("sd"), tmp_path).examples("dev", Problems())
    write_libri_mix(tmp_path)
    folder = tmp_path / "LibriMix" / "dev"
    for name, line in (
        ("wav.scp", "piped sox a.flac -t wav - |"),
        ("segments", "lost dev-0 0.1 0.2\nx3 dev-1 0.1 soon\nx4 dev-1 0.1 0.2\nshort"),
        ("utt2spk", "x3 third\nx4 fourth"),
    ):
        (folder / name).write_text((folder / name).read_text() + line + "\n")
    problems = Problems(gather=True)
    found = build_reader(config("sd"), tmp_path).examples("dev", problems)
    assert [example.name for example in found] == ["dev-0", "dev-2"]
    text = "\n".join(map(str, problems.found))
    for fault in (
        "recording 'piped' must be an audio file, found the command 'sox a.flac -t wav - |'",
        "segment 'lost' of segments has no speaker",
        "must be a number of seconds, found 'soon'",
        "a line must hold 4 fields, found 'short'",
        "dev-1: more speakers than the head's num_speakers",
    ):
        assert fault in text


@pytest.mark.parametrize(("chunk", "pieces"), [(62, 2), (61, 3)])
def test_a_last_piece_too_short_for_an_upstream_is_left_out(root: Path, chunk: int, pieces: int) -> None:
    reader = build_reader(config("sd", corpus={"chunk_frames": chunk}), root)
    found = [example for example in reader.examples("train", Problems()) if example.path.stem == "train-0"]
    assert len(found) == pieces  # of 125 frames; 1 frame is 320 samples, 3 are 960
