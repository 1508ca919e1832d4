"""A frozen encoder that computes every utterance once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from s3prl_plugins.multitask.trunk import HiddenStates, Trunk

__all__ = ["RememberingTrunk"]


class RememberingTrunk(nn.Module):
    """Keeps the hidden states of utterances in main memory, known by their samples: a crop is an utterance of its own.

    Every utterance is computed alone, so that its states do not depend on what else was in the batch or in memory.

    :param trunk: with `padding: none`, in evaluation mode whenever it is asked.
    :param gigabytes: of states to keep; when that is full, what is not kept is computed again each time.
    :raises ValueError: the trunk pads, so that states depend on the batch.
    """

    def __init__(self, trunk: Trunk, gigabytes: float) -> None:
        super().__init__()
        if trunk.padding != "none":
            raise ValueError(f"states can be kept with padding 'none' only, found {trunk.padding!r}")
        self.trunk, self.rate = trunk, trunk.rate
        self.room = int(gigabytes * 1e9)
        self._kept: dict[bytes, list[Tensor]] = {}

    @property
    def upstream(self) -> nn.Module:
        return self.trunk.upstream

    def describe(self) -> tuple[int, int]:
        """Number of layers and their width."""
        return self.trunk.describe()

    def forward(self, waves: Sequence[Tensor], names: Sequence[str] = ()) -> list[HiddenStates]:
        """States of a batch, one group an utterance; arguments and errors as `Trunk`."""
        return [
            HiddenStates(layers, [place], [layers[0].shape[1]])
            for place, layers in enumerate(
                self._layers(wave, names[place] if names else f"number {place} of the batch")
                for place, wave in enumerate(waves)
            )
        ]

    def _layers(self, wave: Tensor, name: str) -> list[Tensor]:
        key = hashlib.blake2b(wave.cpu().numpy().tobytes(), digest_size=16).digest()
        kept = self._kept.get(key)
        if kept is not None:
            return [layer.to(wave.device) for layer in kept]
        with torch.no_grad():
            layers: list[Tensor] = self.trunk([wave], [name])[0].layers
        size = sum(layer.numel() * layer.element_size() for layer in layers)
        if size <= self.room:
            self.room -= size
            self._kept[key] = [layer.cpu().clone() for layer in layers]
        return layers
