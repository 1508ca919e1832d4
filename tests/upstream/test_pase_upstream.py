"""PASE as an upstream: checkpoints, released ones, through the hub, torch.hub and s3prl.nn, every utterance as if alone."""

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
from s3prl_plugins.upstream.pase.checkpoint import load_encoder, write_checkpoint
from s3prl_plugins.upstream.pase.encoder import ENCODERS, PaseEncoder
from s3prl_plugins.upstream.pase.hubconf import TINY, pase_multitask_local, pase_multitask_url


@pytest.fixture(scope="module")
def encoder() -> PaseEncoder:
    return shaken("tiny")


@pytest.fixture(scope="module")
def file(encoder: PaseEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pase") / "encoder.pt"
    write_checkpoint(path, encoder, {"seed": 3})
    return path


@pytest.fixture(scope="module")
def waves() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(samples, generator=draw) for samples in (7000, 16000, 11111, 16000, 400, 90)]


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def shaken(size: str) -> PaseEncoder:
    """Every weight moved a little, with the statistics of noise, in evaluation mode."""
    encoder, draw = PaseEncoder(ENCODERS[size], 3), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=draw) * 0.01)
        for module in encoder.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.momentum = 1.0
        encoder(torch.randn(2, 8000, generator=draw))
    return encoder.eval()


def released_layout(encoder: PaseEncoder) -> dict[str, Tensor]:
    """Weights under the names and shapes that the released code's `state_dict` has."""
    renamed = {}
    for name, tensor in encoder.state_dict().items():
        if name.endswith((".conv.low", ".conv.band")):
            name, tensor = f"{name}_hz_", tensor[:, None]
        elif name.startswith(("skips.", "projection.weight")):
            tensor = tensor[..., None]
        for here, there in (
            (".activation.", ".act."),
            ("skips.", "denseskips."),
            ("recurrence.", "rnn.layers.0."),
            ("projection.", "W."),
        ):
            name = name.replace(here, there)
        renamed["norm_out." + name.removeprefix("norm.") if name.startswith("norm.") else name] = tensor.clone()
    return renamed


def states(upstream: Any, waves: list[Tensor]) -> list[Tensor]:
    return list(upstream.eval()(waves)["hidden_states"])


def test_a_checkpoint_is_the_encoder(encoder: PaseEncoder, file: Path) -> None:
    loaded = load_encoder(file)
    assert loaded.config == encoder.config and not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), encoder.state_dict().values()))
    assert torch.load(file, weights_only=True)["metadata"] == {"seed": 3}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_half_is_small_enough_to_ship_and_changes_little(encoder: PaseEncoder, file: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "half.pt", encoder, {}, half=True)
    assert (tmp_path / "half.pt").stat().st_size < min(8e6, 0.52 * file.stat().st_size)
    loaded = load_encoder(tmp_path / "half.pt")
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.blocks[0].conv.low, encoder.blocks[0].conv.low)
    noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    for one, other in zip(loaded.states(noise), encoder.states(noise), strict=True):
        assert 0 < float((one - other).norm() / other.norm()) < 2e-3


