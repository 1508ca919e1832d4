"""HuBERTs of random sizes, taken out and in again: the same weights bit by bit, and the same states elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.convert.fairseq import convert_fairseq
from s3prl_plugins.convert.flat import to_fairseq, to_safetensors
from s3prl_plugins.convert.sources import hubert_content
from s3prl_plugins.convert.transformers import to_transformers
from s3prl_plugins.inference.model_folder import read_folder, write_folder
from s3prl_plugins.upstream.hubert.checkpoint import load_model, random_checkpoint, write_checkpoint

FEW = settings().max_examples // 6


@st.composite
def huberts(draw: st.DrawFn) -> dict[str, Any]:
    """Contents of checkpoints."""
    heads, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dim, channels = heads * width * 4, draw(st.sampled_from([8, 12]))
    more = draw(st.integers(1, 2))
    changes = {
        "encoder_layers": draw(st.integers(1, 3)), "encoder_embed_dim": dim, "encoder_attention_heads": heads,
        "encoder_ffn_embed_dim": draw(st.integers(1, 20)), "final_dim": draw(st.integers(1, 9)),
        "conv_feature_layers": f"[({channels},10,5)] + [({channels},3,2)] * {more} + [({draw(st.sampled_from([dim, 8]))},2,2)]",
        "conv_pos": draw(st.sampled_from([4, 7, 16])), "conv_pos_groups": draw(st.sampled_from([1, 2, 4])),
        "layer_norm_first": draw(st.booleans()), "conv_bias": draw(st.booleans()),
        "extractor_mode": draw(st.sampled_from(["default", "layer_norm"])),
        "activation_fn": draw(st.sampled_from(["gelu", "relu"])), "label_rate": 50.0,
    }  # fmt: skip
    content = random_checkpoint("tiny", draw(st.integers(0, 99)), draw(st.integers(2, 9)), changes)
    content["task_cfg"]["normalize"] = draw(st.booleans())
    return content


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@settings(max_examples=FEW)
@given(content=huberts())
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]) -> None:
    place = tmp_path_factory.mktemp("convert")
    write_checkpoint(place / "hubert.pt", content)
    whole = hubert_content(place / "hubert.pt")
    assert same(whole["model_weight"], content["model_weight"])
    to_fairseq(whole, place / "fairseq.pt")
    convert_fairseq(place / "fairseq.pt", place / "again.pt")
    again = hubert_content(place / "again.pt")
    assert same(again["model_weight"], content["model_weight"])
    assert all(again[key] == whole[key] for key in ("model_cfg", "task_cfg", "dictionaries_symbols"))
    to_safetensors(whole, place / "hubert.safetensors")
    with safetensors.safe_open(place / "hubert.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        about = json.loads(file.metadata()["s3prl"])
    assert same(weights, content["model_weight"])
    assert same(dict(load_model({**about, "model_weight": weights}).state_dict()), content["model_weight"])


@settings(max_examples=FEW)
@given(content=huberts(), samples=st.integers(800, 4000))
def test_transformers_has_the_same_states(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any], samples: int
) -> None:
    import s3prl.hub as hub

    transformers = pytest.importorskip("transformers")
    place: Path = tmp_path_factory.mktemp("convert")
    write_checkpoint(place / "hubert.pt", content)
    to_transformers(content, place / "folder")
    model = transformers.HubertModel.from_pretrained(place / "folder").eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(place / "folder")
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(samples)) * 0.1 + 0.01
    given_wave = torch.from_numpy(extractor(wave.numpy(), sampling_rate=16000)["input_values"][0])[None]
    with torch.no_grad():
        answer = model(given_wave, output_hidden_states=True)
        expected = hub.hubert_local(ckpt=str(place / "hubert.pt")).eval()([wave])["hidden_states"]
    found = [*answer.hidden_states[:-1], answer.last_hidden_state]
    for ours, theirs in zip(expected, found, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


tensors = st.builds(
    lambda shape, seed, kind: (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 50).to(kind),
    st.lists(st.integers(0, 4), max_size=3).map(tuple), st.integers(0, 99),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]),
)  # fmt: skip
parts = st.dictionaries(st.text("abc.0é", min_size=1, max_size=6), tensors, max_size=3)


@given(encoder=parts, featurizers=parts, heads=parts, about=st.dictionaries(st.text(max_size=3), st.text(max_size=3)))
def test_a_folder_of_a_model_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    encoder: dict[str, Tensor],
    featurizers: dict[str, Tensor],
    heads: dict[str, Tensor],
    about: dict[str, str],
) -> None:
    answers = {"tasks": ["ks"], "about": about, "featurizers": featurizers, "heads": heads}
    folder = write_folder(
        {"model_weight": encoder, "answers": answers}, "card", tmp_path_factory.mktemp("folder") / "m"
    )
    found = read_folder(folder)
    assert found["answers"]["about"] == about and found["answers"]["tasks"] == ["ks"]
    assert same(found["model_weight"], encoder)
    assert same(found["answers"]["featurizers"], featurizers) and same(found["answers"]["heads"], heads)
