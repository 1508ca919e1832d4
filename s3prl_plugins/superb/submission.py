"""The leaderboard's folder and zip: which file of an experiment goes where (layout of s3prl's submit/submit.py)."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.superb.cards import CARDS, TaskCard

__all__ = ["ER_FOLDS", "SLOTS", "Slot", "check_free", "slot", "write_submission"]

_SUFFIX = "_public"
_DAY_ONE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Slot:
    """One part of a submission."""

    name: str
    """As `--task NAME=DIR` has it."""
    task: str
    """Name of its card."""
    folder: str
    """Below `predict/`, without its suffix `_public`."""
    option: str = ""
    """What s3prl's script calls it, where that is another name."""
    fold: str = ""
    language_model: bool = False

    @property
    def card(self) -> TaskCard:
        return CARDS[self.task]

    @property
    def source(self) -> str:
        """The prediction file below the experiment's folder; for SD a pattern of several."""
        return self._file(0)

    @property
    def truth(self) -> str:
        """The file beside it that lists what was to be predicted; empty where there is none."""
        return self._file(1) if len(self.card.predictions) > 1 else ""

    def files(self, place: Path) -> dict[str, Path]:
        """Path below `predict/` -> file, for an experiment's folder; only what is there."""
        root = f"{self.folder}{_SUFFIX}"
        if self.task == "sd":
            below = place / self.source
            found = sorted(path for path in below.parent.rglob("*") if path.is_file())
            files = {f"{root}/{path.relative_to(place).as_posix()}": path for path in found}
            return files | ({f"{root}/frame_shift": path} if (path := place / "frame_shift").is_file() else {})
        path = place / self.source
        name = path.name if self.task == "qbe" else f"predict{path.suffix}"
        return {f"{root}/{name}": path} if path.is_file() else {}

    def _file(self, index: int) -> str:
        pattern = self.card.predictions[index]
        name = pattern.format(split=self.card.test, fold=self.fold, recording="*")
        return name.replace("-noLM-", "-LM-") if self.language_model else name


ER_FOLDS: tuple[str, ...] = tuple(f"er_fold{number}" for number in range(1, 6))
"""The leaderboard scores emotion recognition only if all five are there."""

SLOTS: dict[str, Slot] = {
    entry.name: entry
    for entry in (
        Slot("asr", "asr", "asr", option="asr_no_lm"),
        Slot("asr_lm", "asr", "asr_lm", option="asr_with_lm", language_model=True),
        Slot("pr", "pr", "pr"),
        Slot("sf", "sf", "sf"),
        Slot("sd", "sd", "sd"),
        *(Slot(name, "er", name, fold=name.removeprefix("er_")) for name in ER_FOLDS),
        Slot("ic", "ic", "ic"),
        Slot("ks", "ks", "ks"),
        Slot("asv", "asv", "sv", option="sv"),
        Slot("sid", "sid", "sid"),
        Slot("qbe", "qbe", "qbe"),
    )
}
"""Every part by name."""


def slot(name: str) -> Slot:
    """A part by its name, or by what s3prl's script calls it."""
    options = {entry.option: entry for entry in SLOTS.values() if entry.option}
    if name == "er":
        raise ConfigError("er is submitted as five folds; write er_fold1=DIR er_fold2=DIR ... er_fold5=DIR")
    if name not in SLOTS and name not in options:
        raise ConfigError(f"unknown task {name!r} in --task; {nearest(name, SLOTS)}")
    return SLOTS.get(name) or options[name]


def check_free(out: Path, force: bool) -> None:
    """Whether a submission can be put at `out`: nothing is there, or, with `force`, an earlier submission."""
    if not out.exists():
        return
    if not force:
        raise ConfigError(f"{out} exists already; choose another -o, or replace it with --force")
    strange = (
        [p.name for p in out.iterdir() if p.name not in ("predict", "predict.zip")] if out.is_dir() else [out.name]
    )
    if strange:
        raise ConfigError(
            f"--force replaces a folder of predict/ and predict.zip only, but {out} holds {strange[0]!r}; choose another -o"
        )


def write_submission(out: Path, files: Mapping[str, Path], force: bool = False) -> Path:
    """Write `out`/predict/ and `out`/predict.zip, whole or not at all; returns the path of the zip.

    The same files give the same zip: entries are sorted, times and permissions fixed.

    :param files: path below `predict/` -> file to copy.
    :param force: replace an earlier submission.
    :raises ConfigError: `out` is taken.
    """
    out = out.resolve()
    check_free(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        made = Path(scratch) / out.name
        for name, source in files.items():
            target = made / "predict" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        _pack(made / "predict.zip", made, sorted([made / "predict", *(made / "predict").rglob("*")]))
        if out.exists():
            out.rename(Path(scratch) / "replaced")
        made.rename(out)
    return out / "predict.zip"


def _pack(path: Path, root: Path, content: Iterable[Path]) -> None:
    """Folders have entries of their own, as `zip -r` writes them."""
    with zipfile.ZipFile(path, "w") as archive:
        for source in content:
            name = source.relative_to(root).as_posix()
            entry = zipfile.ZipInfo(f"{name}/" if source.is_dir() else name, _DAY_ONE)
            entry.create_system = 3  # Unix, whatever machine this is
            if source.is_dir():
                entry.external_attr = 0o40755 << 16 | 0x10
                archive.writestr(entry, b"")
                continue
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = source.stat().st_size
            with source.open("rb") as reader, archive.open(entry, "w") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
