"""What a loaded model says is what evaluation scores; the encoder runs once; faults stay with their recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from s3prl_plugins.config import load_yaml
from s3prl_plugins.errors import AudioError, ConfigError
from s3prl_plugins.heads.contract import Prediction
from s3prl_plugins.inference.answers import Answers
from s3prl_plugins.inference.audio import hear
from s3prl_plugins.inference.calibration import calibration
from s3prl_plugins.inference.interpret import runs, slots_of
from s3prl_plugins.inference.model import Model
from s3prl_plugins.multitask.config import find_config, task_configs
from s3prl_plugins.multitask.evaluation import Evaluator
from s3prl_plugins.multitask.tasks import TaskData, read_tasks
from s3prl_plugins.superb.cards import FINETUNED_TASKS, card


@pytest.fixture(scope="module")
def tasks(tiny_corpus: Path) -> dict[str, TaskData]:
    return read_tasks(task_configs(load_yaml(find_config("all_task_mini"))), tiny_corpus)


@pytest.fixture(scope="module")
def recording(tiny_corpus: Path) -> str:
    return str(min((tiny_corpus / "SNIPS").rglob("*.wav")))


@pytest.fixture
def passes(superb_tiny: Model) -> Any:
    """Samples of every pass through the encoder."""
    seen: list[int] = []
    handle = superb_tiny.joint.trunk.upstream.register_forward_pre_hook(
        lambda _, given: seen.extend(map(len, given[0]))
    )
    yield seen
    handle.remove()


def as_output(task: str, answers: Answers, frames: int) -> Any:
    """An answer in the form of `Prediction.output`."""
    answer = getattr(answers, task)
    if task in ("asr", "pr"):
        return answer.text
    if task == "sf":
        return answer.marked
    if task == "ic":
        return tuple(label.label for label in answer.slots.values())
    if task == "asv":
        return torch.tensor(answer.vector)
    if task == "sd":
        logits = torch.full((frames, 2), -10.0)
        for turn in answer.turns:
            logits[round(turn.start / 0.02) : round(turn.stop / 0.02), int(turn.label) - 1] = 10.0
        return logits
    return answer.label


@pytest.mark.parametrize("task", FINETUNED_TASKS)
def test_answers_for_the_test_set_score_what_evaluation_scores(
    task: str, superb_tiny: Model, tasks: dict[str, TaskData], monkeypatch: pytest.MonkeyPatch
) -> None:
    test, head = card(task).test, superb_tiny.joint.head(task)
    if task in superb_tiny.calibration:
        chosen = calibration(superb_tiny.joint, {task: tasks[task]})[task]
        assert chosen.keys() == superb_tiny.calibration[task].keys()
        monkeypatch.setitem(superb_tiny.calibration, task, chosen)
    examples = tasks[task].examples(test)
    given: list[Any] = [str(example.path) for example in examples]
    predicted = []
    for example, answer in zip(examples, superb_tiny(given, tasks=[task], as_evaluated=True), strict=True):
        assert isinstance(answer, Answers) and answer.name == str(example.path)
        frames = (round(example.seconds * 16000) - 80) // 320
        truth = head.known(example.label) if task in ("asr", "pr", "sf") else example.label
        predicted.append(Prediction(example.name, as_output(task, answer, frames), truth))
    predicted.sort(key=lambda prediction: prediction.name)
    wanted = Evaluator(superb_tiny.joint, tasks, progress=False).evaluate(task, test)
    found = head.score(predicted, {})
    # The other two of SD are made of logits, whatever the threshold.
    names = ["der"] if task == "sd" else [metric.name for metric in card(task).metrics]
    assert {name: found[name] for name in names} == {name: wanted[name] for name in names}


def test_the_encoder_runs_once_whatever_is_asked(superb_tiny: Model, recording: str, passes: list[int]) -> None:
    everything = superb_tiny(recording)
    assert passes == [round(everything.seconds * 16000)]
    assert all(getattr(everything, task) is not None for task in FINETUNED_TASKS)
    for task in FINETUNED_TASKS:
        passes.clear()
        alone = superb_tiny(recording, tasks=[task])
        assert len(passes) == 1
        assert alone.as_dict() == {key: everything.as_dict()[key] for key in ("name", "seconds", task)}


def test_as_evaluated_runs_it_once_for_each_sound(superb_tiny: Model, recording: str, passes: list[int]) -> None:
    wave = hear(recording)
    with_part_of_a_frame = wave[: len(wave) // 320 * 320 + 7]
    superb_tiny((with_part_of_a_frame, 16000), as_evaluated=True)
    lengths = {len(with_part_of_a_frame), len(with_part_of_a_frame) - 7}  # SD hears whole frames
    assert len(passes) == 4 and lengths < set(passes)
    passes.clear()
    superb_tiny((with_part_of_a_frame[:-7], 16000), ["asr", "pr", "sf", "sd", "er", "ic", "sid"], as_evaluated=True)
    assert len(passes) == 1


def test_words_phones_and_classes_are_consistent(superb_tiny: Model, recording: str) -> None:
    answers = superb_tiny(recording, top=3)
    assert answers.asr and answers.pr and answers.sf and answers.ic and answers.ks and answers.er and answers.sid
    assert answers.asr.text == " ".join(word.label for word in answers.asr.words) and answers.asr.words
    assert answers.pr.text == " ".join(phone.label for phone in answers.pr.phones) and answers.pr.phones
    for track in (answers.asr.words, answers.pr.phones):
        edges = [edge for part in track for edge in (part.start, part.stop)]
        assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= answers.seconds
        assert all(part.start < part.stop for part in track)
    assert answers.ic.slots.keys() == {"action", "object", "location"}
    for label in (answers.ks, answers.er, answers.sid, *answers.ic.slots.values()):
        assert label.label == label.top[0].label and len(label.top) == 3
        values = [choice.probability for choice in label.top]
        assert values == sorted(values, reverse=True) and 0 <= sum(values) <= 1 + 1e-6
    assert json.loads(json.dumps(answers.as_dict()))["asv"]["vector"] == list(answers.asv.vector)  # type: ignore[union-attr]


def test_a_recording_of_another_rate_and_more_channels_says_the_same(superb_tiny: Model, recording: str) -> None:
    wave = hear(recording).numpy()
    stereo = np.stack([resample_poly(wave, 3, 1) * gain for gain in (0.5, 1.5)])
    same, other = superb_tiny(recording), superb_tiny((stereo, 48000))
    assert other.asr == same.asr and other.sid is not None and same.sid is not None
    assert other.sid.label == same.sid.label
    assert other.sid.probability == pytest.approx(same.sid.probability, abs=0.02)


def test_faults_stay_with_their_recording(superb_tiny: Model, recording: str, tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_text("this is text")
    silence = (np.zeros(160000, np.float32), 16000)
    found = superb_tiny([str(tmp_path / "no.wav"), recording, silence, str(tmp_path / "gone.wav")], ["asr"])
    assert isinstance(found[1], Answers) and found[1].asr == superb_tiny(recording, ["asr"]).asr
    messages = [str(found[place]) for place in (0, 2, 3)]
    assert all(isinstance(found[place], AudioError) for place in (0, 2, 3))
    assert "no.wav: audio cannot be read" in messages[0] and "audio is silent" in messages[1]
    assert "there must be an audio file, found nothing" in messages[2]
    with pytest.raises(AudioError, match="audio is silent"):
        superb_tiny(silence)
    with pytest.raises(ConfigError, match="no head for task 'qbe'"):
        superb_tiny(recording, ["qbe"])


def nearly_equal(one: Any, other: Any) -> bool:
    """Equal but for the rounding of numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(nearly_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(nearly_equal, one, other))
    return one == pytest.approx(other, abs=1e-4) if isinstance(one, float) else one == other


