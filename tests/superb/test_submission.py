"""The submission's layout, its writing, and every check of a prediction file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.submission import SLOTS, check_free, slot, write_submission
from s3prl_plugins.superb.submission_check import check
from s3prl_plugins.superb.submission_expected import Expected, from_truth
from s3prl_plugins.superb.units import CHARACTERS, LETTERS, PHONES

# What s3prl's submit.py copies: option -> (file in the experiment's folder, path below predict/).
TABLE = {
    "pr": ("test-hyp.ark", "pr_public/predict.ark"),
    "sid": ("test_predict.txt", "sid_public/predict.txt"),
    "ks": ("test_predict.txt", "ks_public/predict.txt"),
    "ic": ("test_predict.csv", "ic_public/predict.csv"),
    "er_fold1": ("test_fold1_predict.txt", "er_fold1_public/predict.txt"),
    "er_fold2": ("test_fold2_predict.txt", "er_fold2_public/predict.txt"),
    "er_fold3": ("test_fold3_predict.txt", "er_fold3_public/predict.txt"),
    "er_fold4": ("test_fold4_predict.txt", "er_fold4_public/predict.txt"),
    "er_fold5": ("test_fold5_predict.txt", "er_fold5_public/predict.txt"),
    "asr_no_lm": ("test-clean-noLM-hyp.ark", "asr_public/predict.ark"),
    "asr_with_lm": ("test-clean-LM-hyp.ark", "asr_lm_public/predict.ark"),
    "qbe": ("benchmark.stdlist.xml", "qbe_public/benchmark.stdlist.xml"),
    "sf": ("test-hyp.ark", "sf_public/predict.ark"),
    "sv": ("test_predict.txt", "sv_public/predict.txt"),
    "sd": ("scoring/predictions/r1.h5", "sd_public/scoring/predictions/r1.h5"),
}


@pytest.mark.parametrize("option", TABLE)
def test_the_layout_is_that_of_s3prls_script(option: str, tmp_path: Path) -> None:
    source, target = TABLE[option]
    path = tmp_path / source
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (tmp_path / "decoy-hyp.ark").touch()
    assert slot(option).files(tmp_path) == {target: path}


def test_diarization_takes_its_frame_shift_along(tmp_path: Path) -> None:
    names = ("frame_shift", "scoring/predictions/a.h5", "scoring/predictions/b.h5")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = slot("sd").files(tmp_path)
    assert sorted(found) == [
        f"sd_public/{name}" for name in ("frame_shift", "scoring/predictions/a.h5", "scoring/predictions/b.h5")
    ]
    assert slot("pr").files(tmp_path) == {}


def test_every_part_of_s3prls_script_but_enhancement_and_translation_has_a_slot() -> None:
    assert {entry.option or name for name, entry in SLOTS.items()} == set(TABLE)


def test_unknown_parts_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown task 'ssid' in --task; did you mean 'sid'"):
        slot("ssid")
    with pytest.raises(ConfigError, match="er is submitted as five folds; write er_fold1=DIR"):
        slot("er")


class TestWriting:
    def files(self, folder: Path) -> dict[str, Path]:
        folder.mkdir()
        for name in ("a", "b"):
            (folder / name).write_text(name * 1000)
        return {"sid_public/predict.txt": folder / "b", "pr_public/predict.ark": folder / "a"}

    def test_folder_and_zip_hold_the_same(self, tmp_path: Path) -> None:
        files = self.files(tmp_path / "in")
        archive = write_submission(tmp_path / "deep" / "out", files)
        assert archive == tmp_path / "deep" / "out" / "predict.zip"
        with zipfile.ZipFile(archive) as content:
            assert content.testzip() is None
            assert content.namelist() == [
                "predict/", "predict/pr_public/", "predict/pr_public/predict.ark",
                "predict/sid_public/", "predict/sid_public/predict.txt",
            ]  # fmt: skip
            for name, source in files.items():
                assert content.read(f"predict/{name}") == source.read_bytes()
                assert (archive.parent / "predict" / name).read_bytes() == source.read_bytes()
        assert sorted(path.name for path in archive.parent.iterdir()) == ["predict", "predict.zip"]
        assert list((tmp_path / "deep").iterdir()) == [archive.parent]

    def test_the_same_files_give_the_same_zip(self, tmp_path: Path) -> None:
        files = self.files(tmp_path / "in")
        first = write_submission(tmp_path / "one", files).read_bytes()
        (tmp_path / "in" / "a").touch()
        (tmp_path / "in" / "a").chmod(0o600)
        again = write_submission(tmp_path / "two", dict(reversed(files.items()))).read_bytes()
        assert first == again

    def test_nothing_is_left_where_a_file_cannot_be_read(self, tmp_path: Path) -> None:
        files = self.files(tmp_path / "in") | {"ks_public/predict.txt": tmp_path / "absent"}
        with pytest.raises(FileNotFoundError):
            write_submission(tmp_path / "out", files)
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_an_earlier_submission_is_replaced_only_by_force_and_only_if_it_is_one(self, tmp_path: Path) -> None:
        files = self.files(tmp_path / "in")
        out = tmp_path / "out"
        write_submission(out, {"old_public/x": tmp_path / "in" / "a"})
        with pytest.raises(ConfigError, match="out exists already; choose another -o, or replace it with --force"):
            write_submission(out, files)
        assert (out / "predict" / "old_public").is_dir()
        write_submission(out, files, force=True)
        assert not (out / "predict" / "old_public").exists() and (out / "predict" / "sid_public").is_dir()
        (out / "thesis.tex").touch()
        with pytest.raises(ConfigError, match="holds 'thesis.tex'; choose another -o"):
            write_submission(out, files, force=True)
        with pytest.raises(ConfigError, match="holds 'a'; choose another -o"):
            check_free(tmp_path / "in" / "a", force=True)


NOTHING = Expected("")


def faults(name: str, place: Path, expected: Expected = NOTHING) -> list[str]:
    problems = Problems(gather=True)
    check(slot(name), place, expected, problems)
    return [problem.rule for problem in problems.found]


def lines(place: Path, name: str, text: str) -> Path:
    (place / name).write_text(text, encoding="utf-8")
    return place


NAMES = Expected("corpus", names=["a", "b", "c"])


def test_missing_doubled_and_unknown_utterances_are_all_told(tmp_path: Path) -> None:
    lines(tmp_path, "test-clean-noLM-hyp.ark", "a HELLO\nb \nb IT'S\nz X\n")
    assert faults("asr", tmp_path, NAMES) == [
        "every test utterance must be there (1 fault: 'c' missing)",
        "every test utterance must be there once (1 fault: 'b' 2 times)",
        "only test utterances may be there (1 fault: 'z')",
    ]
    # Nothing to compare with: only what is there twice can be seen.
    assert faults("asr", tmp_path) == ["every test utterance must be there once (1 fault: 'b' 2 times)"]
    lines(tmp_path, "test-clean-noLM-hyp.ark", "")
    assert faults("asr", tmp_path, NAMES) == ["a file must hold predictions (1 fault: an empty one)"]


def test_like_faults_share_a_line(tmp_path: Path) -> None:
    lines(tmp_path, "test_predict.txt", "a yes\n")
    many = Expected("corpus", names=["a", *(f"u{number}" for number in range(40))], labels={"keyword": ["yes"]})
    assert faults("ks", tmp_path, many) == [
        "every test utterance must be there (40 faults: " + "'u0' missing, 'u1' missing, 'u2' missing, ...)"
    ]


GOOD_AND_BAD = [
    ("asr", "test-clean-noLM-hyp.ark", ["a HELLO IT'S", "a ", "a H<unk>I"], ["a hello", "a 4", "a X|Y"], "spelled with A-Z"),
    ("pr", "test-hyp.ark", ["a HH AH0", "a ", "a <unk> SIL"], ["a HH AH", "a HH  AH0", "a hh"], "must be phones"),
    ("sf", "test-hyp.ark", ["a PLAY B-artist X E-artist", "a XB-artist "], ["a play", "a B-song X"], "B- and E- marks"),
    ("ks", "test_predict.txt", ["a yes", "a _silence_"], ["a maybe", "a yes no", "a"], "NAME CLASS|name and its prediction"),
    ("er_fold2", "test_fold2_predict.txt", ["a hap"], ["a joy"], "NAME EMOTION"),
    ("sid", "test_predict.txt", ["a id10001"], ["a id1", "a,id10001"], "NAME SPEAKER|name and its prediction"),
    ("ic", "test_predict.csv", ["a,on,light,none"], ["a,on,light", "a,on,none,light", "a on light none"], "NAME,ACTION|a name"),
    ("asv", "test_predict.txt", ["a 0.5", "a -1e-3"], ["a nan", "a x", "a 1 2", "a inf"], "TRIAL SCORE"),
]  # fmt: skip
LABELS = {
    "sf": {"characters": ["A"], "slots": ["artist"]}, "ks": {"keyword": ["yes", "_silence_"]},
    "er_fold2": {"emotion": ["hap", "sad"]}, "sid": {"speaker": ["id10001"]},
    "ic": {"action": ["on"], "object": ["light"], "location": ["none"]},
}  # fmt: skip


@pytest.mark.parametrize(("name", "file", "good", "bad", "rule"), GOOD_AND_BAD)
def test_lines_parse_and_answers_are_of_the_inventory(
    name: str, file: str, good: list[str], bad: list[str], rule: str, tmp_path: Path
) -> None:
    import re

    expected = Expected("corpus", labels=LABELS.get(name, {}))
    for line in good:
        assert faults(name, lines(tmp_path, file, f"{line}\n"), expected) == []
    for line in bad:
        found = faults(name, lines(tmp_path, file, f"{line}\n"), expected)
        assert found and re.search(rule, found[0]), (line, found)
        assert "line 1" in found[0]


@pytest.mark.parametrize("task", ["asr", "pr", "sf"])
def test_whatever_a_head_can_say_passes(task: str, tmp_path: Path) -> None:
    from s3prl_plugins.heads.task import build_head
    from s3prl_plugins.multitask.config import task_configs

    labels: Any = {"asr": LETTERS, "pr": PHONES}.get(task, {"characters": CHARACTERS, "slots": ["artist", "timeRange"]})
    head: Any = build_head(task_configs({"size": "mini", "tasks": [task]})[task], labels, 4, 320)
    random = np.random.default_rng(0)
    said = [head.join(head.vocabulary.units(random.integers(len(head.vocabulary), size=30))) for _ in range(200)]
    lines(tmp_path, slot(task).source, "".join(f"u{number} {text}\n" for number, text in enumerate(said)))
    known = {"slots": labels["slots"]} if task == "sf" else {}
    assert all(len(text) > 20 for text in said)
    assert faults(task, tmp_path, Expected("corpus", labels=known)) == faults(task, tmp_path, Expected("")) == []


def test_without_a_corpus_classes_are_free_but_the_form_is_not(tmp_path: Path) -> None:
    assert faults("sid", lines(tmp_path, "test_predict.txt", "a anyone\n")) == []
    assert faults("sid", lines(tmp_path, "test_predict.txt", "a any one\n"))
    assert faults("sf", lines(tmp_path, "test-hyp.ark", "a B-timeRange NOW E-timeRange\n")) == []
    assert faults("sf", lines(tmp_path, "test-hyp.ark", "a now\n"))


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "test-hyp.ark").write_bytes(b"a \xff\n")
    assert "must be readable UTF-8 text" in faults("pr", tmp_path)[0]


def test_verification_trials_may_be_listed_twice(tmp_path: Path) -> None:
    trials = Expected("corpus", names=["x_y", "x_y", "x_z"])
    assert faults("asv", lines(tmp_path, "test_predict.txt", "x_y 1\nx_z 0\nx_y 1\n"), trials) == []
    assert faults("asv", lines(tmp_path, "test_predict.txt", "x_y 1\nx_z 0\n"), trials)


class TestDiarization:
    seconds = Expected("corpus", names=["r1"], seconds={"r1": 2.0})

    def place(self, folder: Path, array: np.ndarray | None, shift: str | None = "320\n", name: str = "T_hat") -> Path:
        (folder / "scoring" / "predictions").mkdir(parents=True)
        with h5py.File(folder / "scoring" / "predictions" / "r1.h5", "w") as file:
            if array is not None:
                file.create_dataset(name, data=array)
        if shift is not None:
            (folder / "frame_shift").write_text(shift)
        return folder

    def test_good_ones_pass(self, tmp_path: Path) -> None:
        for frames, shift in ((100, 320), (99, 320), (200, 160)):
            array = np.full((frames, 2), 0.5, np.float32)
            assert faults("sd", self.place(tmp_path / f"{frames}", array, str(shift)), self.seconds) == []

    @pytest.mark.parametrize(
        ("array", "shift", "name", "rule"),
        [
            (np.full((100, 3), 0.5), "320", "T_hat", r"probabilities \(frames, 2\) \(1 fault: r1.h5 of shape \(100, 3\)"),
            (np.full((0, 2), 0.5), "320", "T_hat", r"of shape \(0, 2\)"),
            (np.full((100, 2), 1.5), "320", "T_hat", "r1.h5 outside 0..1"),
            (np.full((100, 2), np.nan), "320", "T_hat", "r1.h5 outside 0..1"),
            (np.ones((100, 2), int), "320", "T_hat", r"of shape \(100, 2\)"),
            (np.full((100, 2), 0.5), "320", "other", "r1.h5 without T_hat"),
            (np.full((100, 2), 0.5), "160", "T_hat", "length .*r1.h5 100 for 2.00 s"),
            (np.full((100, 2), 0.5), "20 ms", "T_hat", "frame_shift must hold the samples of a frame .*'20 ms'"),
            (np.full((100, 2), 0.5), None, "T_hat", "no such file"),
        ],
    )  # fmt: skip
    def test_bad_ones_are_told(
        self, array: np.ndarray, shift: str | None, name: str, rule: str, tmp_path: Path
    ) -> None:
        import re

        found = faults("sd", self.place(tmp_path, array, shift, name), self.seconds)
        assert len(found) == 1 and re.search(rule, found[0]), found

    def test_strange_and_damaged_files_are_told(self, tmp_path: Path) -> None:
        place = self.place(tmp_path, np.full((100, 2), 0.5))
        (place / "scoring" / "predictions" / "notes.txt").touch()
        (place / "scoring" / "predictions" / "r2.h5").write_bytes(b"no hdf5")
        found = faults("sd", place, self.seconds)
        assert len(found) == 3
        assert "nothing else (1 fault: notes.txt)" in found[0] and "r2.h5 unreadable" in found[1]
        assert "only test utterances may be there (1 fault: 'r2')" in found[2]


class TestQueryByExample:
    known = Expected("corpus", names=["q1", "q2"], documents=["d1", "d2"])

    def faults(self, folder: Path, change: Callable[[str], str], expected: Expected = known) -> list[str]:
        terms = "".join(f'<term file="{name}" channel="1" score="-0.5" decision="NO"/>' for name in ("d1", "d2"))
        body = "".join(f'<detected_termlist termid="{query}">{terms}</detected_termlist>' for query in ("q1", "q2"))
        return faults("qbe", lines(folder, "benchmark.stdlist.xml", change(f"<stdlist>{body}</stdlist>")), expected)

    def test_good_ones_pass(self, tmp_path: Path) -> None:
        assert self.faults(tmp_path, str) == []
        assert self.faults(tmp_path, str, Expected("")) == []

    @pytest.mark.parametrize(
        ("old", "new", "rule"),
        [
            ("</stdlist>", "", "well-formed XML"),
            ("stdlist", "list", "well-formed XML with the root stdlist (1 fault: the root is list)"),
            ('"q2"', '"q1"', "every test utterance must be there once (1 fault: 'q1' 2 times)"),
            ('"d2"', '"d3"', "every query must have each document once (2 faults: 'q1' with 'd2' 0 times"),
            ('"-0.5"', '"nan"', "a term must have a finite score and the decision YES or NO (2 faults: 'd1' of 'q1'"),
            ('"NO"', '"PERHAPS"', "a term must have a finite score and the decision YES or NO"),
        ],
    )  # fmt: skip
    def test_bad_ones_are_told(self, old: str, new: str, rule: str, tmp_path: Path) -> None:
        found = self.faults(tmp_path, lambda text: text.replace(old, new))
        assert any(rule in line for line in found), found

    def test_without_a_corpus_queries_must_agree(self, tmp_path: Path) -> None:
        found = self.faults(tmp_path, lambda text: text.replace('"d2"', '"d3"', 1), Expected(""))
        assert found == ["every query must have each document once (1 fault: 'q2' with 'd2' 1 times)"]


def test_truth_files_tell_names_where_no_corpus_does(tmp_path: Path) -> None:
    lines(tmp_path, "test_truth.csv", "u1,a,b,c\nu2,a,b,c\n")
    lines(tmp_path, "test-clean-noLM-ref.ark", "u1 HELLO\n")
    lines(tmp_path, "test_truth.txt", "")
    assert from_truth(slot("ic"), tmp_path) == Expected("test_truth.csv", ["u1", "u2"])
    assert from_truth(slot("asr"), tmp_path).names == ["u1"]
    assert from_truth(slot("asr_lm"), tmp_path).names is None
    assert from_truth(slot("asv"), tmp_path) == Expected("")  # s3prl leaves it empty
    assert from_truth(slot("sd"), tmp_path) == Expected("")
    assert "_silence_" in from_truth(slot("ks"), tmp_path).labels["keyword"]
