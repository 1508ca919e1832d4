"""A frozen encoder with a store: what the store has is taken from there, the rest is computed once and put there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from s3prl_plugins.features.identity import Utterance
from s3prl_plugins.features.kinds import through
from s3prl_plugins.features.store import FeatureStore
from s3prl_plugins.multitask.streams import Batch
from s3prl_plugins.multitask.trunk import HiddenStates, Trunk

__all__ = ["Shelf"]


@dataclass(frozen=True)
class Shelf:
    """How the states of a task are kept.

    The kind defines the numbers: what is computed goes through it too. And every utterance that can be stored is computed
    alone. So its states are the same at the first visit and at later ones, with any neighbours, and where there is no
    room for them; a run that was cut off ends as one that was not.
    """

    store: FeatureStore
    normalized: bool = False
    """Layer-normalise before the kind takes means over time, after which it would be another thing."""
    keep: bool = True
    """Whether new states are put into the store."""

    def states(self, trunk: Trunk, batch: Batch, device: torch.device) -> list[HiddenStates]:
        """States of a batch whose `utterances` are known, grouped by their number of frames.

        :param trunk: frozen, with padding `none`, in evaluation mode.
        :raises CorpusError: as `Trunk`.
        """
        by_frames: defaultdict[int, list[int]] = defaultdict(list)
        found: dict[int, list[Tensor]] = {}
        crops = []
        for place, (utterance, kept) in enumerate(zip(batch.utterances, batch.states)):
            if utterance is None:
                crops.append(place)
                continue
            # Another process or place of the batch may have stored it since the batch was read.
            layers = kept or self.store.get(utterance) or self._compute(trunk, batch, place, utterance, device)
            found[place] = layers
            by_frames[layers[0].shape[0]].append(place)
        groups = [
            HiddenStates(_stacked([found[place] for place in places], device), places, [frames] * len(places), self.normalized)
            for frames, places in by_frames.items()
        ]  # fmt: skip
        if crops:
            waves = [wave.to(device) for place in crops if (wave := batch.waves[place]) is not None]
            computed: list[HiddenStates] = trunk(waves, [batch.examples[place].name for place in crops])
            groups += [HiddenStates(g.layers, [crops[place] for place in g.places], g.frames) for g in computed]
        return groups

    def _compute(
        self, trunk: Trunk, batch: Batch, place: int, utterance: Utterance, device: torch.device
    ) -> list[Tensor]:
        wave = batch.waves[place]
        assert wave is not None
        with torch.no_grad():
            [alone] = trunk([wave.to(device)], [batch.examples[place].name])
            layers = [layer[0].cpu() for layer in alone.layers]
            if self.normalized:
                layers = [F.layer_norm(layer, layer.shape[-1:]) for layer in layers]
        return self.store.keep(utterance, layers) if self.keep else through(self.store.kind, layers)


def _stacked(states: Sequence[list[Tensor]], device: torch.device) -> list[Tensor]:
    """Layers of (utterances, frames, dim) from each utterance's layers of (frames, dim)."""
    return [torch.stack(layers).to(device) for layers in zip(*states)]
