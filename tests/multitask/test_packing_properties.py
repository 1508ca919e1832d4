"""Utterances of random lengths in one row: each has the states it has alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.multitask.packing import by_length, can_pack, packed_states
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint


@given(st.lists(st.integers(1, 6), max_size=20))
def test_each_place_is_in_one_group_of_its_length(lengths: list[int]) -> None:
    groups = by_length([torch.zeros(length) for length in lengths])
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    assert [{lengths[place] for place in group} for group in groups] == [{n} for n in dict.fromkeys(lengths)]
    assert all(group == sorted(group) for group in groups)


@pytest.fixture(scope="module", params=[False, True], ids=["post-LN", "pre-LN"])
def hubert(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    from s3prl import hub

    path: Path = tmp_path_factory.mktemp("hubert") / "small.pt"
    changes = {
        "layer_norm_first": request.param, "encoder_layers": 2, "encoder_embed_dim": 24, "encoder_ffn_embed_dim": 40,
        "encoder_attention_heads": 3, "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 4", "conv_pos": 8, "conv_pos_groups": 4,
    }  # fmt: skip
    content = random_checkpoint("tiny", 0, changes=changes)
    content["task_cfg"]["normalize"] = request.param
    write_checkpoint(path, content)
    upstream: nn.Module = hub.hubert_local(ckpt=str(path)).eval()
    return upstream


@settings(max_examples=settings().max_examples // 2)
@given(
    samples=st.lists(st.integers(400, 3000) | st.sampled_from([400, 1200]), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_a_row_has_the_states_of_each_alone(hubert: nn.Module, samples: list[int], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    waves = [torch.randn(count, generator=draw) for count in samples]
    assert can_pack(hubert, "hidden_states")
    with torch.no_grad():
        states, frames = packed_states(hubert, waves)
        for place, wave in enumerate(waves):
            start = sum(frames[:place])
            for row, alone in zip(states, hubert([wave])["hidden_states"], strict=True):
                torch.testing.assert_close(row[:, start : start + frames[place]], alone, rtol=1e-4, atol=1e-5)
    assert states[0].shape[1] == sum(frames)
