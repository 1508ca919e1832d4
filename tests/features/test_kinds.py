"""The forms states are kept in: what they give back, how exactly, how large they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.features.kinds import KINDS, find_kind, through

FRAME_KINDS = sorted(set(KINDS) - {"pooled"})


def states(layers: int, frames: int, dim: int, seed: int = 0) -> list[Tensor]:
    """Channels of very different size, some far from zero, one constant, as hidden states have them."""
    draw = torch.Generator().manual_seed(seed)
    scale = 10 ** (torch.rand(layers, 1, dim, generator=draw) * 4 - 3)
    found = torch.randn(layers, frames, dim, generator=draw) * scale + torch.randn(layers, 1, dim, generator=draw)
    found[:, :, 0] += 1000.0
    found[:, :, dim - 1] = 0.1
    return list(found.unbind())


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(layers=st.integers(1, 3), frames=st.integers(1, 9), dim=st.integers(1, 7), seed=st.integers(0, 99))
def test_what_comes_back_has_the_shape_and_the_size_told(
    kind: str, layers: int, frames: int, dim: int, seed: int
) -> None:
    one = KINDS[kind]
    given_states = states(layers, frames, dim, seed)
    data = one.encode(given_states)
    assert data is not None and len(data) == one.size(layers, frames, dim)
    back = one.decode(memoryview(data), layers, frames, dim)
    wanted = (1, dim) if kind == "pooled" else (frames, dim)
    assert len(back) == layers and all(layer.shape == wanted and layer.dtype == torch.float32 for layer in back)
    # Memory of its own: writing into a mapped file would kill the process.
    for layer in back:
        layer.add_(1.0)
    again = through(one, given_states)
    for layer, other in zip(back, again):
        torch.testing.assert_close(layer - 1.0, other, rtol=1e-5, atol=1e-5)


def test_bytes_of_an_hour_relative_to_float16() -> None:
    """Utterances of 12.8 s, as LibriSpeech's; the aim of 0.28 is met by four bits."""
    sizes = {name: kind.size(13, 639, 768) for name, kind in KINDS.items()}
    ratio = {name: size / sizes["float16"] for name, size in sizes.items()}
    assert ratio["float32"] == 2.0
    assert ratio["int8"] == pytest.approx(0.5, abs=0.01)
    assert ratio["int4"] < 0.28
    assert ratio["pooled"] < 0.004


def test_float32_gives_the_very_bits() -> None:
    given_states = states(3, 50, 8)
    assert all(torch.equal(a, b) for a, b in zip(through(KINDS["float32"], given_states), given_states))


def test_float16_is_numpys() -> None:
    given_states = states(2, 20, 4)
    back = through(KINDS["float16"], given_states)
    for layer, other in zip(back, given_states):
        np.testing.assert_array_equal(layer.numpy(), other.numpy().astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(("kind", "steps"), [("int8", 254), ("int4", 14)])
@given(seed=st.integers(0, 999), frames=st.integers(1, 60))
def test_quantised_states_are_half_a_step_off_at_most(kind: str, steps: int, seed: int, frames: int) -> None:
    given_states = torch.stack(states(2, frames, 6, seed))
    back = through(KINDS[kind], list(given_states.unbind()))
    half_step = (given_states.amax(dim=1) - given_states.amin(dim=1)) / steps / 2
    rounding = 2e-7 * given_states.abs().amax(dim=1)
    assert ((back - given_states).abs() <= (half_step + rounding)[:, None] * 1.001).all()


def test_a_channel_that_hardly_moves_around_a_large_constant_keeps_its_movement() -> None:
    moving = torch.linspace(-0.05, 0.05, 41)[:, None] + 1000.0
    [back] = through(KINDS["int8"], [moving])
    assert torch.corrcoef(torch.stack([moving[:, 0], back[:, 0]]))[0, 1] > 0.999
    [half] = through(KINDS["float16"], [moving])
    assert half.unique().numel() == 1


@pytest.mark.parametrize("kind", FRAME_KINDS)
def test_a_constant_channel_stays(kind: str) -> None:
    [back] = through(KINDS[kind], [torch.full((5, 3), 0.375)])
    assert torch.equal(back, torch.full((5, 3), 0.375))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_kept(kind: str, bad: float) -> None:
    given_states = states(2, 4, 3)
    given_states[1][2, 1] = bad
    assert KINDS[kind].encode(given_states) is None
    back = through(KINDS[kind], given_states)
    torch.testing.assert_close(back, torch.stack(given_states), rtol=0, atol=0, equal_nan=True)


def test_what_float16_cannot_hold_is_not_kept() -> None:
    large = [torch.full((2, 2), 70000.0)]
    assert KINDS["float16"].encode(large) is None
    assert KINDS["int8"].encode(large) is not None


def test_a_mean_pooling_head_cannot_tell_pooled_states_from_frames() -> None:
    torch.manual_seed(0)
    given_states = [torch.randn(120, 16) for _ in range(4)]
    weights = torch.randn(4).softmax(0)
    projector, out = nn.Linear(16, 8), nn.Linear(8, 5)

    def head(layers: list[Tensor]) -> Tensor:
        mixed = sum(weight * layer for weight, layer in zip(weights, layers))
        return out(projector(mixed).mean(dim=0))

    torch.testing.assert_close(head(through(KINDS["pooled"], given_states)), head(given_states), rtol=1e-5, atol=1e-5)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown kind of stored states 'int88'; did you mean 'int8'\? Known: "):
        find_kind("int88")
