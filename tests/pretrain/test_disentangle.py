"""The joint objective of both encoders: on s3prl's networks at toy size, and on linear ones whose secrets are known."""

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from s3prl_plugins.pretrain.adversary import Adversary
from s3prl_plugins.pretrain.clusters import Targets
from s3prl_plugins.pretrain.contrast import info_nce
from s3prl_plugins.pretrain.disentangle import Disentangle, block_means
from s3prl_plugins.pretrain.distortions.draws import draw_seed
from s3prl_plugins.pretrain.masked_prediction import MaskedPrediction
from s3prl_plugins.pretrain.mutual_information import Club
from s3prl_plugins.pretrain.objective import Batch, Losses
from s3prl_plugins.pretrain.pseudo_speakers import PseudoSpeakers
from s3prl_plugins.pretrain.speech import Crop, Frames
from s3prl_plugins.pretrain.stretches import two_stretches
from s3prl_plugins.seeding import generator as derived
from s3prl_plugins.seeding import seeded
from s3prl_plugins.upstream.hubert.checkpoint import load_model, random_checkpoint
from s3prl_plugins.upstream.learn2diss.encoder import UtteranceEncoder, UtteranceOutput

FRAMES = Frames()
CLUSTERS, COUNT, STRETCH, BLOCK, DIM = 7, 60, 25, 10, 16
SMALL = {
    "conv_feature_layers": repr([(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2]),
    "encoder_layers": 1, "encoder_embed_dim": DIM, "encoder_ffn_embed_dim": 16, "encoder_attention_heads": 2,
    "final_dim": 8, "conv_pos": 8, "conv_pos_groups": 2,
}  # fmt: skip
TARGETS = Targets(
    np.random.default_rng(0).integers(0, CLUSTERS, 4 * COUNT).astype(np.int16), np.arange(5) * COUNT, CLUSTERS
)
SPEAKERS = PseudoSpeakers(np.array([2, 0, 1, 0]), 3)


def objective(**options: object) -> Disentangle:
    frame = MaskedPrediction(load_model(random_checkpoint("tiny", 0, CLUSTERS, SMALL)), TARGETS, 0.8, 10)
    with seeded(0):
        trunk = {name: value for name, value in SMALL.items() if name != "final_dim"}
        utterance, club = UtteranceEncoder(trunk), Club(DIM, DIM, hidden=8, inner_steps=2)
    return Disentangle(frame, utterance, club, DIM, STRETCH, FRAMES, BLOCK, **options)  # type: ignore[arg-type]


def batch() -> Batch:
    waves = 0.3 * torch.randn(4, FRAMES.samples(COUNT), generator=torch.Generator().manual_seed(0))
    return Batch(waves, [Crop(row, 0, COUNT) for row in range(4)])


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(model: Disentangle, seed: int = 7) -> Losses:
    with seeded(seed):
        losses: Losses = model(batch(), generator(seed))
    return losses


def gradients(model: nn.Module, value: Tensor) -> dict[str, Tensor]:
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    found = torch.autograd.grad(value, [p for _, p in named], allow_unused=True, retain_graph=True)
    return {name: gradient for (name, _), gradient in zip(named, found) if gradient is not None}


def inner(model: Disentangle, seed: int = 7) -> tuple[Tensor, Tensor]:
    """Embeddings and normalised block means that `run` computes in evaluation, (8, DIM) and (8, 2, DIM)."""
    base = draw_seed(generator(seed))
    stretches = two_stretches(batch(), STRETCH, FRAMES, derived(base, "stretches"))
    _, states = model.frame.predict(stretches, derived(base, "mask"))
    blocks = torch.stack([states[:, :10].mean(1), states[:, 10:20].mean(1)], 1)
    mean, variance = model.norm.running_mean, model.norm.running_var
    assert mean is not None
    assert variance is not None
    return model.utterance(stretches.waves).embedding, (blocks - mean) / (variance + model.norm.eps).sqrt()


def test_block_means_are_plain_means() -> None:
    states = torch.randn(2, 11, 3)
    expected = torch.stack([states[:, start : start + 4].mean(1) for start in (0, 4)], 1)
    torch.testing.assert_close(block_means(states, 4), expected)


def test_the_frame_encoder_learns_as_alone_where_information_has_no_weight() -> None:
    """Bit by bit, dropout included."""
    model = objective()
    losses = run(model)
    total = losses.terms["masked"] + losses.terms["unmasked"] + losses.terms["penalty"] + losses.terms["contrast"]
    with_other = gradients(model.frame, total + 0.0 * losses.terms["information"])
    base = draw_seed(generator())
    stretches = two_stretches(batch(), STRETCH, FRAMES, derived(base, "stretches"))
    with seeded(7):
        alone, _ = model.frame.predict(stretches, derived(base, "mask"))
    for name, term in alone.terms.items():
        assert torch.equal(term, losses.terms[name])
    expected = gradients(model.frame, torch.stack(list(alone.terms.values())).sum())
    for name, gradient in expected.items():
        torch.testing.assert_close(with_other[name], gradient, rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("shuffled", [False, True])
def test_information_is_of_pairs_and_its_negatives_of_other_utterances(shuffled: bool) -> None:
    model = objective(shuffled=shuffled)
    model.norm.momentum = model.utterance.norm.momentum = 1.0
    run(model)
    model.eval()
    with torch.no_grad():
        losses = run(model)
        embedding, blocks = inner(model)
    torch.testing.assert_close(losses.terms["contrast"], info_nce(*embedding.chunk(2), 0.1))
    expected = 0.0
    for half in range(2):
        for row in range(4):
            x = embedding[4 * half + (row - 1 if shuffled and row else 3 if shuffled else row)]
            mean, variance = model.club.mean(x), model.club.log_variance(x).exp()
            errors = [((y - mean) ** 2 / (2 * variance)).mean(0).sum() for y in blocks[4 * half : 4 * half + 4]]
            others = [errors[other] for other in range(4) if other != row]
            expected += float(sum(others) / 3 - errors[row]) / 8
    assert float(losses.terms["information"].detach()) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert losses.shown["mi"] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert abs(expected) > 1e-3


def test_sampled_negatives_are_right_on_average() -> None:
    model = objective(sampled=True)
    model.norm.momentum = model.utterance.norm.momentum = 1.0
    run(model)
    model.eval()
    with torch.no_grad():
        embedding, blocks = inner(model)
    drawn = [model._information(embedding, blocks, generator(seed))[1]["mi"] for seed in range(60)]
    model.sampled = False
    expected = model._information(embedding, blocks, generator())[1]["mi"]
    assert len(set(drawn)) > 1
    assert abs(float(np.mean(drawn)) - expected) < 4 * float(np.std(drawn)) / 60**0.5


def test_information_reaches_both_encoders_and_leaves_its_own_network() -> None:
    model = objective()
    before = {name: tensor.clone() for name, tensor in model.club.named_parameters()}
    run(model)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in model.club.named_parameters())
    losses = run(model)
    reached = gradients(model, losses.terms["information"])
    assert {name.partition(".")[0] for name in reached} == {"frame", "utterance"}
    for part in ("frame.hubert.encoder", "frame.hubert.feature_extractor", "utterance.projection", "utterance.trunk"):
        assert max(float(g.abs().max()) for name, g in reached.items() if name.startswith(part)) > 0, part


def test_a_batch_is_judged_before_it_is_learned() -> None:
    careful, eager = objective(), objective()
    for group in eager.club.optimizer.param_groups:
        group["lr"] = 1.0
    assert torch.equal(run(careful).terms["information"], run(eager).terms["information"])
    assert not torch.equal(run(careful).terms["information"], run(eager).terms["information"])


def test_validation_trains_nothing() -> None:
    model = objective(warmup=3).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    with torch.no_grad():
        first, again = run(model), run(model)
    assert first.shown == again.shown
    assert "q_likelihood" not in first.shown
    for name, tensor in before.items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_information_rises_over_the_first_passes() -> None:
    model = objective(warmup=4)
    shares = []
    for _ in range(6):
        losses = run(model)
        shares.append(float(losses.terms["information"].detach()) / losses.shown["mi"])
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0], rel=1e-4)
    held = objective(warmup=4)
    held.load_state_dict(model.state_dict())
    assert int(held.get_buffer("passes")) == 6
    assert {"mi", "q_likelihood", "q_baseline"} <= set(losses.shown)


