"""What the two readers refuse, and why; and what they must let through."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hostile_files import BOMBS, PICKLES

from s3prl_plugins.convert.inert import Inert, read_inert
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.untrusted import load_plain

REASONS = {
    "an archive that unpacks beyond its size": r"it unpacks to 4,0\d\d,\d\d\d bytes, more than the 4,\d\d\d it has",
    "a tensor of 10^12 elements, one stored": r"a tensor of shape \(1000000, 1000000\) has fewer elements stored",
    "a container that holds itself": "it holds itself",
    "10^30 objects by reference": "it repeats its parts to more than 10,000,000 objects",
    "150 containers within each other": "it nests more than 100 containers",
    "nothing": ".+",
    "the first half of an archive": ".+",
    "a string of 2^62 bytes": ".+",
}


@pytest.mark.parametrize("kind", REASONS)
def test_why_a_checkpoint_is_refused(kind: str, tmp_path: Path) -> None:
    BOMBS[kind](tmp_path / "hostile.pt", tmp_path / "canary")
    with pytest.raises(CheckpointError, match=rf"hostile\.pt cannot be read \({REASONS[kind]}\); use another"):
        load_plain(tmp_path / "hostile.pt", "use another")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("a call", r"it names (posix|nt)\.system"),
        ("a call in the legacy format", r"it names (posix|nt)\.system"),
        ("protocol 5 in an archive", r"it names (posix|nt)\.system"),
        ("eval", r"it names __builtin__\.eval"),
        ("another checkpoint, unsafely", r"it names torch\.serialization\.load"),
        ("a method by getattr", r"it calls the result of __builtin__\.getattr"),
        ("BUILD on a function", "it changes a function"),
        ("a TorchScript program", "it (is a TorchScript program|unpacks to)"),  # torch compresses its debug records
        ("a tar", "it is a tar archive"),
        ("an archive that unpacks beyond its size", "it unpacks to"),
        ("a tensor of 10^12 elements, one stored", r"a tensor of shape \(1000000, 1000000\)"),
    ],
)
def test_why_the_reader_of_toolkits_refuses(kind: str, reason: str, tmp_path: Path) -> None:
    {**PICKLES, **BOMBS}[kind](tmp_path / "hostile.pt", tmp_path / "canary")
    with pytest.raises(CheckpointError, match=rf"without executing code \({reason}.*--trust-checkpoint if you know"):
        read_inert(tmp_path / "hostile.pt")
    assert not (tmp_path / "canary").exists()


def test_what_is_no_attack_is_read(tmp_path: Path) -> None:
    shared = [torch.arange(6.0)]
    content = {
        "Args": argparse.Namespace(seed=1), "slice": torch.arange(6.0)[2:4], "transposed": torch.zeros(2, 3).T,
        "shared": [shared] * 50, "empty": torch.zeros(0, 3), "scalar": torch.tensor(1), "none": None,
        "sparse": torch.eye(3).to_sparse(), "ordered": OrderedDict(a=(1, 2.0, "x")), "set": {1, 2},
    }  # fmt: skip
    torch.save(content, tmp_path / "good.pt")
    found = load_plain(tmp_path / "good.pt", "use another")
    assert found["Args"] == content["Args"] and found["ordered"] == content["ordered"] and found["set"] == {1, 2}
    for name in ("slice", "transposed", "empty", "scalar"):
        assert torch.equal(found[name], content[name])
    assert torch.equal(found["sparse"].to_dense(), torch.eye(3))
    del content["sparse"]
    torch.save(content, tmp_path / "good.pt")
    inert = read_inert(tmp_path / "good.pt")
    assert isinstance(inert["Args"], Inert) and inert["Args"].state == {"seed": 1}
    for name in ("slice", "transposed", "empty", "scalar"):
        assert torch.equal(inert[name], content[name])
