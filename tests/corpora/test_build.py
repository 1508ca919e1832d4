"""Making the corpora: the same seed gives the same bytes, whole or not at all, and faults are one line."""

import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from s3prl_plugins import corpora
from s3prl_plugins.cli import main
from s3prl_plugins.corpora import build, manifest, studio
from s3prl_plugins.corpora.build import LAYOUTS, make
from s3prl_plugins.corpora.sizes import SIZES
from s3prl_plugins.errors import CorpusError


@pytest.fixture(scope="module")
def content(tiny_corpus):
    return manifest.read(tiny_corpus)


def test_neither_the_place_nor_the_number_of_processes_changes_a_byte_but_the_seed_does(tiny_corpus, content, tmp_path):
    again, made = make(tmp_path / "again", size="tiny", jobs=1)
    assert made and again["sha256"] == content["sha256"]
    files = sorted(path.relative_to(tiny_corpus) for path in tiny_corpus.rglob("*") if path.is_file())
    changed = [path for path in files if (tmp_path / "again" / path).read_bytes() != (tiny_corpus / path).read_bytes()]
    assert {path.name for path in changed} <= {"wav.scp"}
    other, _ = make(tmp_path / "other", size="tiny", seed=1, jobs=2)
    assert other["sha256"] != content["sha256"]


def test_the_checksum_sees_names_and_contents(tmp_path):
    root = tmp_path / "a"
    root.mkdir()
    (root / "x").write_text("1")
    first = manifest.checksum(root, root)
    (root / "x").write_text("2")
    second = manifest.checksum(root, root)
    (root / "x").rename(root / "y")
    assert len({first, second, manifest.checksum(root, root)}) == 3
    (root / manifest.FILE).write_text("{}")
    assert manifest.checksum(root, root) == manifest.checksum(root, root / ".")


def test_the_manifest_counts_what_is_there(tiny_corpus, content):
    audio = [path for path in tiny_corpus.rglob("*") if path.suffix in {".wav", ".flac"}]
    assert sum(corpus["files"] for corpus in content["corpora"].values()) == len(audio)
    seconds = sum(soundfile.info(str(path)).duration for path in audio)
    assert content["minutes"] == pytest.approx(seconds / 60, abs=0.01)
    for corpus in content["corpora"].values():
        assert sum(split["files"] for split in corpus["splits"].values()) == corpus["files"]
    assert content["words"] == sorted(set(content["words"])) and len(content["words"]) <= 150
    assert content["sha256"] == manifest.checksum(tiny_corpus, tiny_corpus)


def test_all_audio_is_16_khz_mono_pcm_and_never_clips(tiny_corpus):
    for path in tiny_corpus.rglob("*"):
        if path.suffix not in {".wav", ".flac"}:
            continue
        header = soundfile.info(str(path))
        assert (header.samplerate, header.channels, header.subtype) == (16000, 1, "PCM_16"), path
        wave, _ = soundfile.read(str(path))
        assert 0.001 < np.abs(wave).max() <= 0.9001, path
        assert np.sqrt(np.mean(wave**2)) < 0.2, path


def test_sizes_hold_what_the_tasks_need():
    mini = SIZES["mini"]
    assert sum(mini.vox_speakers) >= 40 and mini.vox_speakers[1] >= 8 and mini.vox_dev_trial_speakers >= 6
    assert mini.ks_clips[2] * 12 >= 300 and sum(mini.vox_speakers) * mini.vox_utterances[2] >= 300
    assert mini.fsc_repeats[2] * 18 >= 300 and mini.emotion_repeats[0] * 8 >= 300
    assert min(mini.vox_trials) >= 600 and mini.mixtures[0] >= 60 and min(mini.queries) >= 20


@pytest.mark.parametrize("size", ["tiny", "mini"])
def test_every_recording_has_a_path_of_its_own(size):
    paths = [recording.path for layout in LAYOUTS for recording in layout(SIZES[size], 0).recordings]
    assert len(paths) == len(set(paths)) > 200