def test_recordings_of_a_list_share_a_pass_and_answer_as_alone(
    superb_tiny: Model, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no.wav").write_text("this is text")
    listed: list[Any] = [str(path) for path in sorted((tiny_corpus / "SNIPS").rglob("*.wav"))[:4]]
    listed.insert(2, str(tmp_path / "no.wav"))
    calls: list[int] = []
    handle = superb_tiny.joint.trunk.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    together = superb_tiny(listed)
    assert calls == [4], "one pass for all that can be heard"
    monkeypatch.setattr(superb_tiny, "_window", 8.0)
    superb_tiny(
        [(np.tile(hear(listed[0]).numpy(), 9)[: 16000 * seconds], 16000) for seconds in (3, 4, 3, 10, 2)], ["ks"]
    )
    assert calls[1:] == [2, 1, 1, 1, 1], "up to a window in all; two windows of the one that is longer"
    handle.remove()
    monkeypatch.undo()
    for given, answers in zip(listed, together, strict=True):
        if given.endswith("no.wav"):
            assert isinstance(answers, AudioError) and "audio cannot be read" in str(answers)
        else:
            assert isinstance(answers, Answers)
            assert nearly_equal(answers.as_dict(), superb_tiny(given).as_dict())


def test_one_too_short_for_the_encoder_leaves_the_others_of_its_batch(superb_tiny: Model, recording: str) -> None:
    wave = hear(recording)
    first, short, tiny = superb_tiny([recording, (wave[8000:11200], 16000), (wave[8000:8400], 16000)], ["asv"])
    assert isinstance(first, Answers) and first.asv == superb_tiny(recording, ["asv"]).asv
    assert "task 'asv' needs about 0.32 s" in str(short)
    assert isinstance(tiny, AudioError)


def test_a_recording_too_short_for_one_task_says_which(superb_tiny: Model, recording: str) -> None:
    short = (hear(recording)[8000:11200], 16000)
    with pytest.raises(AudioError, match=r"task 'asv' needs about 0.32 s, found 0.20; leave it out"):
        superb_tiny(short)
    assert superb_tiny(short, ["ks"]).ks is not None


def test_verification_is_a_cosine_against_the_dev_threshold(superb_tiny: Model, tiny_corpus: Path) -> None:
    first, second = sorted(map(str, (tiny_corpus / "VoxCeleb1").rglob("*.wav")))[:2]
    found, itself = superb_tiny.verify(first, second), superb_tiny.verify(first, first)
    vectors = [superb_tiny(path, ["asv"], as_evaluated=True).asv for path in (first, second)]
    assert found.score == pytest.approx(float(np.dot(*[vector.vector for vector in vectors if vector])), abs=1e-6)
    assert found.threshold == superb_tiny.calibration["asv"]["threshold"]
    assert found.same == (found.score >= found.threshold)  # type: ignore[operator]
    assert itself.same is True and itself.score == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("marked", "text", "slots"),
    [
        ("PLAY B-artist THE BEATLES E-artist NOW", "PLAY THE BEATLES NOW", [("artist", "THE BEATLES")]),
        ("B-city BONN E-city B-day NOW E-day", "BONN NOW", [("city", "BONN"), ("day", "NOW")]),
        ("GO B-city TO E-day BONN E-city", "GO TO BONN", []),
        ("GO B-city TO", "GO TO", []),
        ("GOB-city BONN E-cityTOO", "GO BONN TOO", [("city", "BONN")]),
        ("B-city E-city B-unknown X", "B-unknown X", []),
        ("", "", []),
    ],
)
def test_slots_are_cut_out_of_marked_text(marked: str, text: str, slots: list[tuple[str, str]]) -> None:
    found, parts = slots_of(marked, ["city", "day", "artist"])
    assert found == text and [(slot.name, slot.value) for slot in parts] == slots
    assert all(found[slot.start : slot.stop] == slot.value for slot in parts)


@pytest.mark.parametrize(
    ("active", "stretches"),
    [("", []), ("000", []), ("1", [(0, 1)]), ("0110", [(1, 3)]), ("1101", [(0, 2), (3, 4)])],
)
def test_runs_of_active_frames(active: str, stretches: list[tuple[int, int]]) -> None:
    assert runs([flag == "1" for flag in active]) == stretches
