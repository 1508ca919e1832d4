"""Speech to pretrain on: nobody and nothing of mini-SUPERB's test sets, the same bytes for the same options."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from s3prl_plugins.cli import main
from s3prl_plugins.corpora import generator
from s3prl_plugins.corpora.build import LAYOUTS, make_speech
from s3prl_plugins.corpora.layouts import speech
from s3prl_plugins.corpora.sizes import SIZES
from s3prl_plugins.errors import CorpusError


def test_no_text_and_no_voice_of_mini_superbs_test_sets() -> None:
    pretraining = speech.plan(5.0, 0)
    others = [recording for layout in LAYOUTS for recording in layout(SIZES["mini"], 0).recordings]
    held_out = {
        line.text
        for layout in LAYOUTS
        for plan in [layout(SIZES["mini"], 0)]
        for recording in plan.recordings
        if not any(recording.path in plan.splits[split] for split in plan.splits if "train" in split)
        for line in recording.lines
    }
    texts = {line.text for recording in pretraining.recordings for line in recording.lines}
    assert held_out and not texts & held_out
    ours = {line.voice.formants for recording in pretraining.recordings for line in recording.lines}
    theirs = {line.voice.formants for recording in others for line in recording.lines}
    assert not ours & theirs
    assert len(ours) == 250


def test_texts_are_varied_and_spellable() -> None:
    texts = list(itertools.islice(speech.texts(generator(0, "test")), 2000))
    assert len(set(texts)) > 1600
    assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyz ") for text in texts)
    assert len({word for text in texts for word in text.split()}) > 1500


def test_made_twice_the_same_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, made = make_speech(tmp_path / "a", 0.01, jobs=1)
    second, _ = make_speech(tmp_path / "b", 0.01, jobs=2)
    assert made and first["sha256"] == second["sha256"]
    assert np.isclose(first["minutes"], 0.6, rtol=0.4)
    assert main(["corpus", "speech", str(tmp_path / "a"), "--hours", "0.01"]) == 0
    assert "kept: it was there already" in capsys.readouterr().out
    with pytest.raises(CorpusError, match=r"holds speech of hours 0\.01, seed 0, version \d+, asked for hours 0\.02"):
        make_speech(tmp_path / "a", 0.02)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf")])
def test_hours_must_be_positive(tmp_path: Path, hours: float) -> None:
    with pytest.raises(CorpusError, match="hours must be a number above 0"):
        make_speech(tmp_path / "a", hours)