def test_a_finished_corpus_is_kept(tiny_corpus, content, monkeypatch, capsys):
    monkeypatch.setattr(build, "record", None)
    assert make(tiny_corpus, size="tiny") == (content, False)
    assert main(["corpus", "make", str(tiny_corpus), "--size", "tiny"]) == 0
    assert "kept: it was there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"size": "tiny", "seed": 1},
            r"holds mini-SUPERB of size tiny, seed 0, .* asked for size tiny, seed 1, .*; remove",
        ),
        ({"size": "mini"}, r"holds mini-SUPERB of size tiny"),
        ({"size": "minni"}, r"unknown size 'minni'; did you mean 'mini'\? Known: mini, small, tiny"),
        ({"size": "tiny", "seed": -1}, r"seed must be 0 or more, found -1"),
        ({"size": "tiny", "jobs": 0}, r"jobs must be 1 or more, found 0"),
    ],
)
def test_another_corpus_or_a_bad_option_is_refused(tiny_corpus, arguments, message):
    with pytest.raises(CorpusError, match=message):
        make(tiny_corpus, **arguments)


def test_a_folder_with_other_files_is_refused_and_left_as_it_was(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["corpus", "make", str(tmp_path), "--size", "tiny"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "must be a new or empty folder, found other files; choose another" in error
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / manifest.FILE).write_text(json.dumps({"name": "something else"}))
    with pytest.raises(CorpusError, match="must be a new or empty folder"):
        make(tmp_path, size="tiny")


def test_an_interrupted_run_leaves_nothing_and_the_next_one_succeeds(tmp_path, monkeypatch):
    small = {"tiny": SIZES["tiny"]}
    monkeypatch.setattr(build, "LAYOUTS", [build.quesst14.plan])
    monkeypatch.setattr(build, "SIZES", small)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build.manifest, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "corpus", size="tiny", jobs=1)
    assert list(tmp_path.iterdir()) == []
    # What a killed run could not remove itself goes with the next run; a run that is alive keeps its files.
    process = multiprocessing.get_context("spawn").Process(target=len, args=("",))
    process.start()
    process.join()
    (tmp_path / f".corpus.{process.pid}.abc" / "corpus").mkdir(parents=True)
    (tmp_path / f".corpus.{os.getpid()}.abc").mkdir()
    (tmp_path / "corpus").mkdir()
    assert make(tmp_path / "corpus", size="tiny", jobs=1)[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".corpus.{os.getpid()}.abc", "corpus"]


def test_missing_espeak_is_told_before_anything_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("s3prl_plugins.corpora.espeak.importlib.util.find_spec", lambda name: None)
    assert main(["corpus", "make", str(tmp_path / "corpus")]) == 2
    error = capsys.readouterr().err
    assert error == "s3prl-plugins corpus: making speech needs espeak-ng: pip install 's3prl-plugins[mini]'\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match=r"file/corpus: must be writable, found: .*; free space or choose another"):
        make(tmp_path / "file" / "corpus", size="tiny")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_maker_however_it_ends(tmp_path, how):
    """They hold the other end of stderr, which closes only when the last of them is gone."""
    command = [sys.executable, "-m", "s3prl_plugins.cli", "corpus", "make", str(tmp_path / "corpus"), "--jobs", "2"]
    # A shell that starts this in the background makes it ignore SIGINT.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=heed) as maker:
        while b"file/s" not in maker.stderr.read(80):
            pass
        maker.send_signal(how)
        maker.communicate(timeout=30)
    left = [path.name for path in tmp_path.iterdir()]
    if how == signal.SIGINT:
        assert maker.returncode == 130 and left == []
    else:
        assert maker.returncode == -how and all(name.startswith(".corpus.") for name in left)


def test_other_corpora_are_made_of_the_same_parts(tmp_path):
    """Speakers with a purpose of their own and texts of the training part: apart from every test set."""
    random = corpora.generator(0, "pretraining", "speaker", 1)
    voice, sentence = corpora.random_voice(random), next(corpora.sentences(random, "train"))
    recording = corpora.Recording("a/b.wav", 0, (corpora.Line(voice, sentence.text),), corpora.random_scene(random))
    (take,) = corpora.record([recording], tmp_path, jobs=3)
    assert take.samples == soundfile.info(str(tmp_path / "a" / "b.wav")).frames and take.path == "a/b.wav"
    made = {line.voice for layout in LAYOUTS for made in layout(SIZES["mini"], 0).recordings for line in made.lines}
    assert voice not in made and len(made) > 100


def test_a_killed_worker_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(studio, "_serve", _die)
    with pytest.raises(CorpusError, match=r"was killed \(out of memory\?\); try fewer --jobs"):
        list(studio.record([corpora.Recording("a.wav", 0, seconds=1.0)], tmp_path, jobs=1))


def _die(connection, root):
    connection.recv()
    os.kill(os.getpid(), signal.SIGKILL)
