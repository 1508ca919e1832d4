"""Every kind of checkpoint that is loaded, against every kind of hostile file: no effect, and one line that names it."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_files import BOMBS, PICKLES

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.errors import CheckpointError, UserError
from s3prl_plugins.inference.loading import read as load
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.init_heads import read_head
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.upstream import build_upstream


def _upstream(name: str) -> Callable[[Path], Any]:
    return lambda path: build_upstream(stock_args(upstream=name, upstream_ckpt=str(path)))


def _entry(name: str) -> Callable[[Path], Any]:
    def build(path: Path) -> Any:
        from s3prl import hub

        return getattr(hub, name)(ckpt=str(path))

    return build


def _run_folder(path: Path) -> Any:
    """The file as the tensors of a run, with its true checksum."""
    folder = path.parent / "run"
    (folder / "checkpoints/1").mkdir(parents=True)
    path = path.rename(folder / "checkpoints/1/model.pt")
    state = {"Args": argparse.Namespace(seed=0), "Config": {}, "Step": 1}
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    torch.save({**state, "Checksums": {"model.pt": checksum}}, folder / "states-1.ckpt")
    return load(folder)


def _convert(path: Path) -> Any:
    from s3prl_plugins.convert.fairseq import convert_fairseq

    return convert_fairseq(path, path.with_suffix(".out"))


def _export(path: Path) -> Any:
    from s3prl_plugins.convert.sources import hubert_content

    return hubert_content(path)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "states of a joint run": checkpoints.read,
    "tensors of a joint run": _run_folder,
    "a model for predict": load,
    "a head to start from, ours or stock": lambda path: read_head(path, "ks"),
    "a converted HuBERT for s3prl's own expert": _upstream("hubert_local"),
    "mtl_hubert_local": _entry("mtl_hubert_local"),
    "pase_multitask_local": _entry("pase_multitask_local"),
    "mgf_local": _entry("mgf_local"),
    "learn2diss_local": _entry("learn2diss_local"),
    "convert fairseq": _convert,
    "convert export": _export,
}


S3PRLS_OWN = "a converted HuBERT for s3prl's own expert"
"""Its reader executes nothing, but takes no care of memory."""
CASES = [(loader, kind) for loader in LOADERS for kind in ({**PICKLES, **BOMBS} if loader != S3PRLS_OWN else PICKLES)]


@pytest.mark.parametrize(("loader", "kind"), CASES)
def test_a_hostile_file_has_no_effect(loader: str, kind: str, tmp_path: Path) -> None:
    path, canary = tmp_path / "hostile.pt", tmp_path / "canary"
    {**PICKLES, **BOMBS}[kind](path, canary)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError) as error:
        LOADERS[loader](path)
    said = str(error.value)
    assert "\n" not in said and len(said) < 700
    assert "hostile.pt" in said or "run" in said
    assert not canary.exists()
    if loader != "tensors of a joint run":
        assert sorted(tmp_path.iterdir()) == before


def test_the_payload_works_where_it_is_let_in(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    path, canary = tmp_path / "hostile.pt", tmp_path / "canary"
    for kind in ("a call", "a call in the legacy format", "protocol 0 in an archive", "eval"):
        PICKLES[kind](path, canary)
        torch.load(path, weights_only=False)
        assert canary.exists(), kind
        canary.unlink()


PATHS: dict[str, dict[str, Any]] = {
    "a step that leads out": {"Step": "../../elsewhere"},
    "a tensor file that leads out": {"Checksums": {"../../../secret.pt": ""}},
    "an absolute tensor file": {"Checksums": {"/etc/passwd": ""}},
    "a number for a tensor file": {"Checksums": {3: ""}},
    "no arguments": {"Args": 3},
    "no configuration": {"Config": ["tasks"]},
}


@pytest.mark.parametrize("case", PATHS)
def test_names_in_states_stay_in_their_folder(case: str, tmp_path: Path) -> None:
    state = {"Args": argparse.Namespace(seed=0), "Config": {}, "Step": 1, "Checksums": {}}
    torch.save({**state, **PATHS[case]}, tmp_path / "states-1.ckpt")
    with pytest.raises(CheckpointError, match="was not written by a joint run"):
        checkpoints.read(tmp_path / "states-1.ckpt")
