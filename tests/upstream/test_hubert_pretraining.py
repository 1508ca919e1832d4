"""HuBERT pretraining end to end on a handful of files, through the command."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from s3prl_plugins.cli import main
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.upstream.hubert.pretraining import pretrain

CPU = torch.device("cpu")
TRAIN = {"steps": 3, "lr": 1e-3, "log_step": 1, "eval_step": 3, "save_step": 1, "weights": {"penalty": 0.1}}
SMALL = {
    "conv_feature_layers": "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
    "encoder_layers": 2, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 16, "final_dim": 8, "conv_pos": 8,
    "conv_pos_groups": 2,
}  # fmt: skip


@pytest.fixture
def config(tiny_corpus: Path) -> dict[str, object]:
    return {
        "size": "tiny", "model": SMALL,
        "speech": {"folders": [str(tiny_corpus / "LibriSpeech/dev-clean")], "batch": 8.0, "held_out": 0.2},
        "iterations": [
            {"targets": "mfcc", "clusters": 12, "train": TRAIN},
            {"targets": "states", "layer": 1, "clusters": 9, "start": "previous", "train": TRAIN},
        ],
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_command_pretrains_continues_and_s3prl_loads_it(config: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    command = ["pretrain", "hubert", "-c", str(tmp_path / "c.yaml"), "-p", str(tmp_path / "run"), "--device", "cpu"]
    assert main(command) == 0
    run = tmp_path / "run"
    content = torch.load(run / "hubert.pt", weights_only=True)
    assert len(content["dictionaries_symbols"][0]) == 9
    first = torch.load(run / "iteration1/hubert.pt", weights_only=True)
    assert len(first["dictionaries_symbols"][0]) == 12
    assert [entry["step"] for entry in read_metrics(run / "iteration2") if "train/masked" in entry] == [1, 2, 3]

    import s3prl.hub as hub

    states = hub.hubert_local(ckpt=str(run / "hubert.pt"))([torch.zeros(16000)])["hidden_states"]
    assert [tuple(state.shape) for state in states] == [(1, 49, 16)] * 3

    # What is missing is made again, from what is there; what is there stays.
    shutil.rmtree(run / "iteration2")
    kept = (run / "iteration1/hubert.pt").stat().st_mtime_ns
    assert main(command) == 0
    assert (run / "iteration1/hubert.pt").stat().st_mtime_ns == kept
    again = torch.load(run / "hubert.pt", weights_only=True)["model_weight"]
    for name, tensor in content["model_weight"].items():
        assert torch.equal(tensor, again[name]), name


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_previous_starts_from_the_iteration_before(config: dict[str, object], tmp_path: Path) -> None:
    frozen = {**TRAIN, "lr": 0.0}
    iterations = [{**one, "train": frozen} for one in config["iterations"]]  # type: ignore[attr-defined]
    pretrain({**config, "iterations": iterations}, tmp_path / "run", 0, CPU)
    first, last = (torch.load(tmp_path / "run" / f"iteration{n}/hubert.pt", weights_only=True) for n in (1, 2))
    same = {k for k, v in first["model_weight"].items() if torch.equal(v, last["model_weight"].get(k, torch.empty(0)))}
    assert {k for k in first["model_weight"] if k.startswith("encoder.")} <= same
    assert "label_embs_concat" not in same


def test_a_folder_of_another_pretraining_is_refused(config: dict[str, object], tmp_path: Path) -> None:
    first, _ = config["iterations"]  # type: ignore[misc]
    one = {**config, "iterations": [first]}
    pretrain(one, tmp_path / "run", 0, CPU)
    with pytest.raises(CheckpointError, match="holds a pretraining with another seed; choose another folder"):
        pretrain(one, tmp_path / "run", 1, CPU)
    with pytest.raises(CheckpointError, match="with another config"):
        pretrain({**one, "mask_share": 0.5}, tmp_path / "run", 0, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "huge"}, "size is 'huge'; known: tiny, base"),
        ({"iterations": []}, "iterations is empty"),
        ({"iterations": [{"targets": "states", "train": TRAIN}]}, r"iterations\[0\] must cluster mfcc"),
        ({"model": {"encoder_layer": 2}}, r"unknown key model\.encoder_layer; did you mean 'encoder_layers'"),
    ],
)
def test_bad_configurations(config: dict[str, object], tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain({**config, **change}, tmp_path / "run", 0, CPU)


def test_unknown_names_and_missing_speech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "hubret", "-c", "hubert_tiny", "-p", str(tmp_path / "run")]) == 2
    assert "unknown pretraining 'hubret'; did you mean 'hubert'" in capsys.readouterr().err
    assert main(["pretrain", "hubert", "-c", "hubert_tiny", "-p", str(tmp_path / "run"), "--speech", "none"]) == 2
    assert "none must be a folder with .wav or .flac files" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
