"""The store gives back what was put in, by what was fed to the encoder, to every process."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from store_cases import IDENTITY, equal, sounds, states, trust_young_files
from torch.utils.data import DataLoader, Dataset

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.features.identity import Utterance
from s3prl_plugins.features.kinds import KINDS, through
from s3prl_plugins.features.store import FeatureStore, place


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_was_put_in_comes_out_now_and_later(kind: str, tmp_path: Path) -> None:
    utterances = sounds(tmp_path / "audio")
    store = FeatureStore(tmp_path / "store", IDENTITY, kind)
    for number, utterance in enumerate(utterances):
        assert store.get(utterance) is None and not store.has(utterance)
        assert store.put(utterance, states(number, frames=number + 1))
    for opened in (store, FeatureStore(tmp_path / "store", IDENTITY, kind)):
        for number, utterance in enumerate(utterances):
            assert opened.has(utterance)
            assert equal(opened.get(utterance), through(KINDS[kind], states(number, frames=number + 1)))


def test_keep_gives_what_get_will_give_stored_or_not(tmp_path: Path) -> None:
    first, second, *_ = sounds(tmp_path / "audio")
    for store in (
        FeatureStore(tmp_path / "a", IDENTITY, "int8"),
        FeatureStore(tmp_path / "b", IDENTITY, "int8", room=300),
    ):
        with pytest.warns(UserWarning, match="budget") if store.room else _nothing():
            given = [store.keep(utterance, states(number)) for number, utterance in enumerate((first, second))]
        wanted = [through(KINDS["int8"], states(number)) for number in range(2)]
        assert equal(given[0], wanted[0]) and equal(given[1], wanted[1])
        assert equal(store.get(first), wanted[0])
        assert store.has(second) == (store.room is None)


def test_stretch_and_variant_are_part_of_an_utterance(tmp_path: Path) -> None:
    whole = sounds(tmp_path / "audio")[0]
    others = [whole, replace(whole, start=16), replace(whole, stop=32), replace(whole, variant="gain")]
    store = FeatureStore(tmp_path / "store", IDENTITY, "float32")
    for number, utterance in enumerate(others):
        assert not store.has(utterance)
        store.put(utterance, states(number))
    assert all(equal(store.get(utterance), states(number)) for number, utterance in enumerate(others))


def test_other_encoders_and_kinds_lie_apart(tmp_path: Path) -> None:
    utterance = sounds(tmp_path / "audio")[0]
    FeatureStore(tmp_path / "store", IDENTITY, "float32").put(utterance, states(0))
    for identity, kind in ((IDENTITY[::-1], "float32"), (IDENTITY, "int8")):
        assert FeatureStore(tmp_path / "store", identity, kind).get(utterance) is None


def test_a_copy_of_the_corpus_and_a_moved_store_still_hit(tmp_path: Path) -> None:
    utterance = sounds(tmp_path / "audio")[0]
    FeatureStore(tmp_path / "store", IDENTITY, "float32").put(utterance, states(0))
    shutil.copytree(tmp_path / "audio", tmp_path / "copy")
    shutil.move(tmp_path / "store", tmp_path / "moved")
    copied = Utterance(tmp_path / "copy" / utterance.path.name)
    assert equal(FeatureStore(tmp_path / "moved", IDENTITY, "float32").get(copied), states(0))


def test_a_known_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utterance = sounds(tmp_path / "audio")[0]
    trust_young_files(monkeypatch)
    FeatureStore(tmp_path / "store", IDENTITY, "float32").put(utterance, states(0))
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("the file was read"))
    assert equal(FeatureStore(tmp_path / "store", IDENTITY, "float32").get(utterance), states(0))


def test_an_empty_store_reads_no_audio_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utterance = sounds(tmp_path / "audio")[0]
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("the file was read"))
    store = FeatureStore(tmp_path / "store", IDENTITY, "float32")
    assert store.get(utterance) is None and not store.has(utterance)
    assert not (tmp_path / "store").exists()


def test_relative_paths_and_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "audio" / "ein satz\n\u00e9\udcff .wav"
    odd.parent.mkdir()
    odd.write_bytes(b"abc")
    trust_young_files(monkeypatch)
    monkeypatch.chdir(tmp_path)
    FeatureStore(Path("store"), IDENTITY, "float32").put(Utterance(odd.relative_to(tmp_path)), states(0))
    assert equal(FeatureStore(Path("store"), IDENTITY, "float32").get(Utterance(odd)), states(0))


def test_an_open_store_sees_what_others_add(tmp_path: Path) -> None:
    first, second, third, _ = sounds(tmp_path / "audio")
    reader, writer = (FeatureStore(tmp_path / "store", IDENTITY, "float32") for _ in range(2))
    assert reader.get(first) is None
    writer.put(first, states(0))
    assert equal(reader.get(first), states(0))
    writer.put(second, states(1))
    reader.put(third, states(2))
    assert equal(reader.get(second), states(1)) and equal(writer.get(third), states(2))


def _fill(folder: Path, utterances: list[Utterance], offset: int) -> None:
    with FeatureStore(folder, IDENTITY, "float32") as store:
        for step in range(len(utterances)):
            number = (step + offset) % len(utterances)
            store.put(utterances[number], states(number, frames=50))


def test_processes_fill_one_store_together(tmp_path: Path) -> None:
    utterances = sounds(tmp_path / "audio", 40)
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_fill, args=(tmp_path / "store", utterances, offset)) for offset in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    store = FeatureStore(tmp_path / "store", IDENTITY, "float32")
    assert all(equal(store.get(utterance), states(number, frames=50)) for number, utterance in enumerate(utterances))


def test_a_fork_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    first, second, third, _ = sounds(tmp_path / "audio")
    store = FeatureStore(tmp_path / "store", IDENTITY, "float32")
    store.put(first, states(0))
    child = multiprocessing.get_context("fork").Process(target=store.put, args=(second, states(1)))
    child.start()
    child.join(60)
    store.put(third, states(2))
    assert len(list(place(tmp_path / "store", IDENTITY, "float32").glob("*.idx"))) == 2
    found = FeatureStore(tmp_path / "store", IDENTITY, "float32")
    assert all(equal(found.get(utterance), states(number)) for number, utterance in enumerate((first, second, third)))


class _Reads(Dataset[list[torch.Tensor]]):
    def __init__(self, store: FeatureStore, utterances: list[Utterance]) -> None:
        self.store, self.utterances = store, utterances

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        found = self.store.get(self.utterances[index])
        assert found is not None
        return found


def test_workers_of_a_data_loader_read(tmp_path: Path) -> None:
    utterances = sounds(tmp_path / "audio")
    store = FeatureStore(tmp_path / "store", IDENTITY, "float32")
    for number, utterance in enumerate(utterances):
        store.put(utterance, states(number))
    assert store.get(utterances[0]) is not None
    loader = DataLoader(_Reads(store, utterances), batch_size=None, sampler=range(4), num_workers=2)
    assert all(equal(found, states(number)) for number, found in enumerate(loader))


def test_a_pickled_store_opens_again(tmp_path: Path) -> None:
    utterance = sounds(tmp_path / "audio")[0]
    store = FeatureStore(tmp_path / "store", IDENTITY, "int8", room=10**6)
    store.put(utterance, states(0))
    again = pickle.loads(pickle.dumps(store))
    assert again.room == store.room and equal(again.get(utterance), through(KINDS["int8"], states(0)))


def test_a_closed_store_opens_again_when_it_is_used(tmp_path: Path) -> None:
    first, second, *_ = sounds(tmp_path / "audio")
    with FeatureStore(tmp_path / "store", IDENTITY, "float32") as store:
        store.put(first, states(0))
    assert equal(store.get(first), states(0)) and store.put(second, states(1))


def test_the_room_is_kept_to(tmp_path: Path) -> None:
    utterances = sounds(tmp_path / "audio")
    store = FeatureStore(tmp_path / "store", IDENTITY, "float32", room=1200)
    assert store.put(utterances[0], states(0)) and store.put(utterances[1], states(1))
    with pytest.warns(UserWarning, match="has reached its budget; what is not there yet is computed each time") as told:
        assert not store.put(utterances[2], states(2)) and not store.put(utterances[3], states(3))
    assert len(told) == 1
    assert store.get(utterances[2]) is None and equal(store.get(utterances[1]), states(1))
    written = sum(path.stat().st_size for path in store.folder.glob("*.bin"))
    assert written == 2 * 3 * 7 * 5 * 4
    assert store.put(utterances[0], states(0)), "what is there needs no room"


def test_states_of_several_shapes_are_refused(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store", IDENTITY, "float32")
    uneven = [torch.zeros(3, 4), torch.zeros(3, 5)]
    with pytest.raises(ValueError, match=r"tensors of one shape, found \(3, 4\), \(3, 5\)"):
        store.put(sounds(tmp_path / "audio")[0], uneven)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown kind of stored states 'int9'"):
        FeatureStore(tmp_path, IDENTITY, "int9")


def test_reading_costs_far_less_than_a_millisecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a pooled epoch can be hundreds of times faster than computing: no audio opened, no index searched."""
    utterances = sounds(tmp_path / "audio", 100)
    trust_young_files(monkeypatch)
    store = FeatureStore(tmp_path / "store", IDENTITY, "pooled")
    for utterance in utterances:
        store.put(utterance, states(0))
        store.get(utterance)
    start = time.process_time()
    for utterance in utterances:
        store.get(utterance)
    assert (time.process_time() - start) / len(utterances) < 1e-3


class _nothing:  # noqa: N801 (stands for a context manager)
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
