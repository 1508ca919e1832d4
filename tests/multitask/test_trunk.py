"""The encoder in both padding modes, and the weighted sum, against s3prl's own featurizer."""

from pathlib import Path

import pytest
import torch
from fakes_multitask import Frames

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.multitask.layermix import LayerMix
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    from s3prl import hub

    path: Path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return hub.hubert_local(ckpt=str(path)).eval()


def waves(*samples: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, generator=generator) for count in samples]


@pytest.mark.parametrize("normalize", [False, True])
def test_batch_padding_and_layer_mix_equal_s3prl(hubert: torch.nn.Module, normalize: bool) -> None:
    from s3prl.upstream.interfaces import Featurizer

    stock = Featurizer(hubert, upstream_device="cpu", normalize=normalize)
    trunk = Trunk(hubert, "batch")
    mix = LayerMix(*trunk.describe()[:1], normalize=normalize)
    assert trunk.describe() == (stock.layer_num, stock.output_dim) == (5, 256)
    weights = torch.randn(5, generator=torch.Generator().manual_seed(0))
    stock.load_state_dict({"weights": weights})
    mix.load_state_dict({"weights": weights})
    batch = waves(16000, 9000, 12345)
    with torch.no_grad():
        expected = stock(batch, hubert(batch))
        got = mix(trunk(batch))
    assert [f.shape for f in got] == [f.shape for f in expected]
    for ours, theirs in zip(got, expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_unpadded_states_are_those_of_each_utterance_alone(hubert: torch.nn.Module) -> None:
    batch = waves(16000, 9000, 16000, 4000)
    trunk, mix = Trunk(hubert, "none"), LayerMix(5)
    with torch.no_grad():
        together = mix(trunk(batch))
        padded = mix(Trunk(hubert, "batch")(batch))
        for wave, feature in zip(batch, together):
            alone = torch.stack(list(hubert([wave])["hidden_states"])).mean(0)[0]
            torch.testing.assert_close(feature, alone, rtol=1e-4, atol=1e-5)
    assert [len(f) for f in together] == [49, 27, 49, 12]
    assert [len(f) for f in padded] == [49, 28, 49, 12]
    assert (padded[3] - together[3]).abs().max() > 1e-2, "padding changes HuBERT's states; the two modes must differ"


@pytest.fixture(params=[False, True], ids=["post-LN", "pre-LN"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> torch.nn.Module:
    """HuBERT in training mode without dropout."""
    from s3prl import hub

    dropouts = ("dropout", "attention_dropout", "activation_dropout", "dropout_input", "dropout_features")
    changes = {"layer_norm_first": request.param, **dict.fromkeys(dropouts, 0.0)}
    content = random_checkpoint("tiny", 0, changes=changes)
    content["task_cfg"]["normalize"] = request.param
    write_checkpoint(tmp_path / "tiny.pt", content)
    upstream: torch.nn.Module = hub.hubert_local(ckpt=str(tmp_path / "tiny.pt")).train()
    return upstream


def test_packed_states_and_gradients_are_those_of_each_utterance_alone(trained: torch.nn.Module) -> None:
    batch = waves(16000, 9000, 12345, 9000, 4000)
    trunk = Trunk(trained, "none", conv_grad_mult=0.1).train()

    def gradients(parts: list[list[torch.Tensor]]) -> list[torch.Tensor | None]:
        trained.zero_grad()
        mix, mixed = LayerMix(5), []
        for part in parts:
            mixed += mix(trunk(part))
        torch.cat([feature.sum(-1).square() for feature in mixed]).mean().backward()
        features.append(mixed)
        return [None if p.grad is None else p.grad.clone() for p in trained.parameters()]

    features: list[list[torch.Tensor]] = []
    assert [group.packed for group in trunk(batch)] == [True]
    together = gradients([batch])
    trunk._can_pack = False
    alone = gradients([[wave] for wave in batch])
    for ours, theirs in zip(*features, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert sum(gradient is not None for gradient in together) > 40
    for mine, other in zip(together, alone):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_one_layer_can_be_packed_alone(trained: torch.nn.Module) -> None:
    batch = waves(16000, 9000)
    every, one = Trunk(trained, "none").train()(batch)[0], Trunk(trained, "none", layer=-2).train()(batch)[0]
    assert torch.equal(one.layers[0], every.layers[-2]) and len(one.layers) == 1
    assert Trunk(trained, "none").describe() == (5, 256)


def test_only_training_without_padding_packs_and_only_hubert(hubert: torch.nn.Module) -> None:
    batch = waves(16000, 9000)
    for trunk in (Trunk(hubert, "batch").train(), Trunk(hubert, "none").eval(), Trunk(Frames(), "none").train()):
        assert not any(group.packed for group in trunk(batch))
    hubert.eval()


def test_an_utterance_too_short_for_the_row_is_named(trained: torch.nn.Module) -> None:
    with pytest.raises(CorpusError, match=r"utterance b: 300 samples are shorter than one frame"):
        Trunk(trained, "none").train()(waves(16000, 300), ["a", "b"])


def test_bfloat16_rounds_in_training_only_and_gives_float32(trained: torch.nn.Module) -> None:
    batch = waves(16000, 9000)
    exact, rounded = Trunk(trained, "none"), Trunk(trained, "none", precision="bfloat16")
    ours, theirs = rounded.train()(batch)[0], exact.train()(batch)[0]
    for one, other in zip(ours.layers, theirs.layers):
        assert one.dtype == torch.float32
        assert 1e-4 < float(((one - other).norm() / other.norm()).detach()) < 2e-2
    ours.layers[-1].square().mean().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in trained.parameters())
    with torch.no_grad():
        for one, other in zip(rounded.eval()(batch), exact.eval()(batch)):
            assert all(torch.equal(a, b) for a, b in zip(one.layers, other.layers))


def test_the_front_end_learns_only_if_asked(hubert: torch.nn.Module) -> None:
    for multiplier, learns in ((0.0, False), (1.0, True)):
        trunk = Trunk(hubert, "none", conv_grad_mult=multiplier)
        hubert.zero_grad()
        LayerMix(5)(trunk(waves(8000)))[0].square().mean().backward()
        gradients = [p.grad for p in hubert.model.feature_extractor.parameters()]
        assert all((g is not None and bool(g.abs().sum() > 0)) == learns for g in gradients)
    with pytest.raises(ConfigError, match=r"conv_grad_mult is 0\.1, but .* has no convolutional front-end"):
        Trunk(Frames(), conv_grad_mult=0.1)


def test_layer_drop_is_switched_off() -> None:
    frames = Frames()
    Trunk(frames)
    assert frames.layerdrop == 0.0


def test_views_and_layers_are_chosen_as_by_s3prl() -> None:
    frames, batch = Frames(), waves(1600)
    states = frames(batch)["hidden_states"]
    top = LayerMix(1)(Trunk(frames, selection="top")(batch))[0]
    assert torch.equal(top, states[1][0])
    assert torch.equal(LayerMix(1)(Trunk(frames, layer=0)(batch))[0], states[0][0])
    with pytest.raises(ConfigError, match="no view 'botom'"):
        Trunk(frames, selection="botom")(batch)
    with pytest.raises(ConfigError, match=r"layer 7 \(-l\) does not exist; the upstream has 2"):
        Trunk(frames, layer=7)(batch)


@pytest.mark.parametrize("padding", ["batch", "none"])
def test_too_short_an_utterance_is_named(hubert: torch.nn.Module, padding: str) -> None:
    with pytest.raises(CorpusError, match=r"utterance b: 150 samples are shorter than one frame"):
        Trunk(hubert, padding)(waves(8000, 150), ["a", "b"])  # type: ignore[arg-type]
