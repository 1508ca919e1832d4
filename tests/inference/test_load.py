"""Models from runs and from exported files: the same answers, no corpus, no code executed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import s3prl_plugins
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.inference.loading import read
from s3prl_plugins.inference.model import Model
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint
from s3prl_plugins.upstream.mtl_hubert.hubconf import SUPERB_TINY, TINY

TASKS = ("ks", "sd", "asv", "pr")


def train(corpus: Path, place: Path, tasks: tuple[str, ...], trainable: bool, upstream: str) -> Path:
    """Two steps; the checkpoint it started from is gone afterwards, and so is its corpus for all that it knows."""
    start = place / "start.pt"
    write_checkpoint(start, random_checkpoint("tiny", 0))
    runner = {
        "total_steps": 2, "warmup_steps": 0, "log_step": 1, "save_step": 2, "eval_step": 0, "eval_at_start": False,
    }  # fmt: skip
    encoder = {"padding": "none", "conv_grad_mult": 1.0 if trainable else None, "store": "none"}
    change = {"corpus_root": str(corpus), "tasks": list(tasks), "runner": runner, "encoder": encoder}
    args = stock_args(
        expdir=str(place / "run"), device="cpu", seed=5, upstream=upstream, upstream_trainable=trainable,
        upstream_ckpt=str(start) if upstream.endswith("_local") else None,
    )  # fmt: skip
    Experiment(args, merge(load_yaml(find_config("all_task_mini")), change)).train()
    start.unlink()
    return (place / "run").rename(place / "moved")


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny_corpus, tmp_path_factory.mktemp("load"), TASKS, True, "hubert_local")


@pytest.fixture(scope="module")
def recording(tiny_corpus: Path) -> str:
    return str(min((tiny_corpus / "SNIPS").rglob("*.wav")))


def test_a_run_and_its_exported_file_say_the_same(
    finished: Path, tiny_corpus: Path, recording: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "model.pt"
    words = ["export", str(finished), "-o", str(target), "--with-heads", "--corpus-root", str(tiny_corpus)]
    assert main(words) == 0
    assert "model.md" in capsys.readouterr().out
    folder = str(tmp_path / "folder")
    assert main(["export", str(finished), "--to-folder", folder, "--corpus-root", str(tiny_corpus)]) == 0
    places = (finished, finished / "states-2.ckpt", target, folder)
    models = [s3prl_plugins.load(place, "cpu") for place in places]
    assert all(model.tasks == TASKS for model in models)
    assert models[2].calibration["sd"].keys() == {"threshold", "median"}
    assert models[2].calibration["asv"].keys() == {"threshold"} and models[0].calibration == {}
    tasks = ["ks", "asv", "pr"]
    answers = [model(recording, tasks) for model in models]
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert models[2].calibration == models[3].calibration and models[2](recording, ["sd"]) == models[3](
        recording, ["sd"]
    )
    assert models[0].verify(recording, recording).same is None
    card = target.with_suffix(".md").read_text()
    assert "only knows synthetic speech" in card and all(f"| {task} |" in card for task in TASKS)
    assert s3prl_plugins.__path__[0] not in card and str(tmp_path) not in card
    again = [*words[:3], str(tmp_path / "half.pt"), "--with-heads", "--half", "--corpus-root", str(tmp_path)]
    assert main(again) == 2 and not (tmp_path / "half.pt").exists()
    assert "does not exist" in (err := capsys.readouterr().err) or "missing" in err


def test_a_single_task_on_a_frozen_encoder_of_the_hub_answers(
    tiny_corpus: Path, recording: str, tmp_path: Path
) -> None:
    run = train(tiny_corpus, tmp_path, ("sid",), False, "mtl_hubert_tiny")
    answers = s3prl_plugins.load(run, "cpu")(recording)
    saved = checkpoints.load_tensors(checkpoints.newest_whole(run)[0], "model")
    assert answers.sid is not None and answers.sid.label in saved["labels"]["sid"]["speaker"]
    assert answers.asr is None and answers.as_dict().keys() == {"name", "seconds", "sid"}
    with pytest.raises(CheckpointError, match="heads on the frozen upstream"):
        s3prl_plugins.inference.exporting.export_model(run, tmp_path / "x.pt")


def test_the_shipped_model_is_the_shipped_encoder_with_nine_heads(superb_tiny: Model) -> None:
    assert SUPERB_TINY.stat().st_size <= 24e6 and SUPERB_TINY.with_suffix(".md").is_file()
    assert superb_tiny.tasks == FINETUNED_TASKS
    encoder, whole = (torch.load(path, weights_only=True) for path in (TINY, SUPERB_TINY))
    assert encoder["mtl"] == whole["mtl"] and encoder["model_cfg"] == whole["model_cfg"]
    assert encoder["model_weight"].keys() == whole["model_weight"].keys()
    assert all(torch.equal(value, whole["model_weight"][name]) for name, value in encoder["model_weight"].items())
    assert all(value.dtype in (torch.float16, torch.int64) for value in whole["answers"]["heads"].values())
    assert all(value.dtype == torch.float32 for value in superb_tiny.joint.state_dict().values())


def test_the_file_is_an_upstream_too(superb_tiny: Model) -> None:
    from s3prl import hub

    wave = torch.randn(9000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        [states] = superb_tiny.joint.trunk([wave])
        for name in ("mtl_hubert_local", "hubert_local"):
            found = getattr(hub, name)(ckpt=str(SUPERB_TINY)).eval()([wave])["hidden_states"]
            assert torch.equal(torch.stack(list(found)), torch.stack(list(states.layers)))


def test_what_is_no_model_is_named(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found an encoder without heads"):
        read(TINY)
    torch.save({"Downstream": {}, "Args": {}}, tmp_path / "stock.ckpt")
    with pytest.raises(CheckpointError, match="must hold Downstream, Args and Config as s3prl's runner"):
        read(tmp_path / "stock.ckpt")
    content = torch.load(SUPERB_TINY, weights_only=True)
    shapes = {**content["model_cfg"], "conv_feature_layers": "__import__('os').abort()"}
    torch.save({**content, "model_cfg": shapes}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="conv_feature_layers must be a plain list"):
        s3prl_plugins.load(tmp_path / "evil.pt", "cpu")
    torch.save({**content, "answers": {**content["answers"], "format": 9}}, tmp_path / "new.pt")
    with pytest.raises(CheckpointError, match="has format 9, this version reads 1; export it anew"):
        read(tmp_path / "new.pt")
    damaged = tmp_path / "damaged"
    shutil.copytree(finished, damaged)
    (damaged / "checkpoints" / "2" / "model.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="does not match its checksum"):
        read(damaged / "states-2.ckpt")


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, s3prl_plugins; assert 'torch' not in sys.modules; assert callable(s3prl_plugins.load)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=300)
