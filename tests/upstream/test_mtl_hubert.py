"""The exported encoder as an upstream: through the hub, torch.hub, S3PRLUpstream and the stock command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from upstream_cases import ROOT, finetune_keyword_spotting

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint
from s3prl_plugins.upstream.mtl_hubert.hubconf import TINY, mtl_hubert_local, mtl_hubert_url


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Padding mode -> the same tiny HuBERT with the plain list of convolutions that an export has."""
    folder = tmp_path_factory.mktemp("mtl")
    content = random_checkpoint("tiny", 0)
    content["model_cfg"]["conv_feature_layers"] = repr([(128, 10, 5), *[(128, 3, 2)] * 4, *[(128, 2, 2)] * 2])
    for padding in ("batch", "none"):
        write_checkpoint(folder / f"{padding}.pt", {**content, "mtl": {"padding": padding}})
    write_checkpoint(folder / "plain.pt", content)
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def waves() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(samples, generator=draw) for samples in (7000, 16000, 11111, 16000, 400)]


@pytest.fixture(autouse=True)
def without_gradients() -> Any:
    with torch.no_grad():
        yield


def states(upstream: Any, waves: list[torch.Tensor]) -> list[torch.Tensor]:
    return list(upstream.eval()(waves)["hidden_states"])


def test_batch_is_bit_equal_to_hubert_local(files: dict[str, Path], waves: list[torch.Tensor]) -> None:
    from s3prl import hub

    ours, stock = hub.mtl_hubert_local(ckpt=files["batch"]).eval(), hub.hubert_local(ckpt=str(files["batch"])).eval()
    mine, theirs = ours(waves), stock(waves)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(a, b) for a, b in zip(mine["hidden_states"], theirs["hidden_states"], strict=True))


def test_the_shipped_encoder_is_small_finetuned_and_loads_by_every_way(waves: list[torch.Tensor]) -> None:
    from s3prl import hub

    content = torch.load(TINY, weights_only=True)
    assert TINY.stat().st_size <= 12e6
    assert {tensor.dtype for tensor in content["model_weight"].values()} == {torch.float16}
    assert content["mtl"]["padding"] == "none" and sorted(content["mtl"]["tasks"]) == sorted(FINETUNED_TASKS)
    shipped, before = hub.mtl_hubert_tiny(), hub.hubert_tiny()
    expected = states(mtl_hubert_local(TINY), waves)
    for upstream in (shipped, torch.hub.load(str(ROOT), "mtl_hubert_tiny", source="local")):
        assert all(torch.equal(a, b) for a, b in zip(states(upstream, waves), expected, strict=True))
    moved = dict(before.model.named_parameters())
    assert all(
        not torch.equal(value, moved[name]) for name, value in shipped.model.named_parameters() if "layers" in name
    )


def test_none_gives_every_utterance_what_it_gets_alone(files: dict[str, Path], waves: list[torch.Tensor]) -> None:
    upstream, stock = mtl_hubert_local(files["none"]).eval(), mtl_hubert_local(files["batch"]).eval()
    together, differences = upstream(waves), []
    for row, wave in enumerate(waves):
        for joint, alone in zip(together["hidden_states"], states(stock, [wave]), strict=True):
            frames = alone.shape[1]
            torch.testing.assert_close(joint[row, :frames], alone[0], atol=1e-5, rtol=1e-4)
            assert torch.equal(joint[row, frames:], joint[row, frames - 1].expand_as(joint[row, frames:]))
    for joint, padded in zip(together["hidden_states"], states(stock, waves), strict=True):
        assert joint.shape == padded.shape
        differences.append(float((joint[0, :21] - padded[0, :21]).abs().max()))
    assert min(differences) > 0.01  # padding does change this encoder
    assert together.keys() == stock(waves).keys()


def test_s3prl_upstream_sees_no_neighbours(files: dict[str, Path], waves: list[torch.Tensor]) -> None:
    from s3prl.nn import S3PRLUpstream

    upstream = S3PRLUpstream("mtl_hubert_local", path_or_url=str(files["none"])).eval()
    lengths = torch.tensor([len(wave) for wave in waves])
    together, counts = upstream(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
    for row, wave in enumerate(waves[:4]):  # s3prl pads the last one, which is below 0.05 s
        alone, alone_counts = upstream(wave[None], lengths[row : row + 1])
        for joint, single, count, single_count in zip(together, alone, counts, alone_counts):
            assert count[row] == single_count[0]
            torch.testing.assert_close(joint[row, : count[row]], single[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("padding", ["batch", "none"])
def test_every_layer_can_be_trained(files: dict[str, Path], waves: list[torch.Tensor], padding: str) -> None:
    upstream = mtl_hubert_local(files[padding]).train()
    assert upstream.model.encoder.layerdrop == 0
    with torch.enable_grad():
        sum(state.square().mean() for state in upstream(waves)["hidden_states"]).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in upstream.model.encoder.layers.parameters())


def test_a_url_is_downloaded_once(files: dict[str, Path], waves: list[torch.Tensor], tmp_path: Path) -> None:
    from s3prl.util import download

    before = download.get_dir()
    download.set_dir(tmp_path / "cache")
    try:
        source = tmp_path / "mtl.pt"
        source.write_bytes(files["none"].read_bytes())
        first = mtl_hubert_url(ckpt=source.as_uri())
        source.unlink()
        second = mtl_hubert_url(ckpt=source.as_uri(), model_config=None, refresh=False)
    finally:
        download.set_dir(before)
    assert first.padding == second.padding == "none"
    assert all(torch.equal(a, b) for a, b in zip(states(first, waves), states(second, waves)))


def test_torch_hub_loads_it_from_a_checkout(files: dict[str, Path], waves: list[torch.Tensor]) -> None:
    upstream = torch.hub.load(str(ROOT), "mtl_hubert_local", source="local", ckpt=str(files["none"]))
    assert len(states(upstream, waves)) == 5 and upstream.get_downsample_rates("hidden_states") == 320


def test_other_files_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="needs a checkpoint file, found 'None'; pass one"):
        mtl_hubert_local(ckpt=None)
    with pytest.raises(CheckpointError, match="is not a file of `s3prl-plugins export` .* loaded by hubert_local"):
        mtl_hubert_local(files["plain"])
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match="cannot be read"):
        mtl_hubert_local(tmp_path / "text.pt")
    content = torch.load(files["none"], weights_only=True)
    content["model_cfg"]["conv_feature_layers"] = "__import__('os').getpid()"
    write_checkpoint(tmp_path / "evil.pt", content)
    with pytest.raises(CheckpointError, match="conv_feature_layers must be a plain list"):
        mtl_hubert_local(tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="needs the address of a checkpoint, found none"):
        mtl_hubert_url(ckpt=None)


def test_the_stock_command_trains_keyword_spotting_on_it(
    files: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    saved = finetune_keyword_spotting("mtl_hubert_local", files["none"], tiny_corpus, tmp_path)
    before = torch.load(files["none"], weights_only=True)["model_weight"]["encoder.layers.0.fc1.weight"]
    assert not torch.equal(saved["model.encoder.layers.0.fc1.weight"], before)
