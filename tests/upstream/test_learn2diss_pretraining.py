"""Learn2Diss pretraining end to end on a handful of files, through the command."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from s3prl_plugins.cli import main
from s3prl_plugins.config import build, load_yaml, merge
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask.config import shipped_configs
from s3prl_plugins.pretrain.trainer import Pretrainer
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint
from s3prl_plugins.upstream.hubert.checkpoint import write_checkpoint as write_hubert
from s3prl_plugins.upstream.learn2diss.checkpoint import load_checkpoint
from s3prl_plugins.upstream.learn2diss.config import Learn2DissPretraining
from s3prl_plugins.upstream.learn2diss.pretraining import pretrain

CPU = torch.device("cpu")
TRUNK = {
    "conv_feature_layers": repr([(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2]),
    "encoder_layers": 1, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 16, "encoder_attention_heads": 2, "conv_pos": 8,
    "conv_pos_groups": 2,
}  # fmt: skip
FRAME = {**TRUNK, "final_dim": 8}
TRAIN = {"steps": 4, "lr": 1e-3, "log_step": 1, "eval_step": 4, "save_step": 1}
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    random = np.random.default_rng(0)
    (tmp_path / "speech").mkdir()
    for number in range(20):
        time = np.arange(int(random.integers(9000, 14000))) / 16000
        wave = 0.2 * np.sin(2 * np.pi * (100 + 10 * number) * time) + 0.05 * random.standard_normal(len(time))
        soundfile.write(tmp_path / f"speech/{number}.wav", wave, 16000)
    write_hubert(tmp_path / "given.pt", random_checkpoint("tiny", 0, 5, FRAME), half=True)
    return {
        "size": "tiny", "distortions": {"noise": {"probability": 1.0}},
        "speech": {"folders": [str(tmp_path / "speech")], "shortest": 0.5, "longest": 0.8, "batch": 2.4, "held_out": 0.2},
        "frame": {"checkpoint": str(tmp_path / "given.pt")},
        "utterance": {"stretch": 0.3, "model": TRUNK, "rounds": [{"train": TRAIN}]},
        "joint": {"stretch": 0.3, "clusters": 6, "train": {**TRAIN, "weights": {"penalty": 0.1}}},
    }  # fmt: skip


def command(config: dict[str, Any], folder: Path) -> list[str]:
    folder.with_suffix(".yaml").write_text(yaml.safe_dump(config))
    return ["pretrain", "learn2diss", "-c", f"{folder}.yaml", "-p", str(folder), "--device", "cpu"]


def terms(folder: Path) -> set[str]:
    return {key.removeprefix("train/") for entry in read_metrics(folder) for key in entry if key.startswith("train/")}


def same(first: dict[str, Any] | None, second: dict[str, Any] | None, key: str) -> bool:
    assert first is not None
    assert second is not None
    return all(torch.equal(tensor, second[key][name]) for name, tensor in first[key].items())


def test_command_trains_every_stage_and_s3prl_takes_the_checkpoint(config: dict[str, Any], tmp_path: Path) -> None:
    config["half"] = True
    config["frame"] = {"hubert": {"model": FRAME, "iterations": [{"targets": "mfcc", "clusters": 5, "train": TRAIN}]}}
    config["utterance"]["rounds"].append({"clusters": 4, "weight": 0.5, "train": TRAIN})
    config["joint"] |= {"layer": 1, "sampled": True, "adversary": {"speaker": 0.1, "phone": 0.2, "speakers": 3}}
    run = tmp_path / "run"
    assert main(command(config, run)) == 0
    assert {"masked", "unmasked", "penalty"} <= terms(run / "frame/iteration1")
    assert {"contrast", "pair_acc"} <= terms(run / "utterance/round1")
    assert {"contrast", "speakers", "speakers_acc"} <= terms(run / "utterance/round2")
    assert {
        "masked",
        "contrast",
        "information",
        "mi",
        "q_likelihood",
        "speaker_adversary",
        "phone_adversary_acc",
    } <= terms(run / "joint")
    content = load_checkpoint(run / "learn2diss.pt")
    assert content.metadata["seed"] == 0
    assert content.metadata["config"]["joint"]["clusters"] == 6
    assert content.frame is not None
    assert content.frame["model_weight"]["label_embs_concat"].shape == (6, 8)
    assert content.frame["model_weight"]["final_proj.weight"].dtype == torch.float16

    import s3prl.hub as hub

    waves = [torch.randn(16000), torch.randn(8000)]
    given = hub.learn2diss_local(ckpt=str(run / "learn2diss.pt"))(waves)
    assert {state.shape for state in given["hidden_states"]} == {(2, 49, 16)}
    assert len(given["frame"]) == 2
    # Weights did move in the joint stage, those of both encoders.
    whole, before = load_checkpoint(run / "joint/learn2diss.pt"), load_checkpoint(run / "utterance/round2/utterance.pt")
    assert not same(before.utterance, whole.utterance, "weights")
    frame = torch.load(run / "frame/hubert.pt", weights_only=True)
    assert whole.frame is not None
    assert not torch.equal(frame["model_weight"]["mask_emb"], whole.frame["model_weight"]["mask_emb"])


@pytest.mark.parametrize("stage", ["round1", "joint"])
def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    config["joint"]["adversary"] = {"speaker": 0.1, "speakers": 3}
    whole = load_checkpoint(pretrain(config, tmp_path / "whole", 0, CPU))
    step = Pretrainer._step

    def until_three(self: Pretrainer, number: int, *rest: Any) -> None:
        if number == 3 and self.folder.name == stage:
            raise KeyboardInterrupt
        step(self, number, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pretrainer, "_step", until_three)
        pretrain(config, tmp_path / "cut", 0, CPU)
    continued = load_checkpoint(pretrain(config, tmp_path / "cut", 0, CPU))
    assert same(whole.frame, continued.frame, "model_weight")
    assert same(whole.utterance, continued.utterance, "weights")
    held, again = (
        torch.load(tmp_path / name / "joint/training.pt", weights_only=True)["model"] for name in ("whole", "cut")
    )
    for name, value in held.items():
        assert not isinstance(value, torch.Tensor) or torch.equal(value, again[name]), name
    assert int(again["passes"]) == 4


def test_beta_0_is_plain_masked_prediction(config: dict[str, Any], tmp_path: Path) -> None:
    """The frame encoder ends the same whatever the utterance encoder is taught, and otherwise with information."""
    config["joint"]["train"]["clip"] = 0.01

    def frame(name: str, **changes: Any) -> dict[str, Any] | None:
        changed = {**config, "joint": {**config["joint"], **changes}}
        return load_checkpoint(pretrain(changed, tmp_path / name, 0, CPU)).frame

    plain = frame("plain", beta=0.0, alpha=0.0)
    assert same(plain, frame("contrast", beta=0.0, alpha=2.0), "model_weight")
    matched, shuffled = (frame(pairs, beta=5.0, beta_warmup=0.0, pairs=pairs) for pairs in ("matched", "shuffled"))
    assert not same(plain, matched, "model_weight")
    assert not same(matched, shuffled, "model_weight")


def test_stages_are_given_by_files(config: dict[str, Any], tmp_path: Path) -> None:
    whole = pretrain(config, tmp_path / "run", 0, CPU)
    given = {
        **config,
        "frame": {"checkpoint": str(tmp_path / "run/learn2diss.pt")},
        "utterance": {"stretch": 0.3, "checkpoint": str(whole)},
        "joint": {**config["joint"], "train": {**TRAIN, "lr": 0.0}, "targets": str(tmp_path / "run/joint/targets.npz")},
    }
    again = load_checkpoint(pretrain(given, tmp_path / "again", 0, CPU))
    before = load_checkpoint(whole)
    assert not (tmp_path / "again/utterance").exists()
    assert not (tmp_path / "again/joint/targets.npz").exists()
    head = {"final_proj.weight", "final_proj.bias", "label_embs_concat"}
    assert before.frame is not None
    assert again.frame is not None
    for name, tensor in before.frame["model_weight"].items():
        assert torch.equal(tensor, again.frame["model_weight"][name]) == (name not in head), name
    assert before.utterance is not None
    assert again.utterance is not None
    for name, tensor in before.utterance["weights"].items():
        assert torch.equal(tensor, again.utterance["weights"][name]) or name.startswith("norm."), name


def test_a_folder_of_another_pretraining_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    path = pretrain(config, tmp_path / "run", 0, CPU)
    kept = (tmp_path / "run/joint/training.pt").stat().st_mtime_ns
    assert pretrain(config, tmp_path / "run", 0, CPU) == path
    assert (tmp_path / "run/joint/training.pt").stat().st_mtime_ns == kept
    with pytest.raises(CheckpointError, match="holds a pretraining with another seed; choose another folder"):
        pretrain(config, tmp_path / "run", 1, CPU)


WRONG_TRAIN = {**TRAIN, "weights": {"contrast": 2.0}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "huge"}, "size is 'huge'; .*Known: base, tiny"),
        ({"frame": {"hubert": {}}}, "config.frame: frame must have either checkpoint or hubert, found both"),
        ({"frame": {"checkpoint": None}}, "frame must have either checkpoint or hubert, found neither"),
        ({"frame": {"checkpoint": "none.pt"}}, r"none\.pt cannot be read .*; pass hubert_tiny, a HuBERT"),
        ({"frame": {"checkpoint": "hubert_tiny"}}, "must have one width, found frame 256, utterance 16"),
        (
            {"frame": {"checkpoint": None, "hubert": {"iterations": []}}},
            r"config\.frame\.hubert: iterations is empty; give at least one",
        ),
        ({"utterance": {"rounds": []}}, "utterance must have either checkpoint or rounds, found neither"),
        ({"utterance": {"checkpoint": "a.pt"}}, "utterance must have either checkpoint or rounds, found both"),
        ({"utterance": {"checkpoint": "a.pt", "rounds": []}}, r"a\.pt cannot be read"),
        ({"utterance": {"rounds": [{"clusters": 3, "train": TRAIN}]}}, r"rounds\[0\]\.clusters must be 0"),
        ({"utterance": {"rounds": [{"train": WRONG_TRAIN}]}}, r"train\.weights must be empty: contrast has weight 1"),
        ({"utterance": {"model": {"encoder_layer": 1}}}, "encoder_layer.*did you mean 'encoder_layers'"),
        ({"joint": {"train": WRONG_TRAIN}}, r"train\.weights\.contrast is none of masked, unmasked, penalty"),
        ({"joint": {"beta": -1.0}}, r"beta must not be negative, found -1\.0"),
        ({"joint": {"beta_warmup": 2.0}}, r"beta_warmup must be a share from 0 to 1, found 2\.0"),
        ({"joint": {"pairs": "mixed"}}, r"config\.joint\.pairs is 'mixed'; .*Known: matched, shuffled"),
        ({"joint": {"block": 20}}, r"stretch must give a block of 20 frames, found 0\.3 seconds"),
        ({"joint": {"adversary": {"speakers": 1}}}, "speakers must be at least 2, found 1"),
        ({"joint": {"stretch": 0.6}}, r"speech\.shortest must be at least the stretch of 0\.6 seconds, found 0\.5"),
        ({"speech": {"longest": 0.4}}, r"speech\.longest must be at least shortest = 0\.5, found 0\.4"),
        ({"speech": {"batch": 1.5}}, r"speech\.batch must hold two crops of 0\.8 seconds, found 1\.5"),
        ({"speech": {"held_out": 0.01}}, "leaves 19 utterances to train on, 1 to validate on; two are needed of each"),
        ({"distortions": {"nois": {}}}, "unknown distortion 'nois'; did you mean 'noise'"),
    ],
)
def test_bad_configurations(config: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, CheckpointError), match=message):
        pretrain(merge(config, change), tmp_path / "run", 0, CPU)
    assert not (tmp_path / "run").exists()


def test_targets_of_other_speech_or_clusters_are_refused(config: dict[str, Any], tmp_path: Path) -> None:
    pretrain(config, tmp_path / "run", 0, CPU)
    given = merge(config, {"joint": {"targets": str(tmp_path / "run/joint/targets.npz")}})
    with pytest.raises(
        CheckpointError, match=r"must have 5 clusters and \d+ frames of this speech, found 6 and \d+; pass"
    ):
        pretrain(merge(given, {"joint": {"clusters": 5}}), tmp_path / "other", 0, CPU)
    (tmp_path / "speech/3.wav").unlink()
    with pytest.raises(CheckpointError, match="frames of this speech, found"):
        pretrain(given, tmp_path / "other", 0, CPU)
    (tmp_path / "run/joint/targets.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(CheckpointError, match=r"cannot be read \(BadZipFile.*pass a targets\.npz of the joint stage"):
        pretrain(given, tmp_path / "other", 0, CPU)
    assert not (tmp_path / "other").exists()


def test_damaged_frame_checkpoints_are_named(config: dict[str, Any], tmp_path: Path) -> None:
    content = torch.load(tmp_path / "given.pt", weights_only=True)
    del content["model_weight"]["mask_emb"]
    torch.save(content, tmp_path / "given.pt")
    with pytest.raises(CheckpointError, match=r"cannot be used \(RuntimeError.*mask_emb.*pass hubert_tiny, a HuBERT"):
        pretrain(config, tmp_path / "run", 0, CPU)


@pytest.mark.parametrize("name", ["learn2diss_tiny", "learn2diss_base"])
def test_shipped_configurations_build(name: str) -> None:
    config = build(Learn2DissPretraining, load_yaml(shipped_configs() / "pretrain" / f"{name}.yaml"))
    assert config.joint.beta == 0.01
    assert config.size in name
