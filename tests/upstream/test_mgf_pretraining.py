"""MGF pretraining end to end on a handful of files, through the command."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from s3prl_plugins.cli import main
from s3prl_plugins.config import build, load_yaml
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask.config import shipped_configs
from s3prl_plugins.pretrain.multi_scale import MultiScale
from s3prl_plugins.pretrain.scales import SCALES
from s3prl_plugins.pretrain.trainer import Pretrainer
from s3prl_plugins.upstream.mgf import pretraining
from s3prl_plugins.upstream.mgf.encoder import ENCODERS
from s3prl_plugins.upstream.mgf.pretraining import MgfPretraining, build_objective, pretrain

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """`small` beside the sizes that are shipped."""
    tiny = ENCODERS["tiny"]
    small = dataclasses.replace(tiny, dim=16, channels=(4,) * 8, layers=2, heads=2, ffn=16, positions=8, groups=4)
    monkeypatch.setattr(pretraining, "ENCODERS", {**ENCODERS, "small": small})


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    random = np.random.default_rng(0)
    (tmp_path / "speech").mkdir()
    for number in range(16):
        time = np.arange(int(random.integers(9000, 14000))) / 16000
        wave = 0.2 * np.sin(2 * np.pi * (100 + 10 * number) * time) + 0.05 * random.standard_normal(len(time))
        soundfile.write(tmp_path / f"speech/{number}.wav", wave, 16000)
    return {
        "encoder": "small", "stretch": 0.4, "mask_length": 4, "sample": 10,
        "scales": {"sample": {"channels": [4, 4, 4], "hidden": 4}, "frame": {"targets": {"fbank": {}}}},
        "balancer": {"weights": {"sentence": 0.5}},
        "speech": {"folders": [str(tmp_path / "speech")], "shortest": 0.5, "longest": 0.8, "batch": 2.4, "held_out": 0.2},
        "train": {"steps": 4, "lr": 1e-3, "log_step": 1, "eval_step": 4, "save_step": 1},
    }  # fmt: skip


def test_command_pretrains_and_s3prl_takes_the_checkpoint(config: dict[str, Any], tmp_path: Path) -> None:
    config |= {"half": True, "train": {**config["train"], "precision": "bfloat16"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    run = tmp_path / "run"
    assert main(["pretrain", "mgf", "-c", str(tmp_path / "c.yaml"), "-p", str(run), "--device", "cpu"]) == 0
    entries = read_metrics(run)
    assert [entry["step"] for entry in entries if "train/phoneme" in entry] == [1, 2, 3, 4]
    assert {f"{split}/{name}" for split in ("train", "dev") for name in SCALES} <= {key for e in entries for key in e}
    content = torch.load(run / "mgf.pt", weights_only=True)
    assert content["metadata"]["scales"] == list(SCALES)
    assert content["metadata"]["config"]["stretch"] == 0.4
    assert {tensor.dtype for tensor in content["weights"].values() if tensor.ndim > 1} == {torch.float16}

    import s3prl.hub as hub

    upstream = hub.mgf_local(ckpt=str(run / "mgf.pt")).eval()
    states = upstream([torch.randn(16000), torch.randn(8000)])["hidden_states"]
    assert [tuple(state.shape) for state in states] == [(2, 50, 16)] * 3
    trained = torch.load(run / "training.pt", weights_only=True)
    assert trained["balancer"] == {}
    mask = trained["model"]["encoder.mask"]
    torch.testing.assert_close(upstream.model.mask.detach(), mask)


def test_cut_off_and_continued_ends_the_same(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrain(config, tmp_path / "whole", 0, CPU)
    step = Pretrainer._step

    def until_three(self: Pretrainer, number: int, *rest: Any) -> None:
        if number == 3:
            raise KeyboardInterrupt
        step(self, number, *rest)

    def never(*_: Any) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pretrainer, "_step", until_three)
        pretrain(config, tmp_path / "cut", 0, CPU)
    with monkeypatch.context() as patch:
        patch.setattr(MultiScale, "fit", never)
        continued = pretrain(config, tmp_path / "cut", 0, CPU)
    models = [torch.load(path.with_name("training.pt"), weights_only=True)["model"] for path in (whole, continued)]
    for name, tensor in models[0].items():
        assert torch.equal(tensor, models[1][name]), name
    assert float(models[1]["scales.frame.regressions.parts.fbank.normalise.count"]) >= 10 * 20


def test_weights_scale_gradients_and_weight_0_leaves_a_scale_out(config: dict[str, Any], tmp_path: Path) -> None:
    """One step of plain gradients: Adam's first moment after it is a tenth of the gradient."""
    one_step = {**config, "train": {**config["train"], "steps": 1, "betas": [0.9, 0.999], "clip": 1e9}}

    def moments(weights: dict[str, float]) -> dict[str, torch.Tensor]:
        weights = {name: weights.get(name, 0.0) for name in SCALES}
        folder = tmp_path / "-".join(map(str, weights.values()))
        path = pretrain({**one_step, "balancer": {"name": "fixed", "weights": weights}}, folder, 0, CPU)
        mapping = build(MgfPretraining, {**one_step, "balancer": {"weights": weights}})
        names = [name for name, _ in build_objective(mapping, 0).named_parameters()]
        state = torch.load(path.with_name("training.pt"), weights_only=True)["optimizer"]["state"]
        assert {name.split(".")[1] for name in names if name.startswith("scales")} == {n for n in SCALES if weights[n]}
        return {names[number]: entry["exp_avg"] for number, entry in state.items() if "encoder" in names[number]}

    frame, sample = moments({"frame": 1.0}), moments({"sample": 1.0})
    both = moments({"frame": 3.0, "sample": 0.5})
    largest = max(float(tensor.abs().max()) for tensor in both.values())
    assert "encoder.convolutions.projection.weight" in both and "encoder.mask" not in both
    for name, tensor in both.items():
        torch.testing.assert_close(tensor, 3 * frame[name] + 0.5 * sample[name], rtol=1e-3, atol=1e-5 * largest)


