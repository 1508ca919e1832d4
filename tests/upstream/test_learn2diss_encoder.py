"""Learn2Diss's utterance encoder: hidden states as s3prl's, pooling as its equations, statistics, determinism."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.upstream.hubert import checkpoint as hubert
from s3prl_plugins.upstream.learn2diss.encoder import (
    SIZES,
    AttentiveStatistics,
    UtteranceEncoder,
    build_utterance,
    hidden_states,
    random_utterance,
)

SMALL = {
    "conv_feature_layers": "[(16, 10, 5), (16, 8, 8), (16, 8, 8)]",
    "encoder_layers": 2,
    "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 48,
    "encoder_attention_heads": 2,
    "conv_pos": 8,
    "conv_pos_groups": 4,
}


def noise(batch: int, samples: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))


def small(seed: int = 0, **changes: object) -> UtteranceEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UtteranceEncoder({**SMALL, **changes})


def pooling(dim: int, seed: int = 0) -> AttentiveStatistics:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AttentiveStatistics(dim, hidden=7)


def test_sizes_fit_the_frame_encoders() -> None:
    """Widths, and at tiny size frames, are those of upstream/hubert, so that states can be stacked."""
    counts = {}
    for size, layers, dim in (("tiny", 4, 256), ("base", 7, 768)):
        with torch.device("meta"):
            encoder = UtteranceEncoder(SIZES[size])
        assert (encoder.dim, encoder.layers) == (dim, layers)
        assert hubert.SIZES[size]["encoder_embed_dim"] == dim
        counts[size] = sum(parameter.numel() for parameter in encoder.parameters())
    assert counts == {"tiny": 3093312, "base": 53121920}
    frame = hubert.load_model(hubert.random_checkpoint("tiny", 0)).eval()
    for samples in (400, 719, 720, 8000):
        with torch.no_grad():
            states, embedding = random_utterance("tiny", 0).eval()(noise(2, samples))
            wanted = hidden_states(frame, noise(2, samples))
        assert {state.shape for state in states} == {state.shape for state in wanted}
        assert embedding.shape == (2, 256)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_states_are_those_that_s3prl_hooks_out_of_hubert(pre_norm: bool, tmp_path: Path) -> None:
    """Of a HuBERT of its own, and of the utterance encoder with that HuBERT's weights; even and odd numbers of frames."""
    from s3prl import hub

    changes = {**SMALL, "layer_norm_first": pre_norm}
    content = hubert.random_checkpoint("tiny", 0, changes=changes)
    hubert.write_checkpoint(tmp_path / "hubert.pt", content)
    stock, network = hub.hubert_local(ckpt=str(tmp_path / "hubert.pt")).eval(), hubert.load_model(content).eval()
    encoder = small(layer_norm_first=pre_norm).eval()
    unknown = encoder.trunk.load_state_dict(content["model_weight"], strict=False)
    assert unknown.missing_keys == []
    assert {name.split(".")[0] for name in unknown.unexpected_keys} == {"mask_emb", "label_embs_concat"}
    for samples in (400, 6700, 7000):
        waves = noise(2, samples)
        with torch.no_grad():
            wanted = stock(list(waves))["hidden_states"]
            for found in (hidden_states(network, waves), encoder(waves).states):
                assert len(found) == 3
                for one, other in zip(found, wanted, strict=True):
                    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert {hidden_states(network, noise(1, n))[0].shape[1] % 2 for n in (6700, 7000)} == {0, 1}


def test_layer_drop_is_off_and_draws_nothing() -> None:
    encoder = small(encoder_layerdrop=0.9).train()
    before = np.random.get_state()[2]
    assert len(encoder(noise(2, 4000)).states) == encoder.layers == 3
    assert np.random.get_state()[2] == before


def test_pooling_is_the_papers_sums() -> None:
    layer, frames = pooling(5), torch.randn(3, 11, 5, generator=torch.Generator().manual_seed(1))
    weight, bias, vector = (parameter.detach().double().numpy() for parameter in layer.parameters())
    found = layer(frames).detach().numpy()
    for row, h in enumerate(frames.double().numpy()):
        scores = np.array([vector[0] @ np.tanh(weight @ h[t] + bias) for t in range(11)])
        alpha = np.exp(scores) / np.exp(scores).sum()
        mean = sum(alpha[t] * h[t] for t in range(11))
        second = sum(alpha[t] * h[t] * h[t] for t in range(11))
        np.testing.assert_allclose(found[row], np.concatenate([mean, np.sqrt(second - mean * mean)]), atol=1e-5)


def test_equal_scores_give_plain_mean_and_deviation() -> None:
    layer, frames = pooling(6), noise(4, 54).view(4, 9, 6)
    nn.init.zeros_(layer.score[2].weight)
    torch.testing.assert_close(layer(frames), torch.cat([frames.mean(1), frames.std(1, correction=0)], 1))


