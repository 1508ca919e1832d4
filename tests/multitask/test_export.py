"""From a finished run to an upstream checkpoint, and the configuration that is read off a built HuBERT."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.export import export_upstream
from s3prl_plugins.multitask.hubert_config import hubert_config
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.upstream.hubert.checkpoint import SIZES, random_checkpoint, write_checkpoint

ODD = {
    "label_rate": 25.0, "extractor_mode": "layer_norm", "encoder_layers": 2, "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 40, "encoder_attention_heads": 3, "activation_fn": "relu", "dropout": 0.2,
    "attention_dropout": 0.15, "activation_dropout": 0.05, "encoder_layerdrop": 0.25, "dropout_input": 0.3,
    "dropout_features": 0.35, "final_dim": 12, "untie_final_proj": True, "layer_norm_first": True,
    "conv_feature_layers": "[(16, 10, 5), (20, 4, 4)]", "conv_bias": True, "logit_temp": 0.2, "target_glu": True,
    "feature_grad_mult": 0.5, "mask_length": 5, "mask_prob": 0.5, "mask_selection": "normal", "mask_other": 2.0,
    "no_mask_overlap": True, "mask_min_space": 3, "mask_channel_length": 7, "mask_channel_prob": 0.1,
    "mask_channel_selection": "uniform", "mask_channel_other": 1.0, "no_mask_channel_overlap": True,
    "mask_channel_min_space": 4, "conv_pos": 32, "conv_pos_groups": 4, "skip_masked": True, "skip_nomask": True,
    "required_seq_len_multiple": 1,
}  # fmt: skip
"""Every field away from its default."""
NOT_READ = {
    "layer_type", "latent_temp", "checkpoint_activations", "depthwise_conv_kernel_size", "attn_type", "pos_enc_type", "fp16",
}  # fmt: skip
"""Fields of conformers, and those that s3prl's model does not use."""


class Built(torch.nn.Module):
    """What an s3prl expert holds."""

    def __init__(self, model_cfg: dict[str, Any], task_cfg: dict[str, Any], symbols: list[Any]) -> None:
        from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig

        super().__init__()
        self.task_cfg = HubertPretrainingConfig(**task_cfg)
        self.model = HubertModel(HubertConfig(**model_cfg), self.task_cfg, symbols)


def test_every_field_of_a_configuration_is_read_off_the_model() -> None:
    from s3prl.upstream.hubert.hubert_model import HubertConfig

    fields = {field.name: field.default for field in dataclasses.fields(HubertConfig)}
    assert fields.keys() == ODD.keys() | NOT_READ
    assert [name for name in ODD if ODD[name] == fields[name]] == []
    task_cfg = {"label_rate": 25.0, "sample_rate": 8000, "normalize": True, "max_sample_size": 99}
    found = hubert_config(Built(ODD, task_cfg, [["a", "b"], ["c"]]))
    assert found is not None
    assert found["model_cfg"] == ODD
    assert found["task_cfg"].items() >= task_cfg.items()
    assert [len(symbols) for symbols in found["dictionaries_symbols"]] == [2, 1]


@pytest.mark.parametrize("size", SIZES)
def test_shipped_sizes_and_defaults_are_read_too(size: str) -> None:
    given = {"label_rate": 50.0, **SIZES[size], "encoder_layers": 1}
    for symbols in ([["0", "1"]], [None]):
        found = hubert_config(Built(given, {"sample_rate": 16000}, symbols))
        assert found is not None and found["dictionaries_symbols"] == symbols
        again = Built(found["model_cfg"], found["task_cfg"], found["dictionaries_symbols"])
        assert hubert_config(again) == found
        given_but_shapes = {key: value for key, value in given.items() if key != "conv_feature_layers"}
        assert found["model_cfg"].items() >= given_but_shapes.items()
    assert hubert_config(torch.nn.Linear(1, 1)) is None


