"""What `s3prl-plugins doctor` looks at."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from s3prl_plugins import compat
from s3prl_plugins.superb.cards import CARDS

__all__ = ["Finding", "diagnose"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    group: Literal["stack", "hook", "repairs", "extras", "tasks"]
    name: str
    level: Literal["ok", "warning", "error"]
    found: str
    cure: str = ""


STACK = {
    "torch": "pip install torch",
    "torchaudio": "pip install torchaudio, of the release that goes with torch: both from PyPI, or both from one index",
    "numpy": "pip install numpy",
    "soundfile": "pip install soundfile",
}
"""Module -> how to get one that imports."""

EXTRAS = {
    "mini": ("espeakng_loader", "`s3prl-plugins corpus make`"),
    "mtl": ("torchjd", "gradient methods of torchjd"),
    "lm": ("flashlight", "ASR with a language model"),
    "cluster": ("submitit", "sweeps on a cluster"),
    "serve": ("gradio", "`s3prl-plugins serve`"),
    "fairseq": ("fairseq", "comparing converted checkpoints with it; nothing here runs on it"),
}
"""Extra -> the module it brings, and what for."""

SOURCE_OF_FAIRSEQ = (
    "; where that does not build: pip download --no-deps --no-build-isolation --no-binary :all: fairseq-fixed==0.12.3.1, "
    "unpack it and add its folder to PYTHONPATH, pip install hydra-core==1.3.2 bitarray sacrebleu"
)

SEE_LEGACY = "pip install 's3prl-plugins[legacy]'"

LEGACY: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "asr": ("asr", ("editdistance", "pandas"), ()),
    "pr": ("ctc", ("editdistance",), ("corpus/libriphone.py",)),
    "sf": ("ctc", ("editdistance",), ("corpus/snips.py",)),
    "sd": ("diarization", ("h5py", "pandas", "soundfile"), ()),
    "er": ("emotion", (), ()),
    "ic": ("fluent_commands", ("pandas",), ()),
    "ks": ("speech_commands", (), ()),
    "asv": ("sv_voxceleb1", ("joblib", "librosa", "scipy", "sklearn"), ()),
    "sid": ("voxceleb1", ("librosa",), ()),
    "qbe": ("quesst14_dtw", ("dtw", "lxml", "scipy"), ()),
}
"""Task -> the folder of s3prl's own expert, the modules and the files of that folder it needs."""

CACHES = {"sid": "voxceleb1/.cache", "asv": "sv_voxceleb1/.wav_lengths"}
"""Task -> where s3prl's expert keeps a list of files in its own folder, whatever corpus it was made of."""


def diagnose() -> list[Finding]:
    """Every finding, in the order of the report. Imports s3prl."""
    return [*_stack(), *_s3prl(), *_hook(), *_repairs(), *_extras(), *_tasks()]


def _stack() -> Iterator[Finding]:
    version = platform.python_version()
    old = sys.version_info < (3, 11)
    yield Finding("stack", "python", "error" if old else "ok", version, "use Python 3.11 or newer" if old else "")
    for name, cure in STACK.items():
        try:
            importlib.import_module(name)
        except Exception as error:
            yield Finding("stack", name, "error", f"does not import ({_one_line(error)})", cure)
        else:
            yield Finding("stack", name, "ok", _version(name) or "of unknown version")


def _s3prl() -> Iterator[Finding]:
    versions = {name: _version(name) for name in ("s3prl", "espnet-s3prl")}
    there = [f"{name} {version}" for name, version in versions.items() if version]
    cure = "pip uninstall -y s3prl espnet-s3prl, then pip install s3prl"
    if len(there) == 2:
        found = f"{' and '.join(there)} are both installed, in one folder"
        yield Finding("stack", "s3prl", "error", found, cure)
    elif not there and importlib.util.find_spec("s3prl") is None:
        yield Finding("stack", "s3prl", "error", "is not installed", "pip install s3prl")
    else:
        failed = _import_quietly("s3prl.hub") or _import_quietly("s3prl.downstream.runner")
        if failed:
            cure = "install what is missing, or report the message"
            yield Finding("stack", "s3prl", "error", f"{there or 'a checkout'} does not import ({failed})", cure)
        else:
            yield Finding("stack", "s3prl", "ok", there[0] if there else "a checkout")


def _hook() -> Iterator[Finding]:
    if "_s3prl_plugins_hook" not in sys.modules:
        yield Finding(
            "hook", "import hook", "warning",
            "not loaded when Python started, so the stock commands do not see this package",
            "s3prl-plugins doctor --install-hook",
        )  # fmt: skip
    elif os.environ.get("S3PRL_PLUGINS_AUTOLOAD", "1") == "0":
        yield Finding(
            "hook", "import hook", "warning", "off by S3PRL_PLUGINS_AUTOLOAD=0", "unset S3PRL_PLUGINS_AUTOLOAD"
        )
    else:
        yield Finding("hook", "import hook", "ok", "loaded when Python started")


def _repairs() -> Iterator[Finding]:
    made = {repair.name for repair in compat.in_force()}
    for repair in compat.ALL:
        state = "in force" if repair.name in made else "not needed so far"
        yield Finding("repairs", repair.name, "ok", f"{state}: {repair.gone}; instead: {repair.instead}")


def _extras() -> Iterator[Finding]:
    for extra, (module, use) in EXTRAS.items():
        missing = importlib.util.find_spec(module) is None
        cure = f"pip install 's3prl-plugins[{extra}]'" if missing else ""
        cure += SOURCE_OF_FAIRSEQ if missing and extra == "fairseq" else ""
        found = f"{module} is {'not installed' if missing else 'there'}, for {use}"
        yield Finding("extras", extra, "warning" if missing else "ok", found, cure)


def _tasks() -> Iterator[Finding]:
    root = _folder("s3prl")
    for task in CARDS:
        folder, modules, files = LEGACY[task]
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        lost = [name for name in files if root and not (root / "downstream" / folder / name).is_file()]
        name = f"{task} with s3prl's -d {folder}"
        if missing:
            yield Finding("tasks", name, "warning", f"needs {', '.join(missing)}", SEE_LEGACY)
        elif root and task in CACHES and any((cache := root / "downstream" / CACHES[task]).glob("*")):
            found = f"uses the list of an earlier corpus for any other, from {cache}"
            yield Finding("tasks", name, "warning", found, f"rm -r {cache}, whenever the corpus changes")
        elif lost:
            found = f"s3prl's wheel lacks downstream/{folder}/{', '.join(lost)}"
            yield Finding("tasks", name, "warning", found, f"-d multitask -o \"config.tasks=['{task}']\"")
        else:
            yield Finding("tasks", name, "ok", "everything it imports is there")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def _import_quietly(name: str) -> str:
    """Import a module without what it prints; returns the error, or nothing."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(name)
        except Exception as error:
            return _one_line(error)
    return ""


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
