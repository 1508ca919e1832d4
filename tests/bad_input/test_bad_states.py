# ruff: noqa: E501 (one line for each entry of a table)
"""Files of tensors and arrays: a damaged one is as good as before, refused in one line, or stepped over with a message."""

from __future__ import annotations

import contextlib
import io
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damages import BINARY, bounded, fault, restored

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.features.contents import holdings
from s3prl_plugins.features.identity import Utterance
from s3prl_plugins.features.store import FeatureStore
from s3prl_plugins.inference.exporting import export_folder
from s3prl_plugins.inference.loading import read
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.pretrain.clusters import Targets
from s3prl_plugins.pretrain.pseudo_speakers import PseudoSpeakers
from s3prl_plugins.pretrain.states import load_state, save_state
from s3prl_plugins.upstream.mtl_hubert.hubconf import SUPERB_TINY

WIDE = torch.arange(3000.0)


def joint(folder: Path, steps: tuple[int, ...] = (1,)) -> None:
    for step in steps:
        tensors = {"model": {"heads": {"w": WIDE * step}}, "training": {"lr": 0.1}}
        checkpoints.save(folder, step, {"seed": 1}, {"size": "mini", "words": ["x"] * 99}, tensors, keep=2)


def continued(place: Path) -> Any:
    """As a joint run does when it goes on."""
    found, _ = checkpoints.newest_whole(place)
    return found.step, found.config, checkpoints.load_tensors(found, "model")["heads"]["w"].tolist()


def model(path: Path) -> Any:
    found = read(path)
    return {name: value.tolist() for name, value in {**found.heads, **found.featurizers}.items()}, found.calibration


def exported(folder: Path) -> None:
    export_folder("superb_tiny", folder / "model")


@dataclass(frozen=True)
class Case:
    """A file, what writes it whole, and what reads it."""

    name: str
    make: Callable[[Path], object]
    """Takes the folder."""
    read: Callable[[Path], Any]
    """Takes the file."""
    owed: Mapping[str, str] = field(default_factory=dict)
    """Damage -> what is owed where that is not what the table says."""


# Nothing is where a state was: a run begins anew.
NONE_YET = dict.fromkeys(("missing", "a link to nothing", "a link to itself", "a link to an empty device"), "either")  # fmt: skip
CASES = {
    "states of a joint run": Case("states-1.ckpt", joint, lambda path: continued(path.parent)),
    "one state, named": Case("states-1.ckpt", joint, continued),
    "tensors of a joint run": Case("checkpoints/1/model.pt", joint, lambda path: continued(path.parents[2]), {"twice": "refused"}),
    "state of a pretraining": Case(
        "training.pt", lambda folder: save_state(folder, {"step": 1, "w": WIDE}),
        lambda path: (load_state(path.parent) or {}).get("w", torch.zeros(0)).tolist(), NONE_YET,
    ),
    "targets": Case(
        "targets.npz", lambda folder: Targets(np.arange(900) % 5, np.array([0, 400, 900]), 5).save(folder / "targets.npz"),
        lambda path: [Targets.load(path).utterance(index).tolist() for index in range(2)],
    ),
    "pseudo-speakers": Case(
        "speakers.npz", lambda folder: PseudoSpeakers(np.arange(900) % 5, 5).save(folder / "speakers.npz"),
        lambda path: (PseudoSpeakers.load(path).labels.tolist(), PseudoSpeakers.load(path).clusters),
    ),
    "a model's file": Case("model.pt", lambda folder: shutil.copy(SUPERB_TINY, folder / "model.pt"), model),
    "weights of a model's folder": Case("model/model.safetensors", exported, lambda path: model(path.parent)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_damages(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    folder = tmp_path / "a b" / "für"
    folder.mkdir(parents=True)
    case.make(folder)
    path = folder / case.name
    expected, faults = case.read(path), []
    for kind, (damage, owed) in BINARY.items():
        with restored(path):
            damage(path)
            names = [path.name, path.parent.name]
            said = fault(case.owed.get(kind, owed), names, lambda: case.read(path), expected)
            for moved in path.parent.glob(".moved-*"):
                moved.unlink()
        if said:
            faults.append(f"{kind}: {said}")
    assert not faults, f"{len(faults)} of {len(BINARY)}\n" + "\n".join(faults)
    assert case.read(path) == expected


def two_states(folder: Path) -> None:
    for step in (1, 2):
        save_state(folder, {"step": step, "w": WIDE * step})


def gone_back(folder: Path) -> tuple[int, str]:
    """The step a joint run goes on from, and what it says."""
    found, passed = checkpoints.newest_whole(folder)
    assert torch.equal(checkpoints.load_tensors(found, "model")["heads"]["w"], WIDE * found.step)
    return found.step, " ".join(passed)


def pretraining_gone_back(folder: Path) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        state = load_state(folder)
    assert state is not None and torch.equal(state["w"], WIDE * state["step"])
    return state["step"], said.getvalue()


OLDER: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], tuple[int, str]]]] = {
    "states of a joint run": ("states-2.ckpt", lambda folder: joint(folder, (1, 2)), gone_back),
    "tensors of a joint run": ("checkpoints/2/model.pt", lambda folder: joint(folder, (1, 2)), gone_back),
    "state of a pretraining": ("training.pt", two_states, pretraining_gone_back),
}