def test_pooling_knows_no_order_and_survives_frames_that_do_not_vary() -> None:
    layer, frames = pooling(6), noise(2, 60).view(2, 10, 6)
    torch.testing.assert_close(layer(frames.flip(1)), layer(frames))
    still = torch.full((2, 4, 6), 3.0, requires_grad=True)
    pooled = layer(still)
    torch.testing.assert_close(pooled, torch.tensor([3.0] * 6 + [1e-3] * 6).expand(2, 12))
    pooled.sum().backward()
    assert torch.isfinite(still.grad).all()
    torch.testing.assert_close(layer(1e4 + frames)[:, 6:], layer(1e4 + frames.flip(1))[:, 6:], atol=0.01, rtol=0.01)


def test_embeddings_of_a_batch_are_standard_in_training_and_their_own_in_evaluation() -> None:
    encoder, waves = small(), noise(6, 4000)
    embedding = encoder(waves).embedding.detach()
    assert embedding.shape == (6, 24) and embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.mean(0), torch.zeros(24), atol=1e-5, rtol=0)
    torch.testing.assert_close(embedding.var(0, correction=0), torch.ones(24), atol=0.01, rtol=0)
    encoder.eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder(waves[2:3]).embedding, encoder(waves).embedding[2:3], atol=1e-5, rtol=1e-5)


def test_the_embedding_tells_voices_apart_once_it_is_trained() -> None:
    """Six pitches; crops of one pitch become nearer to each other than to any other."""
    encoder = small(dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, dropout_input=0.0)
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)
    time = torch.arange(4000) / 16000
    pitches = torch.tensor([120.0, 170.0, 240.0, 340.0, 480.0, 680.0])

    def crops(seed: int) -> Tensor:
        phase = 6.28 * torch.rand(6, 1, generator=torch.Generator().manual_seed(seed))
        waves = sum(torch.sin(6.2832 * n * pitches[:, None] * time + n * phase) / n for n in range(1, 6))
        return waves + 0.1 * noise(6, 4000, seed)

    for step in range(30):
        both = encoder(torch.cat([crops(2 * step), crops(2 * step + 1)])).embedding
        one, other = nn.functional.normalize(both, dim=1).chunk(2)
        loss = nn.functional.cross_entropy(one @ other.T / 0.1, torch.arange(6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.eval()
    with torch.no_grad():
        one, other = (nn.functional.normalize(encoder(crops(seed)).embedding, dim=1) for seed in (1000, 1001))
    assert torch.equal((one @ other.T).argmax(1), torch.arange(6))


@pytest.mark.parametrize("pre_norm", [True, False])
def test_every_parameter_is_trained(pre_norm: bool) -> None:
    encoder = small(layer_norm_first=pre_norm)
    states, embedding = encoder(noise(3, 4000))
    (embedding.cos().sum() + sum(state.cos().mean() for state in states)).backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_weights_are_a_function_of_the_seed_alone() -> None:
    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[2]
    one, other, third = (random_utterance("tiny", seed) for seed in (1, 1, 2))
    copy = build_utterance(one.content())
    assert torch.equal(torch.random.get_rng_state(), state) and np.random.get_state()[2] == numpy_state
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), copy.state_dict().values(), strict=True))
    assert copy.config == one.config and not torch.equal(one.projection.weight, third.projection.weight)


def test_content_is_a_copy_with_the_statistics() -> None:
    encoder = small()
    encoder(noise(4, 3000))
    content = encoder.content()
    assert torch.equal(content["weights"]["norm.running_mean"], encoder.norm.running_mean)
    encoder(noise(4, 3000, seed=1))
    assert not torch.equal(content["weights"]["norm.running_mean"], encoder.norm.running_mean)
    halved = {name: value.half() if value.ndim > 1 else value for name, value in content["weights"].items()}
    assert {p.dtype for p in build_utterance({**content, "weights": halved}).parameters()} == {torch.float32}


def test_bfloat16_autocast_gives_nearly_the_same_embedding() -> None:
    encoder, waves = small(), noise(8, 6000)
    encoder(waves)
    encoder.eval()
    with torch.no_grad():
        full = encoder(waves).embedding
        with torch.autocast("cpu", torch.bfloat16):
            half = encoder(waves).embedding
    assert half.dtype == torch.float32
    assert float((full - half).norm() / full.norm()) < 0.05


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown size 'tinny' of the utterance encoder; did you mean 'tiny'"):
        random_utterance("tinny", 0)
    with pytest.raises(ConfigError, match="unknown key encoder_layer of the utterance encoder; did you mean 'enc"):
        small(encoder_layer=3)
    for evil in ("__import__('os').getpid()", "[(16, 10, 5)] * 99999", 3):
        with pytest.raises(
            ConfigError, match="conv_feature_layers must be a plain list of tuples, found .*; write it out"
        ):
            small(conv_feature_layers=evil)
