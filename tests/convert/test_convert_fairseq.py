"""fairseq's checkpoints become files that s3prl's hub loads, and nothing in them is executed."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq_files import MODEL, fairseq_installed, model_of, state_of, write_fairseq

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.convert.fairseq import FAMILIES, convert_fairseq
from s3prl_plugins.convert.inert import read_inert
from s3prl_plugins.errors import CheckpointError


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", ["omegaconf", "plain", "args"])
@pytest.mark.parametrize("family", FAMILIES)
def test_s3prls_hub_loads_the_same_model(family: str, form: str, zipped: bool, tmp_path: Path) -> None:
    import s3prl.hub as hub

    model = write_fairseq(tmp_path / "theirs.pt", family, form, zipped)
    assert "fairseq" not in sys.modules
    done = convert_fairseq(tmp_path / "theirs.pt", tmp_path / "ours.pt")
    assert (done.family, done.layers, done.dim) == (family, 2, 24)
    upstream = getattr(hub, FAMILIES[family])(ckpt=str(tmp_path / "ours.pt")).eval()
    loaded = upstream.model.state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())
    wave = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        expected = model.extract_features(wave[None], padding_mask=torch.zeros(1, 4000, dtype=torch.bool))
        found = upstream([wave])["hidden_states"][-1]
    assert torch.equal(found, expected[0] if family == "hubert" else expected["x"])


def test_the_file_holds_what_s3prl_knows(tmp_path: Path) -> None:
    write_fairseq(tmp_path / "theirs.pt", "hubert")
    convert_fairseq(tmp_path / "theirs.pt", tmp_path / "ours.pt")
    content = torch.load(tmp_path / "ours.pt", weights_only=True)
    assert content["model_cfg"] == {**MODEL, "label_rate": 50.0, "extractor_mode": "default"}
    assert content["task_cfg"] == {"sample_rate": 16000, "normalize": False, "label_rate": 50.0}
    assert content["dictionaries_symbols"] == [["a", "b", "c"], ["d"]]


def test_real_omegaconf(tmp_path: Path) -> None:
    omegaconf = pytest.importorskip("omegaconf")
    state = state_of("hubert", "plain", model_of("hubert"))
    state["cfg"]["model"]["extractor_mode"] = "default"
    state["cfg"] = omegaconf.OmegaConf.create(state["cfg"])
    with fairseq_installed(only="fairseq"):
        torch.save(state, tmp_path / "theirs.pt")
    convert_fairseq(tmp_path / "theirs.pt", tmp_path / "ours.pt")
    content = torch.load(tmp_path / "ours.pt", weights_only=True)
    assert content["model_cfg"] == {**MODEL, "label_rate": 50.0, "extractor_mode": "default"}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, ours = tmp_path / "theirs.pt", tmp_path / "ours.pt"
    write_fairseq(theirs, "hubert")
    assert main(["convert", "fairseq", str(theirs), "-o", str(ours)]) == 0
    assert f"hubert, 2 layers of 24; load it with -u hubert_local -k {ours}" in capsys.readouterr().out
    assert main(["convert", "fairseq", str(theirs), "-o", str(ours)]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert main(["convert", "fairseq", "none.pt", "-o", str(ours)]) == 2
    assert "no file 'none.pt'" in capsys.readouterr().err


class Payload:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


def test_nothing_is_executed_unless_it_is_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canary, theirs, ours = tmp_path / "canary", tmp_path / "theirs.pt", tmp_path / "ours.pt"
    state = state_of("wav2vec2", "plain", model_of("wav2vec2"))
    state["cfg"]["model"]["extractor_mode"] = "default"

    payloads = {open: (str(canary), "w"), Path.touch: (canary,)}
    for function, said in {open: "it names io.open", Path.touch: "it calls the result of __builtin__.getattr"}.items():
        torch.save({**state, "extra_state": Payload(function, payloads[function])}, theirs)
        assert main(["convert", "fairseq", str(theirs), "-o", str(ours)]) == 2
        error = capsys.readouterr().err
        assert said in error and "--trust-checkpoint" in error and error.count("\n") == 1
        assert not canary.exists() and not ours.exists()


def test_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "theirs.pt"
    state = state_of("wav2vec2", "args", model_of("wav2vec2"))
    state["args"].extractor_mode = "default"
    torch.save({**state, "extra_state": complex}, theirs)
    command = ["convert", "fairseq", str(theirs), "-o", str(tmp_path / "ours.pt"), "--trust-checkpoint"]
    assert main(command) == 0
    assert "warning: --trust-checkpoint executes whatever" in capsys.readouterr().err
    write_fairseq(tmp_path / "needs.pt", "hubert")
    command = ["convert", "fairseq", str(tmp_path / "needs.pt"), "-o", str(tmp_path / "o.pt"), "--trust-checkpoint"]
    assert main(command) == 2
    assert "install what it names" in capsys.readouterr().err


BAD: dict[str, tuple[Any, str]] = {
    "no model": ({"cfg": {}}, "holds no 'model'"),
    "no configuration": ({"model": {}}, "neither 'cfg' nor 'args'"),
    "another architecture": ({"model": {}, "cfg": {"model": {"_name": "wav2vec_ctc"}}}, "it is a wav2vec_ctc, not one"),
    "code for convolutions": (
        {"model": {}, "cfg": {"model": {"_name": "hubert", "conv_feature_layers": "__import__('os').getpid()"}}},
        "must be a plain list of tuples",
    ),
    "weights that are none": ({"model": {"a": 1}, "cfg": {"model": {"_name": "hubert"}}}, "model.a is no tensor"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_content(case: str, tmp_path: Path) -> None:
    content, said = BAD[case]
    torch.save(content, tmp_path / "theirs.pt")
    with pytest.raises(CheckpointError, match="cannot be converted") as error:
        convert_fairseq(tmp_path / "theirs.pt", tmp_path / "ours.pt")
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "ours.pt").exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("encoder_layers", 10**9, "encoder_layers is 1000000000, its weights are of 2"),
        ("final_dim", 10**9, "final_proj.bias has shape (12,), s3prl's model (1000000000,)"),
        ("dropout", "x", "dropout is 'x', not a number"),
    ],
)
def test_sizes_that_are_not_those_of_the_weights(name: str, value: Any, said: str, tmp_path: Path) -> None:
    state = state_of("hubert", "plain", model_of("hubert"))
    state["cfg"]["model"] |= {"extractor_mode": "default", name: value}
    state["task_state"] = {"dictionaries": [["a", "b", "c"], ["d"]]}
    torch.save(state, tmp_path / "theirs.pt")
    with pytest.raises(CheckpointError) as error:
        convert_fairseq(tmp_path / "theirs.pt", tmp_path / "ours.pt")
    assert said in str(error.value)


def test_an_object_keeps_what_it_was_made_of(tmp_path: Path) -> None:
    write_fairseq(tmp_path / "theirs.pt", "hubert")
    content = read_inert(tmp_path / "theirs.pt")
    assert content["cfg"].origin == "omegaconf.dictconfig.DictConfig"
    assert content["task_state"]["dictionaries"][0].state["symbols"] == ["a", "b", "c"]
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(content["cfg"])
