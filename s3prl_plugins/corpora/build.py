"""Make mini-SUPERB, all ten corpora in one folder, or speech to pretrain on; whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s3prl_plugins.corpora import manifest
from s3prl_plugins.corpora.espeak import require_espeak
from s3prl_plugins.corpora.layouts import (
    fluent_speech_commands,
    iemocap,
    librimix,
    librispeech,
    quesst14,
    snips,
    speech,
    speech_commands,
    voxceleb1,
)
from s3prl_plugins.corpora.layouts.plan import Plan
from s3prl_plugins.corpora.sizes import SIZES, Size
from s3prl_plugins.corpora.studio import record
from s3prl_plugins.errors import CorpusError, nearest

__all__ = ["LAYOUTS", "make", "make_speech"]

LAYOUTS: tuple[Callable[[Size, int], Plan], ...] = (
    librispeech.plan,
    speech_commands.plan,
    voxceleb1.plan,
    librimix.plan,
    fluent_speech_commands.plan,
    snips.plan,
    iemocap.plan,
    quesst14.plan,
)
"""Eight folders hold the ten tasks' corpora: ASR and PR share LibriSpeech, SID and ASV share VoxCeleb1."""


def make(
    directory: Path | str, size: str = "mini", seed: int = 0, jobs: int | None = None
) -> tuple[dict[str, Any], bool]:
    """Make mini-SUPERB in `directory`, unless it is there already.

    :param size: "mini" (about an hour of audio), "small" (about ten), "tiny" (a few files of everything, for tests).
    :param jobs: worker processes; None is one for each core. The bytes do not depend on it.
    :return: the manifest, and whether the corpus was made now (False: it was kept).
    :raises CorpusError: unknown size, a folder with other content, no espeak-ng, no fork, no space.
    """
    if size not in SIZES:
        raise CorpusError(f"unknown size {size!r}; {nearest(size, SIZES)}")
    _check_seed(seed)
    kind = manifest.Kind(manifest.MINI_SUPERB, {"size": size, "seed": seed})
    return _made(directory, kind, lambda: [layout(SIZES[size], seed) for layout in LAYOUTS], jobs)


def make_speech(
    directory: Path | str, hours: float = 5.0, seed: int = 0, jobs: int | None = None
) -> tuple[dict[str, Any], bool]:
    """Make unlabelled speech to pretrain on, in `directory`, unless it is there already.

    Its speakers are in no mini-SUPERB, and no text of it is one of mini-SUPERB's dev or test texts.

    :param hours: how much, roughly: counted as 2.4 seconds an utterance.
    :param jobs: as in `make`.
    :return: the manifest, and whether the speech was made now (False: it was kept).
    :raises CorpusError: as `make`; not a positive number of hours.
    """
    if not 0 < hours < float("inf"):
        raise CorpusError(f"hours must be a number above 0, found {hours}; give another")
    _check_seed(seed)
    kind = manifest.Kind(manifest.SPEECH, {"hours": float(hours), "seed": seed})
    return _made(directory, kind, lambda: [speech.plan(hours, seed)], jobs)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise CorpusError(f"seed must be 0 or more, found {seed}; choose another")


def _made(
    directory: Path | str, kind: manifest.Kind, plans: Callable[[], list[Plan]], jobs: int | None
) -> tuple[dict[str, Any], bool]:
    if jobs is not None and jobs < 1:
        raise CorpusError(f"jobs must be 1 or more, found {jobs}; leave it out for one a core")
    final = Path(directory).expanduser().absolute()
    kept = _kept(final, kind)
    if kept is not None:
        return kept, False
    require_espeak()
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final)
        # Beside the folder, so that the last step is a rename.
        with tempfile.TemporaryDirectory(prefix=f".{final.name}.{os.getpid()}.", dir=final.parent) as partial:
            root = Path(partial) / "corpus"
            root.mkdir()
            content = _fill(root, final, kind, plans(), jobs or _cores())
            root.rename(final)
    except OSError as error:
        reason = error.strerror or error
        raise CorpusError(f"{final}: must be writable, found: {reason}; free space or choose another folder") from error
    return content, True


def _fill(root: Path, final: Path, kind: manifest.Kind, plans: list[Plan], jobs: int) -> dict[str, Any]:
    recordings = [recording for plan in plans for recording in plan.recordings]
    with closing(record(recordings, root, jobs)) as made:
        progress = tqdm(made, total=len(recordings), desc=str(kind), unit="file")
        takes = {take.path: take for take in progress}
    for plan in plans:
        plan.index(root, final, takes)
    return manifest.write(root, final, kind, plans, takes)


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kept(final: Path, kind: manifest.Kind) -> dict[str, Any] | None:
    """The manifest of the same corpus, None where nothing is; anything else there is refused."""
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return None
    found = manifest.read(final) if final.is_dir() else None
    if found is None and (final / manifest.FILE).is_file():
        raise CorpusError(
            f"{final / manifest.FILE}: must be whole and readable, found a damaged one; remove {final} or choose another folder"
        )
    if found is None or found.get("name") != kind.name:
        raise CorpusError(f"{final}: must be a new or empty folder, found other files; choose another folder")
    wanted = {**kind.options, "version": manifest.VERSION}
    if any(found.get(key) != value for key, value in wanted.items()):
        there = ", ".join(f"{key} {found.get(key)}" for key in wanted)
        asked = ", ".join(f"{key} {value}" for key, value in wanted.items())
        raise CorpusError(
            f"{final}: holds {kind.name} of {there}, asked for {asked}; remove it or choose another folder"
        )
    return found


def _sweep(final: Path) -> None:
    """Remove what a killed run left beside the folder; a run that is still going is left alone."""
    for left in final.parent.glob(f".{final.name}.*.*"):
        owner = left.name.removeprefix(f".{final.name}.").split(".")[0]
        if owner.isdigit() and not _running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
