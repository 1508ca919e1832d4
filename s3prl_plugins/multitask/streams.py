"""One task's endless supply of training batches, and its batches for evaluation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from s3prl_plugins.errors import CheckpointError, UserError
from s3prl_plugins.features.identity import Utterance
from s3prl_plugins.features.store import FeatureStore
from s3prl_plugins.features.utterances import Crops, crop_generator, training_draw, utterance
from s3prl_plugins.heads.contract import Example, Reader
from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.multitask.ranks import ALONE, Ranks
from s3prl_plugins.multitask.reading import Reading
from s3prl_plugins.multitask.sampling import balanced_order, batches_in_order, training_batches
from s3prl_plugins.seeding import generator

__all__ = ["Batch", "TaskStream", "evaluation_batches"]


@dataclass(frozen=True)
class Batch:
    """Utterances of one task."""

    examples: list[Example]
    waves: Sequence[Tensor | None]
    """Per utterance (samples,) float32 at 16 kHz; None where its states are here."""
    epoch: int = 0
    index: int = 0
    """Number of the batch in its epoch."""
    utterances: Sequence[Utterance | None] = ()
    """What each one's states are stored as; None where every visit is another crop. Empty if nothing is stored."""
    states: Sequence[Tensor | None] = ()
    """Each one's states from the store, (layers, frames, dim); None where it has none. Empty if nothing is stored."""

    @property
    def labels(self) -> list[Any]:
        return [example.label for example in self.examples]

    @property
    def seconds(self) -> float:
        """Of audio, whether it was read or not."""
        return sum(example.seconds for example in self.examples)

    def halves(self) -> list[Batch]:
        """Two batches, the first the larger one; only this one if it holds a single utterance."""
        half = (len(self.examples) + 1) // 2
        return [
            replace(
                self, examples=self.examples[part], waves=self.waves[part], utterances=self.utterances[part],
                states=self.states[part],
            )
            for part in (slice(half), slice(half, None))
            if self.examples[part]
        ]  # fmt: skip


@dataclass(frozen=True)
class _Ticket:
    """What a worker needs to make one batch."""

    indices: tuple[int, ...]
    epoch: int
    index: int
    places: tuple[int, ...] = ()
    """Where the utterances stand in the batch of all processes, which their crops depend on."""


class _Batches(Dataset["Batch | UserError"]):
    """Maps a ticket to its batch, or to the error that prevents it; a seed makes crops random, None does not.

    The audio of what the store has is neither opened nor decoded.
    """

    def __init__(
        self,
        reader: Reader,
        examples: Sequence[Example],
        seed: int | None,
        crops: Crops = "fresh",
        store: FeatureStore | None = None,
        reading: Reading | None = None,
    ) -> None:
        self.reading = reading
        self.reader, self.examples, self.seed, self.crops, self.store = reader, examples, seed, crops, store
        draw = None if seed is None else training_draw(crops, seed)
        self.utterances = [utterance(reader, example, draw) for example in examples] if store is not None else []

    def __getitem__(self, ticket: _Ticket) -> Batch | UserError:
        # A DataLoader would raise its worker's error as another one, its message the whole traceback.
        try:
            return self._batch(ticket)
        except UserError as error:
            return error

    def _batch(self, ticket: _Ticket) -> Batch:
        chosen = [self.examples[index] for index in ticket.indices]
        if self.store is None:
            waves = [self._wave(ticket, place) for place in range(len(chosen))]
            return Batch(chosen, waves, ticket.epoch, ticket.index)
        utterances = [self.utterances[index] for index in ticket.indices]
        states = [None if entry is None else self._stored(entry) for entry in utterances]
        found = [self._wave(ticket, place) if kept is None else None for place, kept in enumerate(states)]
        return Batch(chosen, found, ticket.epoch, ticket.index, utterances, states)

    def _stored(self, entry: Utterance) -> Tensor | None:
        if self.reading is not None:
            self.reading.note(entry.path)
        return self.store.get(entry) if self.store is not None else None

    def _wave(self, ticket: _Ticket, place: int) -> Tensor:
        example = self.examples[ticket.indices[place]]
        if self.reading is not None:
            self.reading.note(example.path)
        draw = None
        if self.seed is not None and self.crops == "fixed":
            draw = crop_generator(self.seed, self.reader, example)
        elif self.seed is not None:
            names = (self.reader.card.name, "wave", ticket.epoch, ticket.index, ticket.places[place], example.name)
            draw = generator(self.seed, *names)
        return self.reader.waveform(example, draw)


