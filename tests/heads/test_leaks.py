"""Leaks between tasks: against sets of samples, and on the VoxCeleb1 that SID and ASV share."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.config import load_yaml
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.leaks import Leak, find_leaks, leaked_names
from s3prl_plugins.multitask.config import find_config, task_configs
from s3prl_plugins.multitask.tasks import TaskData, read_tasks, without_leaks

LENGTH = 12
"""Samples of every file of the made-up corpora."""


@st.composite
def corpora(draw: st.DrawFn) -> list[Example]:
    count = draw(st.integers(0, 5))
    examples = []
    for number in range(count):
        start = draw(st.integers(0, LENGTH - 1))
        stop = draw(st.one_of(st.none(), st.integers(start + 1, LENGTH)))
        path = Path(f"{draw(st.sampled_from('abc'))}.wav")
        speaker = draw(st.sampled_from(["", "x", "y", "z"]))
        examples.append(Example(f"u{number}", path, 1.0, None, speaker, start, stop))
    return examples


def samples(example: Example) -> set[tuple[Path, int]]:
    return {(example.path, place) for place in range(example.start, LENGTH if example.stop is None else example.stop)}


NAMES = st.sampled_from(["ks", "sid", "asv"])


@given(
    st.dictionaries(NAMES, corpora()),
    st.dictionaries(NAMES, st.fixed_dictionaries({"dev": corpora(), "test": corpora()})),
)
def test_leaks_are_shared_samples_and_shared_speakers(
    training: dict[str, list[Example]], held_out: dict[str, dict[str, list[Example]]]
) -> None:
    found = {(leak.train_task, leak.held_task, leak.held_split): leak for leak in find_leaks(training, held_out)}
    expected = {}
    for task, examples in training.items():
        for other, splits in held_out.items():
            for split, held in splits.items():
                theirs = set().union(*map(samples, held)) if held else set()
                names = tuple(example.name for example in examples if samples(example) & theirs)
                speakers = {e.speaker for e in examples} & {e.speaker for e in held} - {""}
                if other != task and (names or speakers):
                    expected[task, other, split] = Leak(task, other, split, names, tuple(sorted(speakers)))
    assert found == expected
    for task, examples in training.items():
        dropped = leaked_names(found.values()).get(task, set())
        kept = [example for example in examples if example.name not in dropped]
        assert not any(leak.utterances for leak in find_leaks({task: kept}, held_out))


def test_two_tasks_leak_into_each_other_each_in_its_own_way() -> None:
    first, second, third = (Example(name, Path(f"{name}.wav"), 1.0, None, name[0]) for name in ("a1", "a2", "b1"))
    leaks = find_leaks({"sid": [first, third], "asv": [second]}, {"sid": {"test": [second]}, "asv": {"test": [first]}})
    assert leaks == [
        Leak("sid", "asv", "test", ("a1",), ("a",)),
        Leak("asv", "sid", "test", ("a2",), ("a",)),
    ]


def test_links_and_other_spellings_of_a_path_are_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "a.wav"
    real.write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "b.wav").hardlink_to(real)
    for path in (tmp_path / "link" / "a.wav", tmp_path / "real" / ".." / "real" / "a.wav", tmp_path / "b.wav"):
        leaks = find_leaks({"ks": [Example("u", path, 1.0, None)]}, {"sid": {"dev": [Example("v", real, 1.0, None)]}})
        assert leaks == [Leak("ks", "sid", "dev", ("u",), ())]


def chosen(corpus: Path, *tasks: str) -> dict[str, TaskData]:
    mapping = {**load_yaml(find_config("all_task_mini")), "tasks": list(tasks)}
    return read_tasks(task_configs(mapping), corpus)


def test_sid_and_asv_leak_and_exactly_those_utterances_are_left_out(tiny_corpus: Path) -> None:
    tasks = chosen(tiny_corpus, "ks", "sid", "asv")
    kept = without_leaks(tasks)
    assert kept["ks"] == tasks["ks"].examples("train")
    for task, other in (("sid", "asv"), ("asv", "sid")):
        held = {e.path for split in ("dev", "test") for e in tasks[other].examples(split)}
        before = tasks[task].examples("train")
        assert kept[task] == [example for example in before if example.path not in held]
        assert 0 < len(kept[task]) < len(before)


def test_a_task_alone_leaks_nothing(tiny_corpus: Path) -> None:
    tasks = chosen(tiny_corpus, "sid")
    assert without_leaks(tasks)["sid"] == tasks["sid"].examples("train")