def test_damaged_and_other_files_are_refused(encoder: PaseEncoder, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    with pytest.raises(CheckpointError, match="cannot be read .*; pass a checkpoint file of PASE"):
        load_encoder(path)
    path.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_encoder(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="must hold a mapping, found list"):
        load_encoder(path)
    torch.save({"model_cfg": {}}, path)
    with pytest.raises(CheckpointError, match="is no PASE checkpoint .KeyError: 'pase'.; pass one of"):
        load_encoder(path)
    content = torch.load(file, weights_only=True)
    torch.save({**content, "pase": {**content["pase"], "dim": 100}}, path)
    with pytest.raises(CheckpointError, match="is no PASE checkpoint .RuntimeError: .*size mismatch"):
        load_encoder(path)


@pytest.mark.parametrize("size", ["plus", "pase"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_released_layout_is_read(size: str, wrapped: bool, tmp_path: Path) -> None:
    """Written as old torch did; some of its files hold the step, too."""
    encoder, path = shaken(size), tmp_path / "FE_e199.ckpt"
    layout = released_layout(encoder)
    assert layout["W.weight"].shape == ((256, 512, 1) if size == "plus" else (100, 512, 1))
    torch.save({"step": 1, "state_dict": layout} if wrapped else layout, path, _use_new_zipfile_serialization=False)
    loaded = load_encoder(path)
    assert loaded.config == ENCODERS[size]
    noise = torch.randn(1, 4000, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(loaded.states(noise), encoder.states(noise), strict=True))


def test_a_released_layout_of_other_sizes_is_refused(tmp_path: Path) -> None:
    path, layout = tmp_path / "FE.ckpt", released_layout(PaseEncoder(ENCODERS["plus"]))
    del layout["denseskips.3.weight"]
    torch.save(layout, path)
    with pytest.raises(CheckpointError, match=r"skips.3.weight has shape None, but \(256, 128\) in ENCODERS\['plus'\]"):
        load_encoder(path)
    torch.save(released_layout(PaseEncoder(ENCODERS["tiny"])), path)
    with pytest.raises(CheckpointError, match="pass a released PASE or PASE"):
        load_encoder(path)


def test_every_utterance_gets_what_it_gets_alone(encoder: PaseEncoder, file: Path, waves: list[Tensor]) -> None:
    upstream = pase_multitask_local(file).eval()
    answer = upstream(waves)
    for layer, together in enumerate(answer["hidden_states"]):
        assert together.shape == (len(waves), 100, 256)
        for row, wave in enumerate(waves[:-1]):
            alone = encoder.states(wave[None])[layer][0]
            frames = len(alone)
            torch.testing.assert_close(together[row, :frames], alone, atol=1e-4, rtol=1e-4)
            assert torch.equal(together[row, frames:], together[row, frames - 1].expand(100 - frames, 256))
    assert len(answer["hidden_states"]) == 9
    assert torch.equal(answer["last_hidden_state"], answer["hidden_states"][-1])
    assert torch.equal(answer["hidden_state_3"], answer["hidden_states"][3])


def test_a_wave_too_short_for_a_frame_is_followed_by_silence(encoder: PaseEncoder, file: Path) -> None:
    wave = torch.ones(90)
    (found,) = states(pase_multitask_local(file), [wave])[-1:]
    torch.testing.assert_close(found[0], encoder(torch.cat([wave, torch.zeros(70)])[None])[0], atol=1e-4, rtol=1e-4)


def test_every_way_of_loading_gives_the_same_states(file: Path, waves: list[Tensor]) -> None:
    from s3prl import hub

    expected = states(pase_multitask_local(file), waves)
    for upstream in (
        hub.pase_multitask_local(ckpt=file, model_config=None, refresh=False),
        torch.hub.load(str(ROOT), "pase_multitask_local", source="local", ckpt=str(file)),
    ):
        assert upstream.get_downsample_rates("hidden_states") == 160
        assert all(torch.equal(a, b) for a, b in zip(states(upstream, waves), expected, strict=True))


def test_names_are_ours_alone() -> None:
    from s3prl import hub

    assert hub.pase_local.__module__ == "s3prl.upstream.pase.hubconf"
    assert {"pase_multitask_local", "pase_multitask_url"} <= UPSTREAMS.keys()
    assert ("pase_multitask_tiny" in UPSTREAMS) == TINY.is_file()


def test_s3prls_wrapper_and_featurizer_take_it(file: Path, waves: list[Tensor]) -> None:
    from s3prl.nn import Featurizer, S3PRLUpstream

    upstream = S3PRLUpstream("pase_multitask_local", path_or_url=str(file)).eval()
    assert upstream.num_layers == 9 and set(upstream.hidden_sizes) == {256} and set(upstream.downsample_rates) == {160}
    lengths = torch.tensor([len(wave) for wave in waves])
    together, counts = upstream(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
    for row, wave in enumerate(waves[:4]):  # s3prl pads a lone wave below 0.05 s
        alone, alone_counts = upstream(wave[None], lengths[row : row + 1])
        for joint, single, count, single_count in zip(together, alone, counts, alone_counts):
            assert count[row] == single_count[0]
            torch.testing.assert_close(joint[row, : count[row]], single[0], atol=1e-4, rtol=1e-4)
    mixed, _ = Featurizer(upstream)(together, counts)
    torch.testing.assert_close(mixed, torch.stack(together).mean(0))


def test_the_stock_featurizer_takes_it(file: Path, waves: list[Tensor]) -> None:
    from s3prl.upstream.interfaces import Featurizer

    upstream = pase_multitask_local(file).eval()
    features = Featurizer(upstream, "hidden_states", "cpu")(waves[:3], upstream(waves[:3]))
    assert [tuple(feature.shape) for feature in features] == [(44, 256), (100, 256), (69, 256)]


def test_finetuning_moves_every_weight_but_no_statistic(file: Path, waves: list[Tensor]) -> None:
    upstream = pase_multitask_local(file)
    alone = states(upstream, waves[:1])
    before = {name: buffer.clone() for name, buffer in upstream.named_buffers()}
    together = upstream.train()(waves)["hidden_states"]
    assert upstream.training and upstream.model.training
    for joint, single in zip(together, alone):
        torch.testing.assert_close(joint[0, : single.shape[1]], single[0], atol=1e-4, rtol=1e-4)
    with torch.enable_grad():
        sum(state.square().mean() for state in upstream(waves)["hidden_states"]).backward()
    assert [name for name, parameter in upstream.named_parameters() if not parameter.grad.abs().sum() > 0] == []
    assert all(torch.equal(buffer, before[name]) for name, buffer in upstream.named_buffers())


def test_a_url_is_downloaded_once(file: Path, waves: list[Tensor], tmp_path: Path) -> None:
    from s3prl.util import download

    before = download.get_dir()
    download.set_dir(tmp_path / "cache")
    try:
        source = tmp_path / "pase.pt"
        source.write_bytes(file.read_bytes())
        first = pase_multitask_url(ckpt=source.as_uri())
        source.unlink()
        second = pase_multitask_url(ckpt=source.as_uri(), model_config=None, refresh=False)
    finally:
        download.set_dir(before)
    assert all(torch.equal(a, b) for a, b in zip(states(first, waves[:1]), states(second, waves[:1])))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="pase_multitask_local needs a checkpoint file, found 'None'; pass one"):
        pase_multitask_local(ckpt=None)
    with pytest.raises(CheckpointError, match="needs the address of a checkpoint, found none"):
        pase_multitask_url(ckpt=None)


def test_the_stock_command_trains_keyword_spotting_on_it(
    encoder: PaseEncoder, file: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    saved = finetune_keyword_spotting("pase_multitask_local", file, tiny_corpus, tmp_path)
    weights = {name.removeprefix("model."): tensor for name, tensor in saved.items()}
    moved = {name for name, parameter in encoder.named_parameters() if not torch.equal(weights[name], parameter)}
    assert {"blocks.1.conv.weight", "blocks.7.conv.weight", "projection.weight", "skips.0.weight"} <= moved