class Spy(Adversary):
    """Notes what it is given."""

    def forward(self, values: Tensor, labels: Tensor, scale: float) -> tuple[Tensor, float]:
        self.given = values.shape, labels, scale
        return super().forward(values, labels, scale)


def test_adversaries_hear_the_right_states_and_labels() -> None:
    spies = {"speaker": Spy(DIM, 3), "phone": Spy(DIM, CLUSTERS)}
    reversal = {"speaker": 0.5, "phone": 2.0}
    model = objective(adversaries=spies, reversal=reversal, speakers=SPEAKERS, warmup=2)
    losses = run(model)
    assert {"speaker_adversary", "phone_adversary"} <= set(losses.terms)
    assert {"speaker_adversary_acc", "phone_adversary_acc"} <= set(losses.shown)
    shape, labels, scale = spies["speaker"].given
    assert (shape, scale) == ((8, 2, DIM), 0.25)
    assert labels.tolist() == [[2, 2], [0, 0], [1, 1], [0, 0]] * 2
    shape, labels, scale = spies["phone"].given
    assert (shape, scale) == ((8, STRETCH, DIM), 1.0)
    stretches = two_stretches(batch(), STRETCH, FRAMES, derived(draw_seed(generator()), "stretches"))
    for crop, row in zip(stretches.crops, labels):
        start = crop.index * COUNT + crop.first
        assert row.tolist() == TARGETS.labels[start : start + STRETCH].tolist()


