"""Whatever is wrong with a store is named, and never gives wrong numbers."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_cases import IDENTITY, equal, sounds, states, trust_young_files

from s3prl_plugins.features import audio
from s3prl_plugins.features.identity import FORMAT, Utterance
from s3prl_plugins.features.lines import seal
from s3prl_plugins.features.store import FeatureStore


def opened(folder: Path) -> FeatureStore:
    return FeatureStore(folder, IDENTITY, "float32")


def filled(tmp_path: Path) -> tuple[Path, list[Utterance], Path]:
    """A store of four utterances in one shard: its folder, the utterances, its data file."""
    utterances = sounds(tmp_path / "audio")
    with opened(tmp_path / "store") as store:
        for number, utterance in enumerate(utterances):
            store.put(utterance, states(number))
    [data] = store.folder.glob("*.bin")
    return tmp_path / "store", utterances, data


def check_nothing_wrong(folder: Path, utterances: list[Utterance], lost: set[int]) -> None:
    """Lost entries are not there, others are; refilled, all are there, for this process and the next."""
    store = opened(folder)
    for number, utterance in enumerate(utterances):
        found = store.get(utterance)
        assert found is None if number in lost else equal(found, states(number))
    for number, utterance in enumerate(utterances):
        assert store.put(utterance, states(number))
    for again in (store, opened(folder)):
        assert all(equal(again.get(utterance), states(number)) for number, utterance in enumerate(utterances))


def flip(data: Path, index: Path) -> set[int]:
    content = bytearray(data.read_bytes())
    content[430] ^= 1
    data.write_bytes(content)
    return {1}


def truncate(data: Path, index: Path) -> set[int]:
    os.truncate(data, 900)
    return {2, 3}


def empty(data: Path, index: Path) -> set[int]:
    os.truncate(data, 0)
    return {0, 1, 2, 3}


def delete(data: Path, index: Path) -> set[int]:
    data.unlink()
    return {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (flip, r"\.bin is damaged \(wrong checksum\)"),
        (truncate, r"\.bin is truncated"),
        (empty, r"\.bin cannot be read \(cannot mmap an empty file\)"),
        (delete, r"\.bin cannot be read \(.*No such file"),
    ],
)
def test_spoilt_states_are_computed_again(spoil: Callable[[Path, Path], set[int]], words: str, tmp_path: Path) -> None:
    folder, utterances, data = filled(tmp_path)
    lost = spoil(data, data.with_suffix(".idx"))
    os.utime(data.with_suffix(".idx"), (1, 1))
    with pytest.warns(UserWarning, match=words) as told:
        check_nothing_wrong(folder, utterances, lost)
    assert len(told) == 1, "what was computed again comes first for the next process"
    assert str(data) in str(told[0].message) and "computed again" in str(told[0].message)


def test_a_folder_that_is_deleted_meanwhile_is_filled_again(tmp_path: Path) -> None:
    folder, utterances, _ = filled(tmp_path)
    store = opened(folder)
    new = sounds(tmp_path / "more", 6)[4:]
    assert store.put(new[0], states(4))
    shutil.rmtree(folder)
    assert store.put(new[1], states(5))
    with pytest.warns(UserWarning, match=r"cannot be read \(No such file or directory\)"):
        assert store.get(utterances[0]) is None
    assert equal(opened(folder).get(new[1]), states(5)) and opened(folder).get(new[0]) is None


def test_a_file_cut_while_it_is_open(tmp_path: Path) -> None:
    folder, utterances, data = filled(tmp_path)
    store = opened(folder)
    assert all(store.get(utterance) is not None for utterance in utterances)
    os.truncate(data, 100)
    with pytest.warns(UserWarning, match="is truncated"):
        assert store.get(utterances[3]) is None


def test_a_torn_last_line_is_no_entry_until_it_is_whole(tmp_path: Path) -> None:
    folder, utterances, data = filled(tmp_path)
    index = data.with_suffix(".idx")
    whole = index.read_bytes()
    index.write_bytes(whole[:-5])
    store = opened(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.get(utterances[3]) is None and equal(store.get(utterances[2]), states(2))
    index.write_bytes(whole)
    assert equal(store.get(utterances[3]), states(3))


def test_a_changed_line_of_the_index_is_no_entry(tmp_path: Path) -> None:
    """Frames and width swapped: the size is right, and so is the checksum of the states."""
    folder, utterances, data = filled(tmp_path)
    index = data.with_suffix(".idx")
    lines = index.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b" 3 7 5 ", b" 3 5 7 ")
    index.write_bytes(b"\n".join(lines))
    with pytest.warns(UserWarning, match="idx holds a damaged line; what it told of is computed again"):
        check_nothing_wrong(folder, utterances, {1})


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), in_index=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_byte_can_be_changed_into_wrong_numbers(
    place: int, value: int, in_index: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, utterances, data = filled(tmp_path_factory.mktemp("bytes"))
    file = data.with_suffix(".idx") if in_index else data
    content = bytearray(file.read_bytes())
    content[place % len(content)] = value
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = opened(folder)
        for number, utterance in enumerate(utterances):
            found = store.get(utterance)
            assert found is None or equal(found, states(number))


def header(**changes: object) -> bytes:
    return seal(json.dumps({"format": FORMAT, "identity": IDENTITY, "kind": "float32", **changes}))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (header(identity=IDENTITY[:16] + "f" * 48), "is of another encoder, kind or version"),
        (header(kind="float16"), "is of another encoder, kind or version"),
        (header(format=99), "is of another encoder, kind or version"),
        (b"RIFF....WAVE\n", "does not begin with the header of a feature store"),
        (seal("[]"), "does not begin with the header of a feature store"),
        (header()[:-9] + b"\n", "does not begin with the header of a feature store"),
    ],
)
def test_a_foreign_file_is_ignored(line: bytes, words: str, tmp_path: Path) -> None:
    folder, utterances, data = filled(tmp_path)
    index = data.with_suffix(".idx")
    index.write_bytes(line + index.read_bytes().split(b"\n", 1)[1])
    with pytest.warns(UserWarning, match=words) as told:
        check_nothing_wrong(folder, utterances, {0, 1, 2, 3})
    assert all(str(index) in str(one.message) for one in told)


def test_a_store_of_another_model_moved_into_place_is_not_used(tmp_path: Path) -> None:
    folder, utterances, _ = filled(tmp_path)
    other = FeatureStore(folder, "f" * 64, "float32")
    other.folder.parent.mkdir()
    shutil.copytree(folder / IDENTITY[:16] / "float32", other.folder)
    with pytest.warns(UserWarning, match="is of another encoder"):
        assert not any(other.has(utterance) for utterance in utterances)


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third, _ = sounds(tmp_path / "audio")
    store = opened(tmp_path / "store")
    store.put(first, states(0))
    real, left = os.write, [100]

    def write(file: int, data: memoryview) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(file, data[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", write)
    with pytest.warns(
        UserWarning, match="No space left on device.; what is not there yet is computed each time"
    ) as told:
        assert not store.put(second, states(1)) and not store.put(third, states(2))
    assert len(told) == 1
    monkeypatch.setattr(os, "write", real)
    assert not store.put(second, states(1)), "it is not tried again and again"
    for again in (store, opened(tmp_path / "store")):
        assert equal(again.get(first), states(0)) and again.get(second) is None
    [data] = store.folder.glob("*.bin")
    assert data.stat().st_size == 420, "what was written in part is given back"
    assert opened(tmp_path / "store").put(second, states(1))


def test_a_limit_of_the_system(tmp_path: Path) -> None:
    utterances = sounds(tmp_path / "audio")
    store = opened(tmp_path / "store")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            done = [store.put(utterance, states(number)) for number, utterance in enumerate(utterances)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done == [True, True, False, False]
    assert [("File too large" in str(one.message)) for one in told] == [True]
    check_nothing_wrong(tmp_path / "store", utterances, {2, 3})


def _write_for_ever(folder: Path, utterances: list[Utterance]) -> None:
    store = opened(folder)
    for number in range(10**6):
        store.put(replace(utterances[0], start=number), states(number, frames=200))


def test_a_process_that_is_killed_leaves_whole_entries(tmp_path: Path) -> None:
    utterances = sounds(tmp_path / "audio")
    fork = multiprocessing.get_context("fork")
    for _ in range(3):
        writer = fork.Process(target=_write_for_ever, args=(tmp_path / "store", utterances))
        writer.start()
        writer.join(0.3)
        writer.kill()
        writer.join()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store, found = opened(tmp_path / "store"), 0
        while (kept := store.get(replace(utterances[0], start=found))) is not None:
            assert equal(kept, states(found, frames=200))
            found += 1
    assert found > 0


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may write anywhere, so be someone else."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everyone may read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_read_only_store_is_read(public_folder: Path, request: pytest.FixtureRequest) -> None:
    folder, utterances, _ = filled(public_folder)
    new = sounds(public_folder / "audio", 5)[4]
    for place, _, names in os.walk(folder):
        for path in (Path(place), *(Path(place, name) for name in names)):
            path.chmod(0o555 if path.is_dir() else 0o444)
    request.getfixturevalue("nobody")
    store = opened(folder)
    with pytest.warns(UserWarning, match="cannot be written .Permission denied.; what is not there yet") as told:
        assert not store.put(new, states(4)) and not store.put(new, states(4))
    assert len(told) == 1
    assert all(equal(store.get(utterance), states(number)) for number, utterance in enumerate(utterances))


def test_a_store_that_cannot_be_read_is_as_if_empty(public_folder: Path, request: pytest.FixtureRequest) -> None:
    folder, utterances, data = filled(public_folder)
    for path in (data, data.with_suffix(".idx")):
        path.chmod(0o000)
    request.getfixturevalue("nobody")
    with pytest.warns(UserWarning, match=r"idx cannot be read \(Permission denied\); it is ignored"):
        assert opened(folder).get(utterances[0]) is None


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("something else")
    store = opened(tmp_path / "store")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert not store.put(sounds(tmp_path / "audio")[0], states(0))


def test_audio_that_changed_is_another_utterance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its size and its time of change are as before."""
    trust_young_files(monkeypatch)
    folder, utterances, _ = filled(tmp_path)
    path = utterances[0].path
    before = path.stat()
    path.write_bytes(b"\xff" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for store in (opened(folder), opened(folder)):
        assert store.get(utterances[0]) is None
    store.put(utterances[0], states(9))
    assert equal(opened(folder).get(utterances[0]), states(9))
    path.write_bytes(bytes(before.st_size))
    assert equal(opened(folder).get(utterances[0]), states(0)), "the old states are those of the old audio"


def test_a_file_is_not_trusted_until_its_times_can_tell_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterance = sounds(tmp_path / "audio")[0]
    digests = audio.AudioDigests(tmp_path / "digests")
    first = digests.get(utterance.path)
    state = utterance.path.stat()
    utterance.path.write_bytes(b"\xff" * 1000)
    # A clock so coarse that the change does not show.
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda name, **how: state if name == str(utterance.path) else real(name, **how))
    assert digests.get(utterance.path) != first


def test_audio_that_is_gone_is_not_there(tmp_path: Path) -> None:
    folder, utterances, _ = filled(tmp_path)
    utterances[0].path.unlink()
    store = opened(folder)
    assert store.get(utterances[0]) is None and not store.put(utterances[0], states(0))


def test_states_beyond_a_kinds_range_are_given_on_unchanged(tmp_path: Path) -> None:
    utterance = sounds(tmp_path / "audio")[0]
    large = [layer * 1e6 for layer in states(0)]
    store = FeatureStore(tmp_path / "store", IDENTITY, "float16")
    with pytest.warns(UserWarning, match="beyond the range of kind 'float16'"):
        assert equal(store.keep(utterance, large), large)
    assert not store.has(utterance)


def test_garbled_digests_of_audio_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust_young_files(monkeypatch)
    folder, utterances, _ = filled(tmp_path)
    (folder / "audio" / "other.txt").write_bytes(b"no line of ours\n" + seal("too short") + seal("x" * 65) + b"torn")
    assert equal(opened(folder).get(utterances[0]), states(0))
