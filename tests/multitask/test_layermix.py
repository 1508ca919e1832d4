"""The weighted sum of layers: the same whether states come one layer at a time, in one tensor, or with a graph of the encoder."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from s3prl_plugins.multitask.layermix import LayerMix
from s3prl_plugins.multitask.trunk import HiddenStates

LAYERS, FRAMES = 5, (7, 4)


def mixed(states: Tensor, normalize: bool, form: str) -> tuple[list[Tensor], Tensor]:
    """Features of two utterances, and the gradient of the layer weights."""
    mix = LayerMix(LAYERS, normalize)
    with torch.no_grad():
        mix.weights.copy_(torch.linspace(-1, 1, LAYERS))
    if form == "one tensor":
        layers: list[Tensor] | Tensor = states.clone()
    else:
        layers = [layer.clone().requires_grad_(form == "with graph") for layer in states]
    features = mix([HiddenStates(layers, [1, 0], list(FRAMES))])
    torch.cat([feature.flatten() for feature in features]).square().sum().backward()
    assert mix.weights.grad is not None
    return features, mix.weights.grad


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("form", ["one tensor", "layers"])
def test_constant_states_mix_as_those_of_a_trained_encoder(form: str, normalize: bool) -> None:
    states = torch.randn(LAYERS, 2, max(FRAMES), 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features, gradient = mixed(states.float(), normalize, form)
    expected, expected_gradient = mixed(states.float(), normalize, "with graph")
    assert [len(feature) for feature in features] == [FRAMES[1], FRAMES[0]]
    for found, wanted in zip(features, expected):
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-4)


def test_layers_normalised_in_the_store_are_not_normalised_again() -> None:
    states = 3 * torch.randn(LAYERS, 1, 4, 6, generator=torch.Generator().manual_seed(1)) + 1
    mix = LayerMix(LAYERS, normalize=True)
    plain = mix([HiddenStates(states, [0], [4], normalized=True)])[0]
    torch.testing.assert_close(plain, states.mean(0)[0])