@pytest.mark.parametrize("what", OLDER)
def test_with_an_older_one_it_is_stepped_over(what: str, tmp_path: Path) -> None:
    name, make, read_back = OLDER[what]
    faults = []
    for number, (kind, (damage, owed)) in enumerate(BINARY.items()):
        if name == "training.pt" and kind == "a folder in its place":
            continue  # refused, as above
        folder = tmp_path / f"{number} \u00fc"
        folder.mkdir()
        make(folder)
        path = folder / name
        damage(path)
        with bounded():
            step, said = read_back(folder)
        # One that is missing, or was never a file, was not there.
        silent = name == "training.pt" and kind in NONE_YET
        back = step == 1 and (path.name in said or (silent or kind == "missing"))
        if not {"same": step == 2 and not said, "refused": back}.get(owed, back or step == 2):
            faults.append(f"{kind}: step {step}, said {said}")
    assert not faults, "\n".join(faults)


# A line without its end is being written by another process.
NO_LINE = ("empty", "first byte", "first half", "last byte gone", "zeros", "a block of zeros", "a link to an empty device",
           "an empty archive", "an archive of something else")  # fmt: skip


@pytest.mark.parametrize("file", ["*.bin", "*.idx"])
def test_a_feature_store_computes_again(file: str, tmp_path: Path) -> None:
    audio, layers = tmp_path / "a.wav", list(torch.randn(3, 400, 5, generator=torch.Generator().manual_seed(0)))
    audio.write_bytes(b"sound")
    faults = []
    for number, (kind, (damage, owed)) in enumerate(BINARY.items()):
        root = tmp_path / f"{number} \u00fc"
        with FeatureStore(root, "0123456789abcdef" * 4, "float16") as store:
            assert store.put(Utterance(audio), layers)
            whole = store.get(Utterance(audio))
        (path,) = store.folder.glob(file)
        damage(path)
        with warnings.catch_warnings(record=True) as caught, bounded():
            warnings.simplefilter("always")
            with FeatureStore(root, "0123456789abcdef" * 4, "float16") as store:
                found = store.get(Utterance(audio))
                useless = " ".join(
                    reason for holding in holdings(root, check=True) for reason in holding.useless.values()
                )
        said = " ".join(str(warning.message) for warning in caught)
        same = found is not None and whole is not None and torch.equal(found, whole)
        silent = kind == "missing" or (file == "*.idx" and kind in NO_LINE)
        again = found is None and ((path.stem in said and path.stem in useless) or silent)
        if not {"same": same, "refused": again}.get(owed, again or same):
            faults.append(f"{kind}: {same=}, {said=}, {useless=}")
    assert not faults, "\n".join(faults)