def train(
    corpus: Path,
    folder: Path,
    upstream: str,
    ckpt: Path | None,
    trainable: bool = True,
    tasks: tuple[str, ...] = ("ks",),
) -> Path:
    runner = {
        "total_steps": 2,
        "warmup_steps": 0,
        "log_step": 1,
        "save_step": 2,
        "eval_step": 0,
        "eval_at_start": False,
    }
    change = {"corpus_root": str(corpus), "tasks": list(tasks), "runner": runner, "encoder": {"padding": "none"}}
    if not trainable or upstream == "fbank":
        change["encoder"]["conv_grad_mult"] = None
    args = stock_args(
        expdir=str(folder), device="cpu", seed=5, upstream=upstream, upstream_trainable=trainable,
        upstream_ckpt=str(ckpt) if ckpt else None,
    )  # fmt: skip
    Experiment(args, merge(load_yaml(find_config("all_task_mini")), change)).train()
    return folder


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that was moved; the checkpoint it started from is gone."""
    place = tmp_path_factory.mktemp("export")
    start = place / "start.pt"
    write_checkpoint(start, random_checkpoint("tiny", 0))
    train(tiny_corpus, place / "run", "hubert_local", start)
    start.unlink()
    return (place / "run").rename(place / "moved")


@pytest.fixture
def waves() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(samples, generator=draw) * 0.1 for samples in (9000, 14000)]


def states(upstream: Any, waves: list[torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack(list(upstream.eval()(waves)["hidden_states"]))


def test_the_file_holds_the_runs_encoder_for_both_entries(
    finished: Path, waves: list[torch.Tensor], tmp_path: Path
) -> None:
    from s3prl import hub

    path = export_upstream(finished, tmp_path / "new" / "mtl.pt")
    content = torch.load(path, weights_only=True)
    assert content["mtl"] == {"padding": "none", "tasks": ["ks"], "step": 2, "seed": 5, "upstream": "hubert_local"}
    trained = checkpoints.load_tensors(checkpoints.newest_whole(finished)[0], "model")["upstream"]
    stock, ours = hub.hubert_local(ckpt=str(path)), hub.mtl_hubert_local(ckpt=str(path))
    for expert in (stock, ours):
        state = expert.state_dict()
        assert state.keys() == trained.keys()
        assert all(torch.equal(state[name], trained[name]) for name in trained)
    start = random_checkpoint("tiny", 0)["model_weight"]
    assert not torch.equal(start["encoder.layers.3.fc2.weight"], content["model_weight"]["encoder.layers.3.fc2.weight"])
    assert ours.padding == "none"
    assert torch.equal(states(ours, waves[:1]), states(stock, waves[:1]))
    assert not torch.allclose(states(ours, waves), states(stock, waves), atol=1e-3)


def test_half_is_half_the_size_and_nearly_equal(finished: Path, waves: list[torch.Tensor], tmp_path: Path) -> None:
    from s3prl import hub

    whole = export_upstream(finished, tmp_path / "whole.pt")
    half = export_upstream(finished, tmp_path / "half.pt", half=True)
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    full, small = hub.mtl_hubert_local(ckpt=str(whole)), hub.mtl_hubert_local(ckpt=str(half))
    assert {parameter.dtype for parameter in small.parameters()} == {torch.float32}
    expected = states(full, waves)
    error = (states(small, waves) - expected).norm() / expected.norm()
    assert 0 < error < 2e-3


def test_a_run_on_an_exported_encoder_is_exported_again(finished: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    first = export_upstream(finished, tmp_path / "first.pt")
    run = train(tiny_corpus, tmp_path / "run", "mtl_hubert_local", first)
    second = torch.load(export_upstream(run, tmp_path / "second.pt"), weights_only=True)
    assert second["mtl"]["upstream"] == "mtl_hubert_local"
    before = torch.load(first, weights_only=True)
    assert second["model_cfg"] == before["model_cfg"] and second["task_cfg"] == before["task_cfg"]


def test_a_run_that_did_not_keep_the_configuration_builds_its_upstream_anew(finished: Path, tmp_path: Path) -> None:
    expected = torch.load(export_upstream(finished, tmp_path / "expected.pt"), weights_only=True)
    found, _ = checkpoints.newest_whole(finished)
    model = {key: value for key, value in checkpoints.load_tensors(found, "model").items() if key != "hubert"}
    start = tmp_path / "start.pt"
    old = tmp_path / "old"
    old.mkdir()
    checkpoints.save(old, 2, {**found.args, "upstream_ckpt": str(start)}, found.config, {"model": model}, 1)
    with pytest.raises(CheckpointError, match="needs a checkpoint file, found -k"):
        export_upstream(old, tmp_path / "x.pt")
    write_checkpoint(start, random_checkpoint("tiny", 1))
    content = torch.load(export_upstream(old, tmp_path / "y.pt"), weights_only=True)
    for key in ("task_cfg", "mtl", "dictionaries_symbols"):
        assert content[key] == expected[key]
    assert all(torch.equal(content["model_weight"][k], v) for k, v in expected["model_weight"].items())
    other = random_checkpoint("tiny", 1)
    other["model_cfg"]["encoder_layers"] = 3
    other["model_weight"] = {
        k: v for k, v in other["model_weight"].items() if "layers.3" not in k or "encoder" not in k
    }
    write_checkpoint(start, other)
    with pytest.raises(CheckpointError, match=r"does not fit its configuration .* replaced since the run\?"):
        export_upstream(old, tmp_path / "z.pt")
    assert not (tmp_path / "z.pt").exists()


def test_runs_without_a_finetuned_hubert_are_refused(tiny_corpus: Path, finished: Path, tmp_path: Path) -> None:
    frozen = train(tiny_corpus, tmp_path / "frozen", "fbank", None, trainable=False)
    with pytest.raises(
        CheckpointError, match="trained heads on the frozen upstream 'fbank'; export a run that finetuned"
    ):
        export_upstream(frozen, tmp_path / "x.pt")
    other = train(tiny_corpus, tmp_path / "other", "fbank", None)
    with pytest.raises(CheckpointError, match=f"only HuBERT runs can be exported, {other} has the upstream 'fbank'"):
        export_upstream(other, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="has no checkpoint to continue from: it holds no states"):
        export_upstream(tmp_path / "nothing", tmp_path / "x.pt")
    assert not (tmp_path / "x.pt").exists()


def test_the_command_writes_once(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mtl.pt"
    assert main(["export", str(finished), "-o", str(target), "--half"]) == 0
    assert f"wrote {target} (" in capsys.readouterr().out
    assert main(["export", str(finished), "-o", str(target)]) == 2
    assert f"{target} exists; choose another name or remove it" in capsys.readouterr().err