def test_parts_start_from_their_own_seeds(config: dict[str, Any]) -> None:
    held = build_objective(build(MgfPretraining, config), 3).state_dict()
    less = {"balancer": {"weights": {"sample": 0, "frame": 0, "phoneme": 0}}}
    alone = build_objective(build(MgfPretraining, {**config, **less}), 3)
    assert list(alone.scales) == ["sentence"]
    assert all(torch.equal(tensor, held[name]) for name, tensor in alone.state_dict().items())
    other = build_objective(build(MgfPretraining, config), 4).state_dict()
    for name in ("encoder.mask", "scales.sentence.project.first.weight"):
        assert not torch.equal(other[name], held[name])


def test_a_folder_of_another_pretraining_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    config["train"]["steps"] = 1
    path = pretrain(config, tmp_path / "run", 0, CPU)
    before = path.with_name("training.pt").stat().st_mtime_ns
    assert pretrain(config, tmp_path / "run", 0, CPU) == path
    assert path.with_name("training.pt").stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match="with another config"):
        pretrain({**config, "mask_share": 0.5}, tmp_path / "run", 0, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "huge"}, "encoder is 'huge'; .*Known: base, small, tiny"),
        ({"balancer": {"weights": dict.fromkeys(SCALES, 0)}}, "every scale has weight 0; give one of sample, frame"),
        (
            {"balancer": {"weights": {"phone": 1}}},
            "unknown scale config.balancer.weights.phone; did you mean 'phoneme'",
        ),
        ({"scales": {"fram": {}}}, r"unknown key config\.scales\.fram; did you mean 'frame'"),
        ({"scales": {"frame": {"kind": "both"}}}, r"config\.scales\.frame\.kind is 'both'"),
        ({"stretch": 0.41}, r"stretch must be a multiple of 0\.02 seconds, found 0\.41"),
        ({"stretch": 0.08}, "stretch must be longer than mask_length, found 4 and 4 frames"),
        ({"stretch": 0.6}, r"speech\.shortest must be at least stretch = 0\.6 seconds .*, found 0\.5"),
        ({"mask_share": 1.5}, r"mask_share must be 0 to 1 and mask_length at least 1, found 1\.5, 4"),
        ({"sample": 0}, "sample must be at least 1 stretch, found 0"),
    ],
)
def test_bad_configurations(config: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain({**config, **change}, tmp_path / "run", 0, CPU)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("speech", {"batch": 1.5}, r"speech\.batch must hold two crops of 0\.8 seconds, found 1\.5"),
        ("speech", {"longest": 0.45}, r"at most longest = 0\.45, found 0\.5"),
        ("speech", {"held_out": 0.01}, "leaves 15 utterances to train on, 1 to validate on; two are needed of each"),
        ("train", {"weights": {"frame": 2.0}}, r"train\.weights must be empty: weights stand in balancer"),
        ("train", {"lr_of": {"encodr": 1.0}}, r"train\.lr_of names 'encodr', no parameter's; did you mean 'encoder'"),
    ],
)
def test_bad_speech_and_training(
    config: dict[str, Any], tmp_path: Path, part: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain({**config, part: {**config[part], **change}}, tmp_path / "run", 0, CPU)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["mgf_tiny", "mgf_base"])
def test_shipped_configurations_build(name: str) -> None:
    config = build(MgfPretraining, load_yaml(shipped_configs() / "pretrain" / f"{name}.yaml"))
    objective = build_objective(config, 0)
    assert tuple(objective.scales) == SCALES
    assert config.build_balancer(0).weights(1) == {"sample": 20.0, "frame": 1.0, "phoneme": 1.0, "sentence": 0.5}
    assert (config.frames.rate, config.mask_length) == ((320, 10) if name == "mgf_tiny" else (160, 20))
