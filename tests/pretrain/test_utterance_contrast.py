"""Two stretches of an utterance, their contrast, and pseudo-speakers."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.contrast import info_nce, pair_accuracy
from s3prl_plugins.pretrain.objective import Batch
from s3prl_plugins.pretrain.pseudo_speakers import PseudoSpeakers, find_speakers
from s3prl_plugins.pretrain.speech import Crop, Frames, Utterance
from s3prl_plugins.pretrain.stretches import distorted_apart, two_stretches
from s3prl_plugins.pretrain.utterance_contrast import UtteranceContrast
from s3prl_plugins.upstream.learn2diss.encoder import UtteranceEncoder, UtteranceOutput

FRAMES = Frames()
DIM = 5


class Linear(nn.Module):
    """An embedding linear in the first samples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(400, DIM)
        self.heard: list[Tensor] = []

    def forward(self, waves: Tensor) -> UtteranceOutput:
        self.heard.append(waves.detach().clone())
        return UtteranceOutput((), self.linear(waves[:, :400]))


def batch(rows: int = 4, frames: int = 60, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    waves = 0.3 * torch.randn(rows, FRAMES.samples(frames), generator=random)
    return Batch(waves, [Crop(10 + row, 100 * row, frames) for row in range(rows)])


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_stretches_begin_where_frames_do_and_say_where() -> None:
    whole = batch(50)
    stretches = two_stretches(whole, 20, FRAMES, generator())
    assert stretches.waves.shape == (100, FRAMES.samples(20))
    for row, crop in enumerate(stretches.crops):
        source = whole.crops[row % 50]
        start = crop.first - source.first
        assert (crop.index, crop.frames) == (source.index, 20)
        assert 0 <= start <= 40
        wanted = whole.waves[row % 50, start * 320 : start * 320 + FRAMES.samples(20)]
        assert torch.equal(stretches.waves[row], wanted)
    starts = torch.tensor([crop.first for crop in stretches.crops]).view(2, 50)
    assert int((starts[0] - starts[1]).abs().min()) >= 20
    assert 10 < int((starts[0] < starts[1]).sum()) < 40


def test_a_crop_of_one_stretch_gives_it_twice() -> None:
    whole = batch(3, frames=20)
    stretches = two_stretches(whole, 20, FRAMES, generator())
    assert torch.equal(stretches.waves, whole.waves.repeat(2, 1))
    assert list(stretches.crops) == [*whole.crops, *whole.crops]


def test_halves_are_distorted_apart() -> None:
    heard: list[tuple[Tensor, float]] = []

    def note(waves: Tensor, random: torch.Generator) -> Tensor:
        heard.append((waves, float(torch.rand((), generator=random))))
        return waves + 1

    waves = torch.arange(12.0).view(6, 2)
    assert torch.equal(distorted_apart(waves, note, generator()), waves + 1)
    assert [part.tolist() for part, _ in heard] == [waves[:3].tolist(), waves[3:].tolist()]
    assert heard[0][1] != heard[1][1]
    assert distorted_apart(waves, None, generator()) is waves


def test_contrast_is_of_the_two_stretches() -> None:
    torch.manual_seed(0)
    encoder = Linear()
    objective = UtteranceContrast(encoder, 20, FRAMES, 0.2, lambda waves, random: waves.sign())
    losses = objective(batch(), generator())
    [heard] = encoder.heard
    assert set(heard.unique().tolist()) <= {-1.0, 0.0, 1.0}
    first, second = encoder.linear(heard[:, :400]).chunk(2)
    assert set(losses.terms) == {"contrast"}
    torch.testing.assert_close(losses.terms["contrast"], info_nce(first, second, 0.2))
    assert losses.shown == {"pair_acc": pair_accuracy(first, second)}


def test_pseudo_speakers_are_classified_beside_it() -> None:
    torch.manual_seed(0)
    speakers = PseudoSpeakers(np.arange(20) % 3, 3)
    encoder = Linear()
    objective = UtteranceContrast(encoder, 20, FRAMES, speakers=speakers, dim=DIM)
    losses = objective(batch(), generator())
    logits = objective.classify(encoder.linear(encoder.heard[0][:, :400]))
    labels = torch.tensor([10 % 3, 11 % 3, 12 % 3, 13 % 3] * 2)
    torch.testing.assert_close(losses.terms["speakers"], F.cross_entropy(logits, labels))
    assert losses.shown["speakers_acc"] == float((logits.argmax(1) == labels).float().mean())
    for term in losses.terms.values():
        [gradient] = torch.autograd.grad(term, [encoder.linear.weight], retain_graph=True)
        assert float(gradient.abs().max()) > 0


def test_the_objective_is_a_function_of_batch_and_generator() -> None:
    objective = UtteranceContrast(Linear(), 20, FRAMES)
    first, again, other = (objective(batch(), generator(seed)).terms["contrast"] for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_encoder_does_not_hear_loudness() -> None:
    """So the chain of distortions needs none."""
    torch.manual_seed(0)
    sizes = {"encoder_layers": 1, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 16, "encoder_attention_heads": 2}
    encoder = UtteranceEncoder(sizes).eval()
    waves = 0.3 * torch.randn(2, 8000)
    with torch.no_grad():
        loud, soft = encoder(waves).embedding, encoder(0.1 * waves).embedding
    torch.testing.assert_close(soft, loud, atol=0.02 * float(loud.std()), rtol=0)


@pytest.fixture
def sines(tmp_path: Path) -> list[Utterance]:
    """Three voices of 4 utterances each: sines of their own pitch."""
    utterances = []
    for number in range(12):
        time = np.arange(8000 + 100 * number) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (200 + 300 * (number % 3)) * time + number)
        soundfile.write(tmp_path / f"{number}.wav", wave, 16000)
        utterances.append(Utterance(tmp_path / f"{number}.wav", len(time)))
    return utterances


def spectrum(wave: Tensor) -> Tensor:
    """Louder with length: only directions tell the pitch."""
    assert len(wave) <= 8500
    return len(wave) * torch.fft.rfft(wave[:1600]).abs()[:100]


def test_speakers_are_clusters_of_directions(sines: list[Utterance], tmp_path: Path) -> None:
    chosen = [0, 1, 2, 3, 4, 5, 7]
    speakers = find_speakers(sines, chosen, spectrum, 3, 8500, seed=0, progress=False)
    voices = [frozenset(np.flatnonzero(speakers.labels == cluster).tolist()) for cluster in range(3)]
    assert set(voices) == {frozenset(range(voice, 12, 3)) for voice in range(3)}
    crops = [Crop(4, 3, 5), Crop(1, 0, 5)]
    assert speakers.crops(crops).tolist() == [speakers.labels[4], speakers.labels[1]]
    speakers.save(tmp_path / "speakers.npz")
    again = PseudoSpeakers.load(tmp_path / "speakers.npz")
    assert again.labels.tolist() == speakers.labels.tolist()
    assert again.clusters == 3
    same = find_speakers(sines, chosen, spectrum, 3, 8500, seed=0, progress=False)
    assert same.labels.tolist() == speakers.labels.tolist()


def test_more_speakers_than_utterances_are_refused(sines: list[Utterance]) -> None:
    with pytest.raises(ConfigError, match="pseudo-speakers must be at most the 2 utterances, found 3; ask for fewer"):
        find_speakers(sines, [0, 1], spectrum, 3, 8500, seed=0, progress=False)
