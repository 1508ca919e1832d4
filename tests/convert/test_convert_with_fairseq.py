"""Against fairseq itself, where it can be imported: its states from what we write, ours from what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

pytest.importorskip("fairseq", reason="fairseq is not installed; s3prl-plugins doctor says how to get it")
SMALL = {
    "encoder_layers": 2, "encoder_embed_dim": 24, "encoder_ffn_embed_dim": 40, "encoder_attention_heads": 3,
    "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 2", "conv_pos": 16, "conv_pos_groups": 4,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "as Base": {"layer_norm_first": False},
    "as Large": {"layer_norm_first": True, "extractor_mode": "layer_norm", "conv_bias": True},
}
WAVE = torch.randn(1, 9000, generator=torch.Generator().manual_seed(0)) * 0.1


def ours(path: Path) -> list[torch.Tensor]:
    import s3prl.hub as hub

    with torch.no_grad():
        return list(hub.hubert_local(ckpt=str(path)).eval()(list(WAVE))["hidden_states"])


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_fairseqs_both_ways(kind: str, tmp_path: Path) -> None:
    from fairseq import checkpoint_utils

    source, theirs, back = tmp_path / "hubert.pt", tmp_path / "fairseq.pt", tmp_path / "back.pt"
    write_checkpoint(source, random_checkpoint("tiny", 3, changes={**SMALL, **KINDS[kind]}))
    assert main(["convert", "export", str(source), "--to", "fairseq", "-o", str(theirs)]) == 0
    [model], config, task = checkpoint_utils.load_model_ensemble_and_task([str(theirs)])
    model.eval()
    states = ours(source)
    with torch.no_grad():
        for layer in (1, None):
            found, _ = model.extract_features(WAVE, mask=False, output_layer=layer)
            torch.testing.assert_close(found, states[layer or -1], rtol=0, atol=1e-5)
    state = {"args": None, "cfg": config, "model": model.state_dict(), "task_state": task.state_dict()}
    torch.save(state, tmp_path / "written.pt")
    assert main(["convert", "fairseq", str(tmp_path / "written.pt"), "-o", str(back)]) == 0
    for one, other in zip(ours(back), states, strict=True):
        assert torch.equal(one, other)
