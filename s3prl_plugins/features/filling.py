"""Filling a store ahead of the runs that read it: what is missing, how large it will be, and computing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from s3prl_plugins.features.identity import Utterance
from s3prl_plugins.features.kinds import Kind
from s3prl_plugins.features.store import FeatureStore
from s3prl_plugins.features.utterances import Crops, crop_generator, training_draw, utterance
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.contract import Example, Reader

__all__ = ["OVERHEAD", "Item", "Share", "fill", "gather"]

OVERHEAD = 128
"""Bytes an utterance takes beside its states, at most: its line in the index."""

Compute = Callable[[Tensor, str], list[Tensor]]
"""(samples,) and a name for errors -> layers (frames, dim)."""


@dataclass(frozen=True)
class Item:
    """One utterance to compute."""

    utterance: Utterance
    reader: Reader
    example: Example
    seed: int | None
    """Of a training crop; None where nothing is drawn."""

    def wave(self) -> Tensor:
        draw = None if self.seed is None else crop_generator(self.seed, self.reader, self.example)
        return self.reader.waveform(self.example, draw)

    def size(self, kind: Kind, shape: tuple[int, int], rate: int) -> int:
        """Bytes it takes, an estimate from above. :param shape: layers and width."""
        frames = math.ceil(self.example.seconds * SAMPLE_RATE / rate)
        return OVERHEAD + kind.size(shape[0], frames, shape[1])


@dataclass
class Share:
    """What one task adds to a store."""

    task: str
    store: FeatureStore
    items: list[Item] = field(default_factory=list)
    """Not there yet, and not of another task before."""
    present: int = 0
    """Utterances that are there, or that another task adds."""
    unstorable: int = 0
    """Utterances of which training hears another crop at every visit."""

    @property
    def seconds(self) -> float:
        """Of audio to compute."""
        return sum(item.example.seconds for item in self.items)

    def size(self, shape: tuple[int, int], rate: int) -> int:
        return sum(item.size(self.store.kind, shape, rate) for item in self.items)


def gather(
    share: Share,
    reader: Reader,
    examples: Sequence[Example],
    training: bool,
    crops: Crops,
    seed: int,
    seen: set[Utterance],
) -> None:
    """Add what of a split is missing.

    :param training: whether the split is trained on, with random crops.
    :param seen: utterances that a task before adds to the same store; those of this one are added to it.
    """
    draw = training_draw(crops, seed) if training else None
    for example in examples:
        key = utterance(reader, example, draw)
        if key is None:
            share.unstorable += 1
        elif key in seen or share.store.has(key):
            share.present += 1
        else:
            seen.add(key)
            share.items.append(Item(key, reader, example, seed if training else None))


def fill(share: Share, compute: Compute, shape: tuple[int, int], rate: int) -> Iterator[tuple[Item, bool]]:
    """Compute and store what is missing, while the store has room: each item, and whether it was stored.

    Whatever ends it, what was stored is whole, and the next call goes on with the rest.
    """
    for item in share.items:
        room = share.store.room
        if share.store.is_full or (room is not None and item.size(share.store.kind, shape, rate) > room):
            return
        yield item, share.store.put(item.utterance, compute(item.wave(), item.example.name))
