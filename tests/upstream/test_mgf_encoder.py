"""MGF's encoder: PASE's convolutions and s3prl's transformer, put together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.upstream.mgf.encoder import ENCODERS, MgfConfig, MgfEncoder

SMALL = MgfConfig(
    dim=16, channels=(4,) * 8, strides=(1, 10, 2, 1, 2, 1, 2, 4), layers=3, heads=2, ffn=32, positions=8, groups=4
)
PRE = MgfConfig(**{**vars(SMALL), "norm_first": True})


def noise(rows: int, samples: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("size", "parameters", "hop"), [("tiny", 4_931_680, 320), ("base", 27_043_008, 160)])
def test_sizes(size: str, parameters: int, hop: int) -> None:
    encoder = MgfEncoder(ENCODERS[size])
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
    assert encoder.config.hop == hop and len(encoder.transformer.layers) == encoder.config.layers


@pytest.mark.parametrize("samples", [151, 320, 470, 471, 4000, 8000])
def test_all_states_have_one_shape(samples: int) -> None:
    local, states = MgfEncoder(SMALL).eval()(noise(2, samples))
    assert local.shape == (2, (samples + 169) // 320, 16)
    assert [state.shape for state in states] == [local.shape] * 3


@pytest.mark.parametrize("config", [SMALL, PRE])
def test_it_is_the_two_networks_one_after_the_other(config: MgfConfig) -> None:
    encoder = MgfEncoder(config).eval()
    local, states = encoder(noise(2, 4000))
    assert torch.equal(local, encoder.convolutions(noise(2, 4000)))
    last, _ = encoder.transformer(local)
    assert torch.equal(states[-1], last)
    for number, state in enumerate(states[:-1]):
        found, _ = encoder.transformer.extract_features(local, tgt_layer=number)
        torch.testing.assert_close(state, found)
    assert torch.equal(encoder.context(local)[-1], last)


def test_masks_hide_h_from_the_transformer_and_change_nothing_else() -> None:
    encoder = MgfEncoder(SMALL).eval()
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[0, 3:7] = True
    plain, masked = encoder(noise(2, 3840)), encoder(noise(2, 3840), mask)
    assert torch.equal(masked.local, plain.local)
    torch.testing.assert_close(masked.states[-1][1], plain.states[-1][1])
    assert not torch.allclose(masked.states[-1][0], plain.states[-1][0])
    changed = plain.local.clone()
    changed[0, 3:7] = 7.0
    torch.testing.assert_close(encoder.context(changed, mask), masked.states)


@pytest.mark.parametrize(
    "strides",
    [(1, 10, 2, 2, 2, 1, 2, 2), (1, 10, 2, 1, 2, 1, 2, 2), (1, 10, 2, 1, 2, 1, 2, 4), (1, 4, 3, 1, 2, 2, 2, 1)],
)
def test_the_centre_is_the_middle_of_what_a_frame_sees(strides: tuple[int, ...]) -> None:
    """By gradients: the samples that a frame of the convolutions depends on, away from the mirrored ends."""
    config = MgfConfig(**{**vars(SMALL), "strides": strides})
    encoder = MgfEncoder(config).double().eval()
    for block in encoder.convolutions.blocks:
        torch.nn.init.constant_(block.activation.weight, 0.5)  # as it is, most gradients are 0
    waves = noise(1, 16000).double().requires_grad_()
    frame = 8000 // config.hop
    encoder.local(waves)[0, frame].sum().backward()
    assert waves.grad is not None
    seen = waves.grad[0].nonzero().flatten()
    assert float(seen[0] + seen[-1]) / 2 == config.hop * frame + config.centre


def test_weights_are_a_function_of_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (MgfEncoder(SMALL, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(tensor, same[name]) for name, tensor in one.items())
    for name in ("mask", "transformer.layers.0.fc1.weight", "convolutions.projection.weight"):
        assert not torch.equal(one[name], other[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "every size must be at least 1"),
        ({"heads": 3}, "dim must be a multiple of heads = 3, found 16"),
        ({"groups": 5}, "dim must be a multiple of groups = 5, found 16"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1, found 1.0"),
    ],
)
def test_sizes_that_cannot_be(change: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MgfConfig(**{**vars(SMALL), **change})
