"""MGF as an upstream: checkpoints; through the hub, torch.hub, s3prl.nn and the stock command; every utterance as if alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from upstream_cases import ROOT, finetune_keyword_spotting

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.plugin import UPSTREAMS
from s3prl_plugins.upstream.mgf.checkpoint import load_encoder, write_checkpoint
from s3prl_plugins.upstream.mgf.encoder import ENCODERS, MgfEncoder
from s3prl_plugins.upstream.mgf.hubconf import TINY, mgf_local, mgf_tiny, mgf_url


@pytest.fixture(scope="module")
def encoder() -> MgfEncoder:
    """With the statistics of noise, in evaluation mode."""
    encoder = MgfEncoder(ENCODERS["tiny"], 3)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
    with torch.no_grad():
        encoder.local(torch.randn(4, 8000, generator=torch.Generator().manual_seed(3)))
    return encoder.eval()


@pytest.fixture(scope="module")
def file(encoder: MgfEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mgf") / "mgf.pt"
    write_checkpoint(path, encoder, {"seed": 3, "scales": ("sample", "frame")})
    return path


@pytest.fixture(scope="module")
def waves() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(samples, generator=draw) for samples in (7000, 16000, 11111, 16000, 400, 90)]


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def states(upstream: Any, waves: list[Tensor]) -> list[Tensor]:
    return list(upstream.eval()(waves)["hidden_states"])


def test_a_checkpoint_is_the_encoder(encoder: MgfEncoder, file: Path) -> None:
    before = torch.random.get_rng_state()
    loaded = load_encoder(file)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert loaded.config == encoder.config and not loaded.training
    held = encoder.state_dict()
    assert loaded.state_dict().keys() == held.keys()
    assert all(torch.equal(tensor, held[name]) for name, tensor in loaded.state_dict().items())
    assert torch.load(file, weights_only=True)["metadata"] == {"seed": 3, "scales": ["sample", "frame"]}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_half_is_small_enough_to_ship_and_changes_little(encoder: MgfEncoder, file: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "half.pt", encoder, {}, half=True)
    assert (tmp_path / "half.pt").stat().st_size < min(12e6, 0.52 * file.stat().st_size)
    loaded = load_encoder(tmp_path / "half.pt")
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.convolutions.blocks[0].conv.low, encoder.convolutions.blocks[0].conv.low)
    noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    (h, states), (other_h, others) = loaded(noise), encoder(noise)
    for one, other in zip((h, *states), (other_h, *others), strict=True):
        assert 0 < float((one - other).norm() / other.norm()) < 2e-3


def test_damaged_and_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    with pytest.raises(CheckpointError, match="cannot be read .*; pass a checkpoint file of MGF"):
        load_encoder(path)
    path.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_encoder(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="is no MGF checkpoint .TypeError"):
        load_encoder(path)
    torch.save({"pase": {}}, path)
    with pytest.raises(CheckpointError, match="is no MGF checkpoint .KeyError: 'mgf'.; pass one of"):
        load_encoder(path)
    content = torch.load(file, weights_only=True)
    torch.save({**content, "mgf": {**content["mgf"], "layers": 3}}, path)
    with pytest.raises(CheckpointError, match="is no MGF checkpoint .RuntimeError: .*Unexpected key"):
        load_encoder(path)


def test_every_utterance_gets_what_it_gets_alone(encoder: MgfEncoder, file: Path, waves: list[Tensor]) -> None:
    upstream = mgf_local(file).eval()
    answer = upstream(waves)
    assert len(answer["hidden_states"]) == 5
    for row, wave in enumerate(waves[:-1]):
        local, contexts = encoder(wave[None])
        frames = local.shape[1]
        for alone, together in zip((local, *contexts), answer["hidden_states"], strict=True):
            assert together.shape == (len(waves), 50, 256)
            torch.testing.assert_close(together[row, :frames], alone[0], atol=1e-4, rtol=1e-4)
            assert torch.equal(together[row, frames:], together[row, frames - 1].expand(50 - frames, 256))
    assert torch.equal(answer["last_hidden_state"], answer["hidden_states"][-1])
    assert torch.equal(answer["hidden_state_3"], answer["hidden_states"][3])


def test_a_wave_too_short_for_a_frame_is_followed_by_silence(encoder: MgfEncoder, file: Path) -> None:
    wave = torch.ones(90)
    found = states(mgf_local(file), [wave])[-1]
    torch.testing.assert_close(found, encoder(torch.cat([wave, torch.zeros(230)])[None]).states[-1])


def test_every_way_of_loading_gives_the_same_states(file: Path, waves: list[Tensor]) -> None:
    from s3prl import hub

    expected = states(mgf_local(file), waves[:1])
    for upstream in (
        hub.mgf_local(ckpt=file, model_config=None, refresh=False),
        torch.hub.load(str(ROOT), "mgf_local", source="local", ckpt=str(file)),
    ):
        assert upstream.get_downsample_rates("hidden_states") == 320
        assert all(torch.equal(a, b) for a, b in zip(states(upstream, waves[:1]), expected, strict=True))


def test_names_are_ours() -> None:
    assert {"mgf_local", "mgf_url"} <= UPSTREAMS.keys()
    assert ("mgf_tiny" in UPSTREAMS) == TINY.is_file()


def test_s3prls_wrapper_and_featurizers_take_it(file: Path, waves: list[Tensor]) -> None:
    from s3prl.nn import Featurizer, S3PRLUpstream
    from s3prl.upstream.interfaces import Featurizer as Stock

    upstream = S3PRLUpstream("mgf_local", path_or_url=str(file)).eval()
    assert upstream.num_layers == 5 and set(upstream.hidden_sizes) == {256} and set(upstream.downsample_rates) == {320}
    lengths = torch.tensor([len(wave) for wave in waves])
    together, counts = upstream(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
    alone, alone_counts = upstream(waves[0][None], lengths[:1])
    for joint, single in zip(together, alone):
        torch.testing.assert_close(joint[0, : alone_counts[0][0]], single[0], atol=1e-4, rtol=1e-4)
    mixed, _ = Featurizer(upstream)(together, counts)
    torch.testing.assert_close(mixed, torch.stack(together).mean(0))
    plain = mgf_local(file).eval()
    features = Stock(plain, "hidden_states", "cpu")(waves[:3], plain(waves[:3]))
    assert [tuple(feature.shape) for feature in features] == [(22, 256), (50, 256), (35, 256)]


def test_finetuning_moves_every_weight_but_no_statistic(file: Path, waves: list[Tensor]) -> None:
    upstream = mgf_local(file).train()
    assert upstream.model.transformer.training
    before = {name: buffer.clone() for name, buffer in upstream.named_buffers()}
    with torch.enable_grad():
        sum(state.square().mean() for state in upstream(waves[:2])["hidden_states"]).backward()
    still = [
        name for name, value in upstream.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0
    ]
    assert still == ["model.mask"]
    assert all(torch.equal(buffer, before[name]) for name, buffer in upstream.named_buffers())


def test_a_url_is_downloaded_once(file: Path, waves: list[Tensor], tmp_path: Path) -> None:
    from s3prl.util import download

    before = download.get_dir()
    download.set_dir(tmp_path / "cache")
    try:
        source = tmp_path / "mgf.pt"
        source.write_bytes(file.read_bytes())
        first = mgf_url(ckpt=source.as_uri())
        source.unlink()
        second = mgf_url(ckpt=source.as_uri(), model_config=None, refresh=False)
    finally:
        download.set_dir(before)
    assert all(torch.equal(a, b) for a, b in zip(states(first, waves[:1]), states(second, waves[:1])))


def test_missing_files_are_named() -> None:
    with pytest.raises(CheckpointError, match="mgf_local needs a checkpoint file, found 'None'; pass one"):
        mgf_local(ckpt=None)
    with pytest.raises(CheckpointError, match="mgf_url needs the address of a checkpoint, found none"):
        mgf_url(ckpt=None)
    if not TINY.is_file():
        with pytest.raises(CheckpointError, match="cannot be read"):
            mgf_tiny(ckpt=None, model_config=None, refresh=False)


def test_the_stock_command_trains_keyword_spotting_on_it(
    encoder: MgfEncoder, file: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    saved = finetune_keyword_spotting("mgf_local", file, tiny_corpus, tmp_path)
    weights = {name.removeprefix("model."): tensor for name, tensor in saved.items()}
    moved = {name for name, parameter in encoder.named_parameters() if not torch.equal(weights[name], parameter)}
    assert {"convolutions.blocks.1.conv.weight", "transformer.layers.3.fc1.weight"} <= moved
    assert all(torch.equal(weights[name], buffer) for name, buffer in encoder.named_buffers() if name in weights)
