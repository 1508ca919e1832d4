"""Regression and waveform workers: what they learn, how targets are normalised, which options there are."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.targets import TARGETS
from s3prl_plugins.pretrain.workers import WORKERS, Regression, Views, Worker, build_worker
from s3prl_plugins.pretrain.workers.normalisation import Normalisation
from s3prl_plugins.pretrain.workers.waveform import Waveform

DIM = 8
RANDOM = torch.Generator()


def speech_like(rows: int = 4, samples: int = 3200, seed: int = 0) -> Tensor:
    """A tone of another pitch in each row, in noise of changing level."""
    random = torch.Generator().manual_seed(seed)
    hertz = 100 + 200 * torch.rand(rows, 1, generator=random)
    time = torch.arange(samples) / 16000
    tone = (2 * torch.pi * hertz * time).sin() + 0.5 * (6 * torch.pi * hertz * time).sin()
    level = 0.02 + 0.1 * (1 + (2 * torch.pi * 3 * time).sin())
    return 0.2 * tone + level * torch.randn(rows, samples, generator=random)


def views(waves: Tensor, chunk: Tensor) -> Views:
    return Views(waves, chunk, chunk, chunk)


def train(worker: Worker, make: Callable[[], Views], steps: int, lr: float) -> list[float]:
    optimizer = torch.optim.Adam(worker.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = worker(make(), RANDOM)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_is_a_worker_that_learns_from_an_embedding_with_its_values(name: str) -> None:
    torch.manual_seed(0)
    waves = speech_like()
    worker = build_worker(name, TARGETS[name].dim, {"hidden": 128})
    assert isinstance(worker, Regression)
    worker.take(waves)
    seen = views(waves, worker.normalise(TARGETS[name](waves)))
    losses = train(worker, lambda: seen, 60, 5e-3)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", ["mfcc", "f0"])
def test_loss_is_the_mean_over_frames_and_numbers(name: str) -> None:
    waves = speech_like()
    worker = build_worker(name, DIM, {"deltas": 1, "context": 3})
    assert isinstance(worker, Regression)
    worker.take(waves)
    embedding = torch.randn(4, 20, DIM)
    apart = worker.network(embedding) - worker.normalise(worker.target(waves))
    wanted = apart.square().mean() if name == "mfcc" else apart.abs().mean()
    torch.testing.assert_close(worker(views(waves, embedding), RANDOM), wanted)
    assert worker.network.last.out_features == TARGETS[name].dim * 2 * 3


def test_labels_of_pretext_selection_have_l1_and_the_loss_is_an_option() -> None:
    losses = {name: getattr(build_worker(name, DIM), "loss", None) for name in WORKERS}
    assert {name for name, loss in losses.items() if loss == "l1"} == {
        "f0", "voicing", "log_hnr", "rasta", "rms", "zcr", "alpha_ratio",
    }  # fmt: skip
    assert {name for name, loss in losses.items() if loss is None} == {"waveform", "lim", "gim", "spc"}
    assert getattr(build_worker("f0", DIM, {"loss": "mse"}), "loss") == "mse"  # noqa: B009


@pytest.mark.parametrize("name", ["lps", "mfcc", "prosody"])
def test_normalised_targets_have_mean_0_and_std_1_on_the_sample(name: str) -> None:
    worker = build_worker(name, DIM, {"deltas": 2, "context": 3})
    assert isinstance(worker, Regression)
    parts = [speech_like(rows, 6400, seed=rows) for rows in (5, 1, 3)]
    for part in parts:
        worker.take(part)
    normal = torch.cat([worker.normalise(worker.target(part)).flatten(0, 1) for part in parts]).double()
    torch.testing.assert_close(normal.mean(0), torch.zeros_like(normal[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(normal.std(0, correction=0), torch.ones_like(normal[0]), atol=1e-3, rtol=0)


def test_normalisation_of_constants_and_without_a_sample() -> None:
    normalise = Normalisation(2)
    values = torch.tensor([[5.0, 1.0], [5.0, 3.0]])
    assert torch.equal(normalise(values), values)
    normalise.take(values)
    torch.testing.assert_close(normalise(values), torch.tensor([[0.0, -1.0], [0.0, 1.0]]))


def test_statistics_are_saved_with_the_model() -> None:
    first, second = build_worker("rms", DIM), build_worker("rms", DIM)
    assert isinstance(first, Regression)
    first.take(speech_like())
    second.load_state_dict(first.state_dict())
    seen = views(speech_like(seed=1), torch.zeros(4, 20, DIM))
    assert torch.equal(first(seen, RANDOM), second(seen, RANDOM))


@pytest.mark.parametrize("frames", [1, 2, 7, 100])
def test_waveform_decoder_gives_160_samples_a_frame(frames: int) -> None:
    decoder = build_worker("waveform", DIM, {"channels": [4, 3, 2], "hidden": 2})
    assert isinstance(decoder, Waveform)
    assert decoder.decode(torch.zeros(2, frames, DIM)).shape == (2, 160 * frames)


def test_waveform_decoder_has_the_published_size_and_is_in_step_with_the_frames() -> None:
    decoder = build_worker("waveform", 100)
    wanted = 100 * 512 * 30 + 512 * 256 * 30 + 256 * 128 * 30 + 2 * (512 + 256 + 128) + 128 * 64 + 64 + 64 + 64 + 1
    assert sum(parameter.numel() for parameter in decoder.parameters()) == wanted
    small = build_worker("waveform", 1, {"channels": [2, 2, 2], "hidden": 2})
    assert isinstance(small, Waveform)
    embedding = torch.zeros(1, 40, 1, requires_grad=True)
    torch.autograd.backward(small.decode(embedding)[0, 20 * 160 + 80])
    assert embedding.grad is not None
    felt = embedding.grad[0, :, 0].nonzero().flatten().tolist()
    assert felt, "the sample depends on no frame"
    assert min(felt) <= 20 <= max(felt)
    assert max(felt) - min(felt) < 14


def test_waveform_decoder_learns_and_its_loss_is_l1() -> None:
    torch.manual_seed(0)
    waves = 0.5 * torch.sin(torch.arange(3200) * (2 * torch.pi / 160)).repeat(2, 1)
    decoder = build_worker("waveform", DIM, {"channels": [16, 16, 8], "hidden": 8})
    assert isinstance(decoder, Waveform)
    seen = views(waves, torch.ones(2, 20, DIM))
    torch.testing.assert_close(decoder(seen, RANDOM), (decoder.decode(seen.chunk) - waves).abs().mean())
    losses = train(decoder, lambda: seen, 80, 1e-2)
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mfc", {}, "unknown worker 'mfc'; did you mean 'mfcc'"),
        ("mfcc", {"coeficients": 13}, r"unknown key worker_options\.mfcc\.coeficients; did you mean 'coefficients'"),
        ("mfcc", {"hop": 320}, r"unknown key worker_options\.mfcc\.hop; .*Known: coefficients, context, deltas"),
        ("mfcc", {"loss": "l2"}, r"worker_options\.mfcc\.loss is 'l2'; .*Known: l1, mse"),
        ("mfcc", {"hidden": 0}, r"worker_options\.mfcc: hidden must be at least 1, found 0"),
        ("mfcc", {"context": 2}, "context must be an odd number of frames, found 2"),
        ("waveform", {"channels": [8, 8]}, r"worker_options\.waveform\.channels must hold 3 values, found 2"),
        ("waveform", {"channels": [8, 0, 8]}, r"channels must be at least 1 each, found \[8, 0, 8\]"),
        ("lim", {"augment": True}, r"unknown key worker_options\.lim\.augment; .*Known: hidden"),
        ("gim", {"augment": 1}, r"worker_options\.gim\.augment must be bool, found 1"),
        ("spc", {"gap": 0}, "gap must be at least 1, found 0"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_worker(name, DIM, options)