@pytest.mark.parametrize(("name", "part"), [("speaker", "frame"), ("phone", "utterance")])
def test_adversaries_push_only_what_they_hear_and_the_other_way(name: str, part: str) -> None:
    with seeded(0):
        adversary = Adversary(DIM, 3 if name == "speaker" else CLUSTERS)
    pushed = {}
    for scale in (-1.0, 0.5):
        model = objective(adversaries={name: adversary}, reversal={name: scale}, speakers=SPEAKERS)
        pushed[scale] = gradients(model, run(model).terms[f"{name}_adversary"])
    assert {key.partition(".")[0] for key in pushed[0.5]} == {part, "adversaries"}
    for key, gradient in pushed[-1.0].items():
        factor = 1.0 if key.startswith("adversaries") else -0.5
        torch.testing.assert_close(pushed[0.5][key], factor * gradient, rtol=1e-4, atol=1e-6, msg=key)


def test_an_underfitting_network_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = objective()
    monkeypatch.setattr(Club, "underfit", property(lambda self: True))
    with pytest.warns(UserWarning, match="raise inner_steps before beta"):
        run(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(model)


def test_losses_are_float32_under_autocast() -> None:
    adversaries = {"speaker": Adversary(DIM, 3), "phone": Adversary(DIM, CLUSTERS)}
    model = objective(adversaries=adversaries, reversal={"speaker": 1.0, "phone": 1.0}, speakers=SPEAKERS)
    with torch.autocast("cpu", torch.bfloat16):
        terms = run(model).terms
    assert {name for name, term in terms.items() if term.dtype != torch.float32} == set()
    assert all(torch.isfinite(term) for term in terms.values())


class Mixed(nn.Module):
    """A frame encoder whose every state holds content and voice; its task asks for the content, and likes large states."""

    def __init__(self, content: Tensor, voice: Tensor) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)
        self.read = nn.Linear(8, 4)
        self.content, self.voice = content, voice

    def states(self, crops: list[Crop]) -> tuple[Tensor, Tensor]:
        rows = torch.tensor([crop.index for crop in crops])
        content = torch.stack([self.content[crop.index, crop.first : crop.first + crop.frames] for crop in crops])
        voice = self.voice[rows].unsqueeze(1).expand(-1, content.shape[1], -1)
        return self.mix(torch.cat([content, voice], -1)), content

    def predict(self, batch: Batch, random: torch.Generator) -> tuple[Losses, Tensor]:
        states, content = self.states(list(batch.crops))
        return Losses({"masked": (self.read(states) - content).square().mean()}), states


class Voice(nn.Module):
    """An utterance encoder that hears the voice in the first four samples."""

    def forward(self, waves: Tensor) -> UtteranceOutput:
        return UtteranceOutput((), waves[:, :4])


def leak(beta: float) -> tuple[float, float]:
    """Share of the states' variance that voices explain, and the task's loss, after training with this weight."""
    random = torch.Generator().manual_seed(0)
    content, voice = torch.randn(64, 40, 4, generator=random), torch.randn(64, 4, generator=random)
    with seeded(1):
        frame, club = Mixed(content, voice), Club(4, 8, hidden=32, lr=3e-3)
    model = Disentangle(frame, Voice(), club, 8, 20, FRAMES, 10)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    loss = torch.zeros(())
    for step in range(150):
        rows = torch.randperm(64, generator=random)[:16].tolist()
        waves = voice[rows].repeat(1, FRAMES.samples(40) // 4)[:, : FRAMES.samples(40)]
        losses = model(Batch(waves, [Crop(row, 0, 40) for row in rows]), generator(step))
        optimizer.zero_grad()
        loss = losses.terms["masked"]
        torch.autograd.backward(loss + beta * losses.terms["information"])
        optimizer.step()
    with torch.no_grad():
        states, _ = frame.states([Crop(row, 0, 40) for row in range(64)])
        means = states.mean(1)
        design = torch.cat([voice, torch.ones(64, 1)], 1)
        residual = means - design @ torch.linalg.lstsq(design, means).solution
    return float(1 - residual.var(0).sum() / means.var(0).sum()), float(loss.detach())


def test_information_drives_voices_out_of_frames_and_keeps_the_content() -> None:
    free, _ = leak(0.0)
    bound, loss = leak(0.05)
    assert free > 0.8
    assert bound < 0.3
    assert loss < 0.01
