"""Which stretches of speech a task names: classes, words, caps, alignments."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch

from s3prl_plugins.config import load_yaml
from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.task import TaskConfig, task_config
from s3prl_plugins.multitask.config import shipped_configs
from s3prl_plugins.pretext.alignments import guess_alignment, read_alignments
from s3prl_plugins.pretext.segments import CLASS_TASKS, WORD_TASKS, Caps, Segment, choose, speech_of

LINE = '1-2-0003 ",GO,,DO," "0.490,0.890,1.270,1.380,1.49"'


def task(name: str) -> TaskConfig:
    return task_config(load_yaml(shipped_configs() / "superb" / f"{name}_mini.yaml"))


@pytest.mark.parametrize("name", CLASS_TASKS)
def test_classes_are_the_labels(name: str, tiny_corpus: Path) -> None:
    speech = speech_of(task(name), tiny_corpus)
    assert len(speech.segments) == len(speech.examples) and not speech.guessed
    assert all(segment.start == 0 and segment.end is None for segment in speech.segments)
    labels = {segment.label for segment in speech.segments}
    if name == "er":
        assert labels == {"ang", "hap", "neu", "sad"}
    if name in ("sid", "asv"):
        for segment in speech.segments:
            assert speech.examples[segment.utterance].path.parts[-3].startswith("id")
        folders = {speech.examples[segment.utterance].path.parts[-3]: segment.label for segment in speech.segments}
        assert len(set(folders.values())) == len(folders) == len(labels)
    assert len(speech.wave(0)) > 400


@pytest.mark.parametrize("name", WORD_TASKS)
def test_words_lie_one_after_another(name: str, tiny_corpus: Path) -> None:
    speech = speech_of(task(name), tiny_corpus)
    assert speech.guessed
    for index, example in enumerate(speech.examples):
        own = [segment for segment in speech.segments if segment.utterance == index]
        assert [segment.label for segment in own] == example.label.split()
        borders = [own[0].start, *(segment.end for segment in own)]
        assert all(a < b for a, b in itertools.pairwise(borders)) and borders[-1] <= example.seconds + 1e-6
        assert all(a.end == b.start for a, b in itertools.pairwise(own))


def test_alignments_take_the_place_of_guesses(tiny_corpus: Path, tmp_path: Path) -> None:
    guessed = speech_of(task("asr"), tiny_corpus)
    words = guessed.examples[0].label.split()
    ends = ",".join(f"{0.1 * i:.3f}" for i in range(1, len(words) + 2))
    (tmp_path / "a.alignment.txt").write_text(f'{guessed.examples[0].name} ",{",".join(words)}" "{ends}"\n')
    speech = speech_of(task("asr"), tiny_corpus, tmp_path)
    assert not speech.guessed and [segment.label for segment in speech.segments] == words
    assert (speech.segments[0].utterance, speech.segments[0].start, speech.segments[0].end) == (0, 0.1, 0.2)
    (tmp_path / "a.alignment.txt").write_text(LINE)
    with pytest.raises(CorpusError, match="name none of 8 utterances"):
        speech_of(task("asr"), tiny_corpus, tmp_path)


def test_alignment_files(tmp_path: Path) -> None:
    folder = tmp_path / "1" / "2"
    folder.mkdir(parents=True)
    (folder / "1-2.alignment.txt").write_text(LINE + "\n\n")
    assert read_alignments(tmp_path) == {"1-2-0003": (("GO", 0.49, 0.89), ("DO", 1.27, 1.38))}


@pytest.mark.parametrize(
    "line", ["1-2-0003", '1-2-0003 "A,B" "0.1"', '1-2-0003 "A,B" "0.2,0.1"', '1-2-0003 "A" "x"', '1-2-0003 "A" "nan"']
)
def test_damaged_alignments(line: str, tmp_path: Path) -> None:
    (tmp_path / "1-2.alignment.txt").write_text(f"{LINE}\n{line}\n")
    with pytest.raises(CorpusError, match=r"1-2\.alignment\.txt:2: a line must be: .* restore the file"):
        read_alignments(tmp_path)


def test_no_alignments(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no alignment was found"):
        read_alignments(tmp_path)


def test_a_guess_leaves_outer_silence_out() -> None:
    wave = torch.zeros(16000)
    wave[4000:12000] = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    one, two = guess_alignment(wave, ["A", "THE"])
    assert (one[0], two[0]) == ("A", "THE")
    assert one[1] == pytest.approx(0.25, abs=0.03) and two[2] == pytest.approx(0.75, abs=0.03)
    assert (two[2] - two[1]) == pytest.approx(3 * (one[2] - one[1]))
    assert guess_alignment(torch.zeros(100), ["A"]) == (("A", 0.0, 100 / 16000),)


@pytest.mark.parametrize("name", ["sd", "sf"])
def test_tasks_without_classes(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"task '{name}' has neither one class an utterance nor aligned words; use one of er"
    ):
        speech_of(task(name), Path("none"))


def test_alignments_for_a_task_without_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="task 'er' has no use for word alignments"):
        speech_of(task("er"), tmp_path, tmp_path)


def test_caps() -> None:
    segments = [Segment(i, label) for i, label in enumerate("a" * 30 + "b" * 20 + "c" * 9 + "d" * 3)]
    chosen = choose(segments, Caps(per_class=12, classes=100, fewest=5), 0)
    assert {label: len(found) for label, found in chosen.items()} == {"a": 12, "b": 12, "c": 9}
    assert all(segment.label == label for label, found in chosen.items() for segment in found)
    assert all(count == 1 for found in chosen.values() for count in Counter(s.utterance for s in found).values())
    assert list(choose(segments, Caps(classes=2), 0)) == ["a", "b"]
    assert choose(segments, Caps(per_class=12), 0) == choose(segments[::-1][::-1], Caps(per_class=12), 0)
    assert choose(segments, Caps(per_class=12), 0) != choose(segments, Caps(per_class=12), 1)
    with pytest.raises(
        CorpusError, match="a class needs at least 40 samples, the largest of 4 has 30; use a larger corpus"
    ):
        choose(segments, Caps(fewest=40), 0)


@pytest.mark.parametrize("caps", [{"fewest": 3}, {"per_class": 5}, {"classes": 0}])
def test_caps_that_cannot_be(caps: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="caps must hold 4 <= fewest <= per_class and 1 <= classes"):
        Caps(**caps)
