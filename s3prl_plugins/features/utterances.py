"""What of a corpus can be stored: which samples an example stands for, as the store's key says it."""

from __future__ import annotations

from typing import Literal

import torch

from s3prl_plugins.features.identity import Utterance
from s3prl_plugins.heads.contract import Example, Reader
from s3prl_plugins.seeding import generator

__all__ = ["FRESH", "Crops", "crop_generator", "training_draw", "utterance"]

Crops = Literal["fresh", "fixed"]
"""`fresh`: training hears another random crop at every visit. `fixed`: each training utterance keeps one crop, which
follows from (seed, task, utterance name), so that its states can be stored.

A crop cannot be cut out of the states of the whole utterance: HuBERT's first GroupNorm and its self-attention see all
of it, so the frames of a crop depend on what was cut off. Its states are always computed from its own samples."""

FRESH = "fresh"
"""The draw of training with fresh crops."""


def training_draw(crops: Crops, seed: int) -> str:
    """What `utterance` takes as the draw of a run's training."""
    return FRESH if crops == "fresh" else f"seed {seed}"


def utterance(reader: Reader, example: Example, draw: str | None) -> Utterance | None:
    """The key of the states of an example; None where every visit is another crop.

    :param draw: what `training_draw` gave; None for evaluation, where nothing is drawn.
    """
    variant = reader.variant(example)
    seconds = reader.crop(example) if draw is not None else None
    if seconds is None:
        return Utterance(example.path, example.start, example.stop, variant)
    if draw == FRESH:
        return None
    # The place of the crop depends on the names; where in the file it lies is found when it is read.
    crop = f"crop of {seconds} s, {draw}, {reader.card.name} {example.name}"
    return Utterance(example.path, variant=f"{variant}; {crop}" if variant else crop)


def crop_generator(seed: int, reader: Reader, example: Example) -> torch.Generator:
    """What draws the fixed crop of a training example."""
    return generator(seed, reader.card.name, "crop", example.name)
