"""A frozen encoder with a store: what the store has is taken from there, the rest is computed once and put there."""

from __future__ import annotations

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
        """States of a batch whose `utterances` are known: means over time in one group, frames one by one.

        :param trunk: frozen, with padding `none`, in evaluation mode.
        :raises CorpusError: as `Trunk`.
        """
        found: dict[int, Tensor] = {}
        crops = []
        for place, (utterance, kept) in enumerate(zip(batch.utterances, batch.states)):
            if utterance is None:
                crops.append(place)
                continue
            # Another process or place of the batch may have stored it since the batch was read.
            states = self.store.get(utterance) if kept is None else kept
            found[place] = self._compute(trunk, batch, place, utterance, device) if states is None else states
        groups = self._groups(found, device)
        if crops:
            waves = [wave.to(device) for place in crops if (wave := batch.waves[place]) is not None]
            computed: list[HiddenStates] = trunk(waves, [batch.examples[place].name for place in crops])
            groups += [HiddenStates(g.layers, [crops[place] for place in g.places], g.frames) for g in computed]
        return groups

    def _groups(self, found: dict[int, Tensor], device: torch.device) -> list[HiddenStates]:
        """:param found: place in the batch -> (layers, frames, dim)."""
        if found and all(states.shape[1] == 1 for states in found.values()):
            together = torch.stack(list(found.values()), dim=1).to(device)
            return [HiddenStates(together, list(found), [1] * len(found), self.normalized)]
        # Copying frames into one tensor would take longer than what it saves.
        return [
            HiddenStates(states[:, None].to(device), [place], [states.shape[1]], self.normalized)
            for place, states in found.items()
        ]

    def _compute(self, trunk: Trunk, batch: Batch, place: int, utterance: Utterance, device: torch.device) -> Tensor:
        wave = batch.waves[place]
        assert wave is not None
        with torch.no_grad():
            [alone] = trunk([wave.to(device)], [batch.examples[place].name])
            layers = [layer[0].cpu() for layer in alone.layers]
            if self.normalized:
                layers = [F.layer_norm(layer, layer.shape[-1:]) for layer in layers]
        return self.store.keep(utterance, layers) if self.keep else through(self.store.kind, layers)
