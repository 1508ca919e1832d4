"""Streams at random: epochs complete, shares disjoint, every position one to go on from, however many processes read."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from fakes_multitask import ToneReader, stream
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.multitask.ranks import Ranks
from s3prl_plugins.multitask.streams import Batch, TaskStream, evaluation_batches

counts = st.integers(1, 25)
batches = st.builds(
    BatchConfig, size=st.integers(1, 6), seconds=st.none() | st.floats(0.1, 1.5), bucket=st.integers(1, 5)
)


def content(batch: Batch) -> tuple[int, int, list[str], list[list[float]]]:
    waves = [wave.tolist() for wave in batch.waves if wave is not None]
    return batch.epoch, batch.index, [example.name for example in batch.examples], waves


@given(counts, batches, st.integers(0, 99), st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_the_shares_of_an_epoch_are_its_utterances(
    count: int, batch: BatchConfig, seed: int, world: int, epoch: int, balanced: bool
) -> None:
    reader = ToneReader()
    shared = [
        TaskStream(reader, reader.examples(count), batch, seed, balanced, ranks=Ranks(r, world)) for r in range(world)
    ]
    plan = shared[0].plan(epoch)
    assert all(source.plan(epoch) == plan for source in shared)
    assert all(1 <= len(indices) <= batch.size * world for indices in plan)
    drawn = [index for indices in plan for index in indices]
    assert len(drawn) == count and set(drawn) <= set(range(count))
    assert balanced or sorted(drawn) == list(range(count))
    for source in shared:
        source.load_state_dict({**source.state_dict(), "epoch": epoch})
    names = [example.name for example in reader.examples(count)]
    for index, indices in enumerate(plan):
        parts = [source.next() for source in shared]
        assert all((part.epoch, part.index) == (epoch, index) for part in parts)
        joined = Counter(example.name for part in parts for example in part.examples)
        assert joined == Counter(names[i] for i in indices)
        assert [len(part.examples) for part in parts] == sorted((len(part.examples) for part in parts), reverse=True)


@given(counts, batches, st.integers(0, 99), st.integers(0, 30), st.integers(1, 12))
def test_every_position_is_one_to_go_on_from(count: int, batch: BatchConfig, seed: int, taken: int, more: int) -> None:
    reader = ToneReader()
    alone, again = (TaskStream(reader, reader.examples(count), batch, seed) for _ in range(2))
    for _ in range(taken):
        alone.next()
    again.load_state_dict(alone.state_dict())
    assert again.state_dict() == alone.state_dict()
    assert [content(alone.next()) for _ in range(more)] == [content(again.next()) for _ in range(more)]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (3, 0), (0, 2)])
def test_a_stream_goes_on_with_another_number_of_workers(before: int, after: int) -> None:
    expected, first, second = stream(), stream(workers=before), stream(workers=after)
    for _ in range(5):
        assert content(first.next()) == content(expected.next())
    second.load_state_dict(first.state_dict())
    first.close()
    for _ in range(9):
        assert content(second.next()) == content(expected.next())
    second.close()


@given(counts, batches, st.integers(1, 4))
def test_evaluation_hears_every_utterance_once_and_the_longest_first(
    count: int, batch: BatchConfig, world: int
) -> None:
    reader = ToneReader()
    found: list[Batch] = []
    for rank in range(world):
        number, shared = evaluation_batches(reader, reader.examples(count), batch, ranks=Ranks(rank, world))
        own = list(shared)
        assert number == len(own)
        found += own
    found.sort(key=lambda one: one.index)
    assert [one.index for one in found] == list(range(len(found)))
    heard = [example for one in found for example in one.examples]
    assert sorted(example.name for example in heard) == [f"tone{i:03d}" for i in range(count)]
    assert [example.seconds for example in heard] == sorted((example.seconds for example in heard), reverse=True)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=7))
def test_halves_make_a_batch(seconds: list[int]) -> None:
    reader = ToneReader()
    [batch] = list(evaluation_batches(reader, reader.examples(len(seconds)), BatchConfig(9))[1])
    halves = batch.halves()
    assert [example for half in halves for example in half.examples] == batch.examples
    assert len(halves) == (1 if len(seconds) == 1 else 2)
    assert sum(half.seconds for half in halves) == pytest.approx(batch.seconds)
    joined = [wave for half in halves for wave in half.waves]
    assert all(torch.equal(one, other) for one, other in zip(joined, batch.waves, strict=True))  # type: ignore[arg-type]
