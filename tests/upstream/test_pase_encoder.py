"""PASE's encoders: sizes, frames, what a frame sees, equality with the plain form, determinism."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.targets import CENTRE, HOP, frame_count
from s3prl_plugins.upstream.pase.encoder import ENCODERS, EncoderConfig, PaseEncoder
from s3prl_plugins.upstream.pase.recurrence import QuasiRecurrence

SMALL = EncoderConfig(dim=12, channels=(4, 4, 6, 6, 8, 8, 10, 10), recurrent=9, skips=True)


def noise(batch: int, samples: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))


def lively(config: EncoderConfig, seed: int = 0) -> PaseEncoder:
    """An encoder whose slopes and statistics are not those of the start, in evaluation mode."""
    encoder, draw = PaseEncoder(config, seed), torch.Generator().manual_seed(seed)
    for name, tensor in encoder.state_dict().items():
        if name.endswith(("activation.weight", "running_var")):
            tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.1)
        elif name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=draw) * 0.1)
    return encoder.eval()


def plain(encoder: PaseEncoder, waves: Tensor) -> list[Tensor]:
    """The nine states as the papers put them: every skip projected at its own rate, then averaged over its frames."""
    hidden, skips = waves[:, None], []
    frames = frame_count(waves.shape[1])
    factor = HOP
    for number, block in enumerate(encoder.blocks):
        kernel, stride = encoder.config.kernels[number], encoder.config.strides[number]
        left = kernel // 2 - 1 if stride > 1 else kernel // 2
        weight, bias = (block.conv.taps()[:, None], None) if number == 0 else (block.conv.weight, block.conv.bias)
        hidden = conv1d(pad(hidden, (left, kernel // 2), "reflect"), weight, bias, stride)
        hidden = block.activation(block.norm(hidden))
        factor //= stride
        if number < len(encoder.skips):
            projected = conv1d(hidden, encoder.skips[number].weight[:, :, None])
            skips.append(torch.stack([projected[..., factor * n : factor * (n + 1)].mean(2) for n in range(frames)], 1))
    hidden = hidden.transpose(1, 2)
    if encoder.recurrence is not None:
        hidden = encoder.recurrence(hidden)
    first = encoder.projection(hidden)
    summed = first + sum(skips, torch.zeros(()))
    return [first, *skips, encoder.norm(summed.transpose(1, 2)).transpose(1, 2)]


def test_sizes_are_the_papers() -> None:
    """PASE: 5.82 M parameters, 100 numbers a frame; PASE+: 7.83 M, 256 numbers, nine states."""
    count = {size: sum(p.numel() for p in PaseEncoder(config).parameters()) for size, config in ENCODERS.items()}
    assert count == {"tiny": 1689632, "pase": 5818020, "plus": 7832896}
    for size, states, dim in (("tiny", 9, 256), ("pase", 1, 100), ("plus", 9, 256)):
        encoder = PaseEncoder(ENCODERS[size]).eval()
        with torch.no_grad():
            found = encoder.states(noise(2, 3200))
        assert [tuple(state.shape) for state in found] == [(2, 20, dim)] * states
        assert encoder.dim == dim and torch.equal(encoder(noise(2, 3200)), found[-1])


def test_100000_samples_give_625_frames_as_the_released_code_says() -> None:
    with torch.no_grad():
        assert PaseEncoder(SMALL).eval()(noise(1, 100000)).shape == (1, 625, 12)


def test_frames_are_those_of_the_targets_for_every_length() -> None:
    encoder = PaseEncoder(SMALL).eval()
    with torch.no_grad():
        for samples in [*range(151, 700, 3), 1591, 1600, 1751, 16000, 16149, 16150, 16151, 16152]:
            assert encoder(torch.zeros(1, samples)).shape[1] == frame_count(samples), samples
    assert all(encoder._frames(samples) == frame_count(samples) for samples in range(151, 3000))
    with pytest.raises(ValueError, match="long enough for a frame, as 160 samples are, found 150; pad them"):
        encoder(torch.zeros(1, 150))


@pytest.mark.parametrize("samples", [1591, 1600, 3200, 3277])
@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_the_plain_form(samples: int, training: bool) -> None:
    encoder = lively(SMALL).train(training)
    waves = noise(3, samples)
    for found, wanted in zip(encoder.states(waves), plain(encoder, waves), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)


def test_a_frame_sees_2370_samples_around_its_centre() -> None:
    encoder = lively(EncoderConfig(dim=2, channels=(4,) * 8))
    wave = noise(1, 9600).requires_grad_()
    for frame in (20, 31):
        (slope,) = torch.autograd.grad(encoder(wave)[0, frame].sum(), wave)
        seen = slope[0].nonzero()
        first, last = int(seen[0]), int(seen[-1])
        assert last - first + 1 == 2370 and (first + last) / 2 == HOP * frame + CENTRE


def test_rows_of_a_batch_do_not_matter_to_each_other_in_evaluation() -> None:
    encoder, waves = lively(SMALL), noise(4, 4000)
    with torch.no_grad():
        for together, alone in zip(encoder.states(waves), encoder.states(waves[2:3])):
            torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", ["tiny", "pase", "plus"])
def test_every_parameter_is_trained(size: str) -> None:
    encoder = PaseEncoder(ENCODERS[size])
    encoder(noise(2, 2400)).cos().sum().backward()
    idle = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Before batch normalisation a constant means nothing.
    assert [name for name in idle if not name.endswith(("conv.bias", "projection.bias"))] == []


def test_weights_are_a_function_of_the_seed_alone() -> None:
    state = torch.random.get_rng_state()
    one, other, third = PaseEncoder(SMALL, 1), PaseEncoder(SMALL, 1), PaseEncoder(SMALL, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert not torch.equal(one.projection.weight, third.projection.weight)


def test_bfloat16_autocast_gives_nearly_the_same_embedding() -> None:
    encoder, waves = lively(ENCODERS["tiny"]), noise(2, 3200)
    with torch.no_grad():
        full = encoder(waves)
        with torch.autocast("cpu", torch.bfloat16):
            half = encoder(waves)
    assert float((full - half.float()).norm() / full.norm()) < 0.03


def test_recurrence_is_a_loop_in_numpy() -> None:
    draw = torch.Generator().manual_seed(0)
    layer, frames = QuasiRecurrence(5, 3), torch.randn(2, 7, 5, generator=draw)
    weight, bias = (p.detach().double().numpy() for p in (layer.linear.weight, layer.linear.bias))
    x, state = frames.double().numpy(), np.zeros((2, 3))
    found = layer(frames).detach().numpy()
    for t in range(7):
        before = x[:, t - 1] if t else np.zeros((2, 5))
        z, f, o = np.split(np.concatenate([x[:, t], before], 1) @ weight.T + bias, 3, 1)
        forget = 1 / (1 + np.exp(-f))
        state = forget * np.tanh(z) + (1 - forget) * state
        np.testing.assert_allclose(found[:, t], state / (1 + np.exp(-o)), atol=1e-6)


def test_batch_normalisation_makes_the_embedding_standard_in_training() -> None:
    embedding = PaseEncoder(SMALL)(noise(4, 8000)).detach()
    torch.testing.assert_close(embedding.mean((0, 1)), torch.zeros(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(embedding.var((0, 1), correction=0), torch.ones(12), atol=0.01, rtol=0)


def test_blocks_start_as_relus_with_the_published_layers() -> None:
    encoder = PaseEncoder(ENCODERS["pase"])
    channels = ENCODERS["pase"].channels
    for block, (inputs, outputs) in zip(list(encoder.blocks)[1:], pairwise(channels)):
        assert isinstance(block.conv, nn.Conv1d) and block.conv.weight.shape[:2] == (outputs, inputs)
        assert torch.equal(block.activation.weight, torch.zeros(outputs))
    assert encoder.norm.weight is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": (8, 8)}, "of one length, found 2, 8 and 8"),
        ({"dim": 0}, "every size must be at least 1"),
        ({"kernels": (250, 20, 11, 11, 11, 11, 11, 11)}, "odd, at stride 1; found 250 taps at 1"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EncoderConfig(**options)  # type: ignore[arg-type]