class TaskStream:
    """Batches of one task, epoch after epoch, independent of every other task.

    Order and crops of an epoch depend only on (seed, task, epoch), so the position is the whole state.

    :param balanced: every class equally likely (needs hashable labels).
    :param workers: processes that read ahead; 0 reads in this one.
    :param crops: whether random crops are drawn anew at every visit.
    :param store: of the states of a frozen encoder.
    :param ranks: several processes share one batch that is so many times as large; a share may be empty.
    :param reading: where workers note the file they are at.
    """

    def __init__(
        self,
        reader: Reader,
        examples: Sequence[Example],
        batch: BatchConfig,
        seed: int,
        balanced: bool = False,
        workers: int = 0,
        crops: Crops = "fresh",
        store: FeatureStore | None = None,
        ranks: Ranks = ALONE,
        reading: Reading | None = None,
    ) -> None:
        self._reading = reading
        self._crops: Crops = crops
        self._store, self._ranks = store, ranks
        self._reader, self._examples, self._batch = reader, list(examples), batch
        self._seed, self._balanced, self._workers = seed, balanced, workers
        self._task = reader.card.name
        self._seconds = [example.seconds for example in examples]
        self._next = (0, 0)
        self._batches: Iterator[Batch | UserError] | None = None

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self._next[0]

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of one epoch, those of all processes joined, as indices into the examples."""
        draw = generator(self._seed, self._task, "order", epoch)
        if self._balanced:
            order = balanced_order([example.label for example in self._examples], draw)
        else:
            order = torch.randperm(len(self._examples), generator=draw).tolist()
        world, limit = self._ranks.world, self._batch.seconds
        joined = None if limit is None else limit * world
        size, bucket = self._batch.size * world, self._batch.bucket
        return training_batches(self._seconds, order, size, joined, draw, bucket)

    def next(self) -> Batch:
        """The next batch."""
        if self._batches is None:
            self._batches = self._open()
        batch = _whole(next(self._batches))
        self._next = (batch.epoch, batch.index + 1)
        return batch

    def close(self) -> None:
        """End the processes that read ahead, now: left to the garbage collector each takes five seconds to end."""
        self._batches = None

    def state_dict(self) -> dict[str, int]:
        state = {"epoch": self._next[0], "batch": self._next[1], "examples": len(self._examples)}
        return state if self._ranks.world == 1 else {**state, "world": self._ranks.world}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken.

        :raises CheckpointError: the training split has another number of utterances now, or the run had another number of
            processes.
        """
        if (world := state.get("world", 1)) != self._ranks.world:
            raise CheckpointError(
                f"the run was trained by {world} processes and continues with {self._ranks.world}; "
                f"start torchrun with --nproc_per_node {world}, or continue without it where it was one"
            )
        if state["examples"] != len(self._examples):
            raise CheckpointError(
                f"the training split of {self._task!r} had {state['examples']} utterances when the checkpoint was "
                f"written and has {len(self._examples)} now; restore the corpus or start a new run"
            )
        self._next, self._batches = (state["epoch"], state["batch"]), None

    def _tickets(self) -> Iterator[_Ticket]:
        first, skip = self._next
        for epoch in itertools.count(first):
            for index, indices in enumerate(self.plan(epoch)):
                if epoch > first or index >= skip:
                    places = tuple(self._ranks.share(range(len(indices))))
                    yield _Ticket(tuple(indices[place] for place in places), epoch, index, places)

    def _open(self) -> Iterator[Batch | UserError]:
        dataset = _Batches(self._reader, self._examples, self._seed, self._crops, self._store, self._reading)
        if self._workers == 0:
            return (dataset[ticket] for ticket in self._tickets())
        return iter(DataLoader(dataset, batch_size=None, sampler=_Endless(self), num_workers=self._workers))


class _Endless:
    """The stream's tickets as a sampler: drawn in the main process, made into batches by the workers."""

    def __init__(self, stream: TaskStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[_Ticket]:
        return self._stream._tickets()


def evaluation_batches(
    reader: Reader,
    examples: Sequence[Example],
    batch: BatchConfig,
    workers: int = 0,
    store: FeatureStore | None = None,
    ranks: Ranks = ALONE,
    reading: Reading | None = None,
) -> tuple[int, Iterator[Batch]]:
    """Every utterance once, longest first (what does not fit into memory fails at once): number of batches, batches.

    Of several processes each takes its share of the batches; their numbers are those of all.
    """
    seconds = [example.seconds for example in examples]
    order = sorted(range(len(examples)), key=lambda index: -seconds[index])
    plan = batches_in_order(seconds, order, batch.size, batch.seconds)
    tickets = [_Ticket(tuple(plan[number]), 0, number) for number in ranks.share(range(len(plan)))]
    dataset = _Batches(reader, examples, None, store=store, reading=reading)
    if workers == 0:
        return len(tickets), (_whole(dataset[ticket]) for ticket in tickets)
    return len(tickets), map(_whole, DataLoader(dataset, batch_size=None, sampler=tickets, num_workers=workers))


def _whole(batch: Batch | UserError) -> Batch:
    if isinstance(batch, UserError):
        raise batch
    return batch
