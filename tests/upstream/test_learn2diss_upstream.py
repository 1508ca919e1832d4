"""Learn2Diss as an upstream: checkpoints, views, names; through the hub, torch.hub, s3prl.nn and the stock command."""

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
from s3prl_plugins.upstream.hubert import checkpoint as hubert
from s3prl_plugins.upstream.learn2diss import hubconf
from s3prl_plugins.upstream.learn2diss.checkpoint import load_checkpoint, write_checkpoint
from s3prl_plugins.upstream.learn2diss.encoder import UtteranceEncoder, random_utterance
from s3prl_plugins.upstream.learn2diss.expert import UpstreamExpert

VIEWS = {"frame": 5, "utterance": 5, "both": 10}


@pytest.fixture(scope="module")
def frame() -> dict[str, Any]:
    return hubert.random_checkpoint("tiny", 3, clusters=200)


@pytest.fixture(scope="module")
def utterance() -> UtteranceEncoder:
    """With the statistics of noise, in evaluation mode."""
    encoder = random_utterance("tiny", 3)
    encoder.norm.momentum = 1.0
    with torch.no_grad():
        encoder(torch.randn(8, 4000, generator=torch.Generator().manual_seed(3)))
    return encoder.eval()


@pytest.fixture(scope="module")
def file(frame: dict[str, Any], utterance: UtteranceEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("learn2diss") / "learn2diss.pt"
    write_checkpoint(path, frame, utterance.content(), {"seed": 3, "stages": ("frame", "joint")})
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


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_checkpoint_is_both_encoders(file: Path, frame: dict[str, Any], utterance: UtteranceEncoder) -> None:
    loaded = load_checkpoint(file)
    assert loaded.metadata == {"seed": 3, "stages": ["frame", "joint"]}
    one, other = loaded.frame_encoder().state_dict(), frame["model_weight"]
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    one, other = loaded.utterance_encoder().state_dict(), utterance.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_writing_and_building_leave_global_randomness_alone(file: Path, frame: dict[str, Any], tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    write_checkpoint(tmp_path / "frame.pt", frame, None, {})
    UpstreamExpert(file)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_half_is_small_enough_to_ship_and_changes_little(
    file: Path, frame: dict[str, Any], utterance: UtteranceEncoder, waves: list[Tensor], tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "half.pt", frame, utterance.content(), {}, half=True)
    assert (tmp_path / "half.pt").stat().st_size < min(16e6, 0.52 * file.stat().st_size)
    shipped = UpstreamExpert(tmp_path / "half.pt")
    assert {parameter.dtype for parameter in shipped.parameters()} == {torch.float32}
    for one, other in zip(states(shipped, waves[:1]), states(UpstreamExpert(file), waves[:1]), strict=True):
        assert 0 < float((one - other).norm() / other.norm()) < 5e-3


def test_what_is_written_can_be_written_again(file: Path, waves: list[Tensor], tmp_path: Path) -> None:
    """A later stage starts from the file of an earlier one."""
    loaded = load_checkpoint(file)
    write_checkpoint(tmp_path / "again.pt", loaded.frame, loaded.utterance, loaded.metadata)
    assert same(states(UpstreamExpert(tmp_path / "again.pt"), waves[:2]), states(UpstreamExpert(file), waves[:2]))


def test_the_frame_part_is_a_hubert_that_s3prl_loads(file: Path, waves: list[Tensor], tmp_path: Path) -> None:
    from s3prl import hub

    hubert.write_checkpoint(tmp_path / "hubert.pt", load_checkpoint(file).frame or {})
    stock = hub.hubert_local(ckpt=str(tmp_path / "hubert.pt")).eval()
    found = UpstreamExpert(file, "frame")(waves[:1])["hidden_states"]
    for one, other in zip(found, stock(waves[:1])["hidden_states"], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_a_frame_encoder_that_wants_normal_waves_gets_them(frame: dict[str, Any], tmp_path: Path) -> None:
    from s3prl import hub

    content = {**frame, "task_cfg": {**frame["task_cfg"], "normalize": True}}
    write_checkpoint(tmp_path / "l2d.pt", content, None, {})
    hubert.write_checkpoint(tmp_path / "hubert.pt", content)
    draw = torch.Generator().manual_seed(0)
    loud = [5 + 3 * torch.randn(6000, generator=draw), 0.01 * torch.randn(6000, generator=draw)]
    found = states(hubconf.learn2diss_frame_local(tmp_path / "l2d.pt"), loud)
    for one, other in zip(found, states(hub.hubert_local(ckpt=str(tmp_path / "hubert.pt")), loud), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_damaged_and_other_files_are_refused(file: Path, frame: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    with pytest.raises(CheckpointError, match="cannot be read .*; pass a file of `s3prl-plugins pretrain learn2diss`"):
        load_checkpoint(path)
    path.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path)
    for other in ([1, 2], frame, {"learn2diss": {"format": 2}}):
        torch.save(other, path)
        with pytest.raises(CheckpointError, match="is no Learn2Diss checkpoint .learn2diss: .*not format 1.; pass a"):
            load_checkpoint(path)
    write_checkpoint(path, None, None, {})
    with pytest.raises(CheckpointError, match="must hold a frame or an utterance encoder, found neither"):
        load_checkpoint(path)


def test_damaged_parts_are_named(file: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "file.pt", torch.load(file, weights_only=True)
    for part, inner, view in (("frame", "model_weight", "frame"), ("utterance", "weights", "utterance")):
        weights = dict(content[part][inner])
        del weights["layer_norm.weight" if part == "frame" else "pooling.score.0.weight"]
        torch.save({**content, part: {**content[part], inner: weights}}, path)
        with pytest.raises(CheckpointError, match=f"the {part} encoder cannot be built .RuntimeError: .*Missing key"):
            UpstreamExpert(path, view)
    torch.save({**content, "frame": {"weights": {}}}, path)
    with pytest.raises(CheckpointError, match="the frame encoder cannot be built .KeyError: 'model_cfg'"):
        UpstreamExpert(path)


def test_nothing_of_a_file_is_executed(file: Path, tmp_path: Path) -> None:
    """s3prl evaluates `conv_feature_layers`."""
    path, mark = tmp_path / "evil.pt", tmp_path / "mark"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch() or [(128, 10, 5)]"
    content = torch.load(file, weights_only=True)
    for part, inner in (("frame", "model_cfg"), ("utterance", "config")):
        changed = {**content[part], inner: {**content[part][inner], "conv_feature_layers": code}}
        torch.save({**content, part: changed}, path)
        with pytest.raises(CheckpointError, match=f"the {part} encoder cannot be built"):
            UpstreamExpert(path)
    assert not mark.exists()


def test_a_stages_own_file_has_its_view_alone(
    frame: dict[str, Any], utterance: UtteranceEncoder, file: Path, waves: list[Tensor], tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "frame.pt", frame, None, {})
    write_checkpoint(tmp_path / "utterance.pt", None, utterance.content(), {})
    whole = UpstreamExpert(file)(waves)
    for view, load in (
        ("frame", hubconf.learn2diss_frame_local),
        ("utterance", hubconf.learn2diss_utterance_local),
    ):
        answer = load(tmp_path / f"{view}.pt")(waves)
        assert same(list(answer["hidden_states"]), list(whole[view])) and same(list(answer[view]), list(whole[view]))
        assert not answer.keys() & ({"frame", "utterance"} - {view})
    with pytest.raises(
        CheckpointError, match="has no utterance encoder, only the frame encoder; load it with learn2diss_fr"
    ):
        hubconf.learn2diss_local(tmp_path / "frame.pt")
    with pytest.raises(
        CheckpointError, match="has no frame encoder, only the utterance encoder; load it with learn2diss_utt"
    ):
        hubconf.learn2diss_frame_local(tmp_path / "utterance.pt")
    with pytest.raises(CheckpointError, match="the view frame has no embedding; load learn2diss_utterance_local"):
        hubconf.learn2diss_frame_local(tmp_path / "frame.pt").embedding(waves)


def test_encoders_whose_states_cannot_be_stacked_are_refused_together(
    frame: dict[str, Any], utterance: UtteranceEncoder, waves: list[Tensor], tmp_path: Path
) -> None:
    path, narrow = tmp_path / "l2d.pt", hubert.random_checkpoint("tiny", 0, changes={"encoder_embed_dim": 128})
    write_checkpoint(path, narrow, utterance.content(), {})
    with pytest.raises(
        CheckpointError, match=r"must have one width and rate, found .* \(128, .* and \(256, .*; load lear"
    ):
        hubconf.learn2diss_local(path)
    assert states(hubconf.learn2diss_frame_local(path), waves)[0].shape[2] == 128


def test_views_have_one_shape_and_end_in_the_embedding(file: Path, waves: list[Tensor]) -> None:
    upstream = UpstreamExpert(file)
    answer = upstream(waves)
    assert {key: len(answer[key]) for key in ("frame", "utterance", "hidden_states")} == {
        "frame": 5, "utterance": 5, "hidden_states": 10,
    }  # fmt: skip
    assert same(list(answer["hidden_states"]), [*answer["frame"], *answer["utterance"]])
    assert {state.shape for state in answer["hidden_states"]} == {(6, 49, 256)}
    assert torch.equal(answer["hidden_state_3"], answer["frame"][3])
    assert torch.equal(answer["last_hidden_state"], answer["utterance"][-1])
    embedding = upstream.embedding(waves)
    assert embedding.shape == (6, 256)
    for row in range(6):
        torch.testing.assert_close(answer["utterance"][-1][row], embedding[row].expand(49, 256))
    assert embedding.std(0).min() > 0.01


@pytest.mark.parametrize("view", VIEWS)
def test_every_utterance_gets_what_it_gets_alone(file: Path, waves: list[Tensor], view: Any) -> None:
    upstream = UpstreamExpert(file, view)
    together = upstream(waves)["hidden_states"]
    assert len(together) == VIEWS[view]
    for row, wave in enumerate(waves):
        for joint, alone in zip(together, upstream([wave])["hidden_states"], strict=True):
            frames = alone.shape[1]
            assert frames == max(1, (len(wave) - 80) // 320)
            torch.testing.assert_close(joint[row, :frames], alone[0], atol=1e-4, rtol=1e-4)
            assert torch.equal(joint[row, frames:], joint[row, frames - 1].expand_as(joint[row, frames:]))


def test_a_wave_too_short_for_a_frame_is_followed_by_silence(file: Path, utterance: UtteranceEncoder) -> None:
    wave = torch.ones(90)
    found = UpstreamExpert(file).embedding([wave])
    torch.testing.assert_close(found, utterance(torch.cat([wave, torch.zeros(310)])[None]).embedding)


@pytest.mark.parametrize("view", ["", "_frame", "_utterance"])
def test_every_way_of_loading_gives_the_same_states(file: Path, waves: list[Tensor], view: str) -> None:
    from s3prl import hub

    name = f"learn2diss{view}_local"
    expected = states(getattr(hubconf, name)(file), waves[:3])
    assert len(expected) == VIEWS[view[1:] or "both"]
    for upstream in (
        getattr(hub, name)(ckpt=file, model_config=None, refresh=False),
        torch.hub.load(str(ROOT), name, source="local", ckpt=str(file)),
    ):
        assert upstream.get_downsample_rates("hidden_states") == 320
        assert same(states(upstream, waves[:3]), expected)


def test_names_of_shipped_encoders_exist_exactly_when_the_file_does() -> None:
    names = {f"learn2diss{view}_{way}" for view in ("", "_frame", "_utterance") for way in ("local", "url", "tiny")}
    assert {name for name in hubconf.__all__ if name != "TINY"} == names
    shipped = {name for name in names if name.endswith("_tiny")}
    assert names - shipped <= UPSTREAMS.keys()
    assert shipped & UPSTREAMS.keys() == (shipped if hubconf.TINY.is_file() else set())
    assert all(
        UPSTREAMS[name] == f"s3prl_plugins.upstream.learn2diss.hubconf:{name}" for name in names & UPSTREAMS.keys()
    )
    if hubconf.TINY.is_file():
        assert hubconf.TINY.stat().st_size <= 16e6


@pytest.mark.parametrize(("selection", "layers"), [("frame", 5), ("utterance", 5), ("hidden_states", 10)])
def test_s_of_the_stock_featurizer_takes_a_view(
    file: Path, waves: list[Tensor], capsys: pytest.CaptureFixture[str], selection: str, layers: int
) -> None:
    from s3prl.upstream.interfaces import Featurizer

    upstream = UpstreamExpert(file).eval()
    featurizer = Featurizer(upstream, selection, "cpu")
    assert featurizer.layer_num == layers and "Warning" not in capsys.readouterr().err
    answer = upstream(waves[:3])
    features = featurizer(waves[:3], answer)
    assert [tuple(feature.shape) for feature in features] == [(22, 256), (49, 256), (35, 256)]
    torch.testing.assert_close(features[1], torch.stack(answer[selection]).mean(0)[1], atol=1e-5, rtol=1e-5)


def test_s3prls_wrapper_and_featurizer_take_it(file: Path, waves: list[Tensor]) -> None:
    from s3prl.nn import Featurizer, S3PRLUpstream

    upstream = S3PRLUpstream("learn2diss_local", path_or_url=str(file)).eval()
    assert upstream.num_layers == 10 and set(upstream.hidden_sizes) == {256} and set(upstream.downsample_rates) == {320}
    lengths = torch.tensor([len(wave) for wave in waves])
    together, counts = upstream(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
    for row, wave in enumerate(waves[:4]):  # s3prl pads a lone wave below 0.05 s
        alone, alone_counts = upstream(wave[None], lengths[row : row + 1])
        for joint, single, count, single_count in zip(together, alone, counts, alone_counts):
            assert count[row] == single_count[0]
            torch.testing.assert_close(joint[row, : count[row]], single[0], atol=1e-4, rtol=1e-4)
    mixed, _ = Featurizer(upstream)(together, counts)
    torch.testing.assert_close(mixed, torch.stack(together).mean(0), atol=1e-5, rtol=1e-5)


def test_finetuning_moves_every_weight_but_convolutions_and_no_statistic(file: Path, waves: list[Tensor]) -> None:
    upstream = UpstreamExpert(file)
    assert not upstream.training
    before = {name: buffer.clone() for name, buffer in upstream.named_buffers()}
    upstream.train()
    assert upstream.training and upstream.frame.training and not upstream.utterance.norm.training
    with torch.enable_grad():
        sum(state.square().mean() for state in upstream(waves)["hidden_states"]).backward()
    still = {name for name, parameter in upstream.named_parameters() if parameter.grad is None}
    parts = {name.split(".")[1] for name in still if name.startswith("frame.")}
    assert parts == {"feature_extractor", "mask_emb", "final_proj", "label_embs_concat"}
    assert {name.split(".")[2] for name in still if name.startswith("utterance.")} == {"feature_extractor"}
    assert all(p.grad.abs().sum() > 0 for name, p in upstream.named_parameters() if name not in still)
    assert all(torch.equal(buffer, before[name]) for name, buffer in upstream.named_buffers())


def test_a_url_is_downloaded_once(file: Path, waves: list[Tensor], tmp_path: Path) -> None:
    from s3prl.util import download

    before = download.get_dir()
    download.set_dir(tmp_path / "cache")
    try:
        source = tmp_path / "l2d.pt"
        source.write_bytes(file.read_bytes())
        first = hubconf.learn2diss_url(ckpt=source.as_uri())
        source.unlink()
        both = first(waves[:1])
        for view in ("frame", "utterance"):
            later = getattr(hubconf, f"learn2diss_{view}_url")(ckpt=source.as_uri(), model_config=None, refresh=False)
            assert same(states(later, waves[:1]), list(both[view]))
    finally:
        download.set_dir(before)


def test_missing_files_are_named() -> None:
    for view in ("", "_frame", "_utterance"):
        local, url, tiny = (getattr(hubconf, f"learn2diss{view}_{way}") for way in ("local", "url", "tiny"))
        with pytest.raises(
            CheckpointError, match=f"learn2diss{view}_local needs a checkpoint file, found 'None'; pass"
        ):
            local(ckpt=None)
        with pytest.raises(
            CheckpointError, match=f"learn2diss{view}_url needs the address of a checkpoint, found none"
        ):
            url(ckpt=None)
        if not hubconf.TINY.is_file():
            with pytest.raises(CheckpointError, match="cannot be read"):
                tiny(ckpt=None, model_config=None, refresh=False)


def test_the_stock_command_trains_keyword_spotting_on_it(
    frame: dict[str, Any], utterance: UtteranceEncoder, file: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    saved = finetune_keyword_spotting("learn2diss_local", file, tiny_corpus, tmp_path)
    name = "encoder.layers.0.fc1.weight"
    assert not torch.equal(saved[f"frame.{name}"], frame["model_weight"][name])
    assert not torch.equal(saved[f"utterance.trunk.{name}"], utterance.trunk.state_dict()[name])
    assert not torch.equal(saved["utterance.projection.weight"], utterance.projection.weight)
    assert torch.equal(saved["utterance.norm.running_var"], utterance.norm.running_var)
