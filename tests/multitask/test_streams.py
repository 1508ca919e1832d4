"""Streams: each epoch complete, position is the whole state, workers change nothing."""

import pytest
import torch
from fakes_multitask import ToneReader, stream

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.multitask.streams import Batch, TaskStream, evaluation_batches


def same(one: Batch, other: Batch) -> bool:
    waves = all(torch.equal(a, b) for a, b in zip(one.waves, other.waves, strict=True))
    return waves and one.examples == other.examples and (one.epoch, one.index) == (other.epoch, other.index)


def test_an_epoch_holds_every_utterance_once_and_the_next_is_another_order() -> None:
    source = stream(20, 3)
    epochs = []
    for _ in range(2):
        batches = [source.next() for _ in range(7)]
        epochs.append([example.name for batch in batches for example in batch.examples])
    assert sorted(epochs[0]) == sorted(epochs[1]) == [f"tone{i:03d}" for i in range(20)]
    assert epochs[0] != epochs[1]
    assert source.next().epoch == 2


@pytest.mark.parametrize("taken", [0, 1, 6, 7, 8, 23])
def test_a_restored_stream_goes_on_with_the_same_batches(taken: int) -> None:
    source = stream()
    for _ in range(taken):
        source.next()
    other = stream()
    other.next()
    other.load_state_dict(source.state_dict())
    assert all(same(source.next(), other.next()) for _ in range(10))


def test_training_waves_differ_between_epochs_and_evaluation_has_no_randomness() -> None:
    source = stream(1, 1)
    assert not torch.equal(source.next().waves[0], source.next().waves[0])
    reader = ToneReader()
    count, batches = evaluation_batches(reader, reader.examples(10), BatchConfig(4, seconds=0.5))
    names = [example.name for batch in batches for example in batch.examples]
    assert sorted(names) == [f"tone{i:03d}" for i in range(10)] and count >= 3
    example = reader.examples(1)[0]
    assert torch.equal(reader.waveform(example, None), reader.waveform(example, None))


def test_workers_give_the_same_batches_and_count_what_was_taken() -> None:
    alone, helped = stream(), stream(workers=2)
    assert all(same(alone.next(), helped.next()) for _ in range(9))
    assert alone.state_dict() == helped.state_dict()


@pytest.mark.parametrize("balanced", [False, True])
def test_the_order_depends_on_seed_task_and_epoch_alone_and_the_bucket_changes_who_goes_together(
    balanced: bool,
) -> None:
    def plans(seed: int = 0, bucket: int = 32, task: str = "ks") -> list[list[list[int]]]:
        reader = ToneReader(task)
        source = TaskStream(reader, reader.examples(40), BatchConfig(4, None, bucket), seed, balanced)
        return [source.plan(epoch) for epoch in (0, 1)]

    first, second = plans()
    assert plans() == [first, second] and first != second
    assert plans(seed=1)[0] != first and plans(task="sid")[0] != first
    spread = {
        bucket: sum(max(i % 7 for i in batch) - min(i % 7 for i in batch) for batch in plans(bucket=bucket)[0])
        for bucket in (1, 32)
    }
    assert spread[32] < spread[1] / 2  # ToneReader's lengths repeat every seven utterances


def test_balanced_streams_draw_the_rare_class_as_often() -> None:
    source = stream(90, 9, balanced=True)
    labels = [label for _ in range(30) for label in source.next().labels]
    assert 0.35 < labels.count("high") / len(labels) < 0.65


def test_a_changed_corpus_is_refused() -> None:
    reader = ToneReader()
    other = TaskStream(reader, reader.examples(5), BatchConfig(2), 0)
    with pytest.raises(CheckpointError, match="'ks' had 20 utterances .* and has 5 now"):
        other.load_state_dict(stream().state_dict())
