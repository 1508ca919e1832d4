"""The softmax-weighted sum of hidden states that SUPERB puts between encoder and head (arXiv 2105.01051, section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.multitask.trunk import HiddenStates

__all__ = ["LayerMix"]


class LayerMix(nn.Module):
    """One weight per layer, softmax over layers; equals `s3prl.upstream.interfaces.Featurizer`, whose state it loads.

    :param layers: number of hidden states; with one there is nothing to weigh and no parameter.
    :param normalize: layer-normalise each state (without learned scale) before the sum.
    """

    def __init__(self, layers: int, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize
        if layers > 1:
            self.weights = nn.Parameter(torch.zeros(layers))

    def forward(self, groups: Sequence[HiddenStates]) -> list[Tensor]:
        """Features of every utterance in batch order, each (frames, dim), padding removed."""
        features: dict[int, Tensor] = {}
        for group in groups:
            mixed = self._mix(group.layers, self.normalize and not group.normalized)
            features.update(zip(group.places, group.split(mixed)))
        return [features[place] for place in range(len(features))]

    def _mix(self, layers: list[Tensor] | Tensor, normalize: bool) -> Tensor:
        if len(layers) == 1:
            return layers[0]
        weights = self.weights.softmax(dim=-1)
        if isinstance(layers, list) and any(layer.requires_grad for layer in layers):
            mixed = torch.zeros_like(layers[0])
            for weight, layer in zip(weights, layers):
                mixed = mixed + weight * (F.layer_norm(layer, layer.shape[-1:]) if normalize else layer)
            return mixed
        # One product; with a graph of the encoder the copy of all layers would cost more than it saves.
        stacked = torch.stack(layers) if isinstance(layers, list) else layers
        if normalize:
            stacked = F.layer_norm(stacked, stacked.shape[-1:])
        return (weights @ stacked.flatten(1)).view(stacked.shape[1:])
