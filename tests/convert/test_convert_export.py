"""Our HuBERTs taken out: other toolkits give the same hidden states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.convert.fairseq import convert_fairseq
from s3prl_plugins.convert.sources import hubert_content
from s3prl_plugins.convert.transformers import to_transformers
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.upstream.hubert.checkpoint import load_model, random_checkpoint, write_checkpoint
from s3prl_plugins.upstream.hubert.hubconf import TINY
from s3prl_plugins.upstream.mtl_hubert.hubconf import SUPERB_TINY

SMALL = {
    "encoder_layers": 2, "encoder_embed_dim": 24, "encoder_ffn_embed_dim": 40, "encoder_attention_heads": 3,
    "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 2", "conv_pos": 16, "conv_pos_groups": 4,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "post-LN as in Base": {**SMALL, "layer_norm_first": False},
    "layer norms in convolutions as in Large": {**SMALL, "extractor_mode": "layer_norm", "conv_bias": True},
    "equal widths": {**SMALL, "conv_feature_layers": "[(24,10,5)] + [(24,3,2)] * 2"},
    "another activation": {**SMALL, "activation_fn": "relu"},
}
WAVE = torch.randn(1, 9000, generator=torch.Generator().manual_seed(0)) * 0.1


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "hubert.pt"
    write_checkpoint(path, random_checkpoint("tiny", 3, changes=SMALL))
    return path


def hidden(source: Path) -> list[torch.Tensor]:
    import s3prl.hub as hub

    with torch.no_grad():
        return list(hub.hubert_local(ckpt=str(source)).eval()(list(WAVE))["hidden_states"])


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_gives_the_same_states(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    source, target = tmp_path / "hubert.pt", tmp_path / "folder"
    if kind == "tiny":
        source = TINY
    else:
        write_checkpoint(source, random_checkpoint("tiny", 3, changes=KINDS[kind]))
    assert main(["convert", "export", str(source), "--to", "transformers", "-o", str(target)]) == 0
    model, report = transformers.HubertModel.from_pretrained(target, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    with torch.no_grad():
        answer = model.eval()(WAVE, output_hidden_states=True)
    found, expected = [*answer.hidden_states[:-1], answer.last_hidden_state], hidden(source)
    assert len(found) == len(expected)
    for ours, theirs in zip(expected, found):
        assert torch.allclose(ours, theirs, atol=1e-5), (ours - theirs).abs().max()
    assert json.loads((target / "preprocessor_config.json").read_text())["do_normalize"] is False


def test_what_transformers_lacks_is_refused(tmp_path: Path) -> None:
    content = random_checkpoint("tiny", 3, changes={**SMALL, "activation_fn": "swish"})
    with pytest.raises(CheckpointError, match="has no transformer layers with swish; choose another --to"):
        to_transformers(content, tmp_path / "folder")
    content = random_checkpoint("tiny", 3, changes=SMALL)
    content["model_weight"]["extra"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="no place for the weight 'extra'"):
        to_transformers(content, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_fairseqs_form_is_read_back_bit_for_bit(source: Path, tmp_path: Path) -> None:
    target, again = tmp_path / "fairseq.pt", tmp_path / "again.pt"
    assert main(["convert", "export", str(source), "--to", "fairseq", "-o", str(target)]) == 0
    convert_fairseq(target, again)
    before, after = (torch.load(path, weights_only=True) for path in (source, again))
    for key in ("model_cfg", "task_cfg", "dictionaries_symbols"):
        assert after[key] == before[key]
    assert all(torch.equal(after["model_weight"][name], tensor) for name, tensor in before["model_weight"].items())


def test_safetensors(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "hubert.safetensors"
    assert main(["convert", "export", str(source), "--to", "safetensors", "-o", str(target)]) == 0
    with safetensors.safe_open(target, "pt") as file:
        about = json.loads(file.metadata()["s3prl"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    model = load_model({**about, "model_weight": weights})
    expected = hubert_content(source)["model_weight"]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_the_encoder_of_a_run_is_a_source(source: Path, tmp_path: Path) -> None:
    content = torch.load(source, weights_only=True)
    weights = {f"model.{name}": tensor for name, tensor in content.pop("model_weight").items()}
    args = {"upstream": "hubert_local", "upstream_trainable": True, "seed": 0}
    config = {"encoder": {"padding": "none"}, "tasks": ["ks"]}
    model = {"hubert": content, "upstream": weights}
    states = checkpoints.save(tmp_path / "run", 3, args, config, {"model": model}, keep=1)
    for place in (tmp_path / "run", states):
        found = hubert_content(place)
        assert found["model_cfg"] == content["model_cfg"]
        assert all(torch.equal(found["model_weight"][name.removeprefix("model.")], weights[name]) for name in weights)


def test_a_file_with_heads_is_a_source_too() -> None:
    content = hubert_content(SUPERB_TINY)
    assert content.keys() == {"task_cfg", "model_cfg", "dictionaries_symbols", "model_weight"}
    assert {tensor.dtype for tensor in content["model_weight"].values()} == {torch.float32}


def test_bad_sources(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out"
    torch.save({"model_weight": {}, "model_cfg": 1}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "empty").mkdir()
    cases = {
        "other.pt": "is no HuBERT in s3prl's converted format",
        "text.pt": "cannot be read",
        "empty": "it holds no states-*.ckpt",
        "none": "it holds no states-*.ckpt",
    }
    for name, said in cases.items():
        assert main(["convert", "export", str(tmp_path / name), "--to", "fairseq", "-o", str(target)]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert main(["convert", "export", str(source), "--to", "fairseq", "-o", str(source)]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert not target.exists()
