"""Files made to harm whoever loads them: name -> function that writes one."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Write = Callable[[Path, Path], None]
"""(file to write, canary that its payload makes)."""


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def touch(canary: Path) -> Payload:
    return Payload(os.system, f"touch {canary}")


def _saved(make: Callable[[Path], Any], **options: Any) -> Write:
    return lambda path, canary: torch.save(make(canary), path, **options)


def _raw(data: Callable[[Path], bytes]) -> Write:
    """A file that is a pickle and no more."""
    return lambda path, canary: path.write_bytes(data(canary)) and None


def _repacked(path: Path, content: Any, **changed: bytes) -> None:
    """What `torch.save` writes, with entries of the archive replaced."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            stem = entry.filename.rpartition("/")[2].partition(".")[0]
            target.writestr(entry.filename, changed.get(stem) or source.read(entry))


def _pickle_in_archive(protocol: int) -> Write:
    return lambda path, canary: _repacked(path, {}, data=pickle.dumps({"a": touch(canary)}, protocol))


def _bomb(path: Path, canary: Path) -> None:
    """4 MB of zeros in 5 KB; torch writes no compressed archives but reads them."""
    plain = path.with_suffix(".plain")
    torch.save({"model": torch.zeros(1_000_000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    plain.unlink()


def _program(path: Path, canary: Path) -> None:
    """TorchScript, which `torch.load` would hand to another loader."""
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1)), path)


def _tar(path: Path, canary: Path) -> None:
    """The oldest format, which torch unpacks to the disk; with names that lead out of the folder."""
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle", f"../../../../../../../..{canary}"):
            entry = tarfile.TarInfo(name)
            data = pickle.dumps(touch(canary), 2)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _self() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


def _laughs() -> dict[str, Any]:
    """Ten lists of ten times the one before: 10^30 objects in a few hundred bytes."""
    level: Any = "ha"
    for _ in range(30):
        level = [level] * 10
    return {"model": level}


def _deep(levels: int) -> dict[str, Any]:
    level: Any = {}
    for _ in range(levels):
        level = {"a": level}
    return level


PICKLES: dict[str, Write] = {
    "a call": _saved(touch),
    "a call in the legacy format": _saved(touch, _use_new_zipfile_serialization=False),
    "a call in protocol 4": _saved(touch, pickle_protocol=4),
    "a call in a namespace": _saved(lambda canary: {"Args": Namespace(seed=touch(canary)), "Step": 1}),
    "a call deep among weights": _saved(lambda canary: {"model_weight": {"a": torch.zeros(2), "b": [{1: touch(canary)}]}}),
    "a call as a key": _saved(lambda canary: OrderedDict([((touch(canary),), 1)])),
    "eval": _saved(lambda canary: Payload(eval, f"__import__('os').system('touch {canary}')")),
    "exec": _saved(lambda canary: Payload(exec, f"open({str(canary)!r}, 'w')")),
    "open": _saved(lambda canary: Payload(open, str(canary), "w")),
    "a method by getattr": _saved(lambda canary: Payload(Path.touch, canary)),
    "another checkpoint, unsafely": _saved(lambda canary: Payload(torch.load, str(canary), None, None)),
    "a pickled lambda's parts": _saved(lambda canary: Payload(type, "A", (), {"a": touch(canary)})),
    "protocol 0 in an archive": _pickle_in_archive(0),
    "protocol 5 in an archive": _pickle_in_archive(5),
    "a bare pickle": _raw(lambda canary: pickle.dumps(touch(canary), 2)),
    "INST, as of Python 2": _raw(lambda canary: f"(S'touch {canary}'\nios\nsystem\n.".encode()),
    "GLOBAL and REDUCE by hand": _raw(lambda canary: f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()),
    "BUILD on a function": lambda path, canary: _repacked(
        path, {}, data=b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb."
    ),
    "a TorchScript program": _program,
    "a tar": _tar,
}  # fmt: skip
"""Code to execute."""

BOMBS: dict[str, Write] = {
    "an archive that unpacks beyond its size": _bomb,
    "a tensor of 10^12 elements, one stored": _saved(lambda _: {"model": torch.zeros(1).expand(10**6, 10**6)}),
    "a container that holds itself": _saved(lambda _: _self()),
    "10^30 objects by reference": _saved(lambda _: _laughs()),
    "150 containers within each other": _saved(lambda _: _deep(150)),
    "nothing": lambda path, canary: path.write_bytes(b"") and None,
    "the first half of an archive": lambda path, canary: _half(path),
    "a memo index of 2^31": lambda path, canary: _repacked(path, {}, data=b"\x80\x02]r\xff\xff\xff\x7f."),
    "a string of 2^62 bytes": lambda path, canary: _repacked(path, {}, data=b"\x80\x04\x8d" + b"\xff" * 7 + b"\x3f."),
}
"""More memory or time than the file has bytes."""


def _half(path: Path) -> None:
    torch.save({"model": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
