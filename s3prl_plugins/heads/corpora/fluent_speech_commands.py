"""Fluent Speech Commands (arXiv 1904.03670) for intent classification: three csv files and the wavs they name."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.files import read_text
from s3prl_plugins.heads.corpora.index import AsTheyLie, measured
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.problems import Problems

__all__ = ["IcReader"]

SLOTS = ("action", "object", "location")
_CURE = "restore the corpus's csv file"


class IcReader(AsTheyLie):
    """An intent is a tuple (action, object, location); values are numbered as they first appear in the training csv."""

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies."""

        path: Path = Path("fluent_speech_commands")
        """Folder that holds data/{train,valid,test}_data.csv and the wavs."""

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self.path = root / config.corpus.path

    def files(self) -> Sequence[Path]:
        return [self.path / "data" / f"{part}_data.csv" for part in ("train", "valid", "test")]

    def labels(self, problems: Problems) -> dict[str, list[str]]:
        rows = self._rows("train", problems)
        return {slot: list(dict.fromkeys(row[slot] for row in rows)) for slot in SLOTS}

    def examples(self, split: str, problems: Problems) -> list[Example]:
        name = self.card.split(split)
        known = self.labels(problems)
        drafts = []
        for row in self._rows(name, problems):
            unseen = [slot for slot in SLOTS if row[slot] not in known[slot]]
            if unseen:
                rule = f"{unseen[0]} must be one of the training csv's, found {row[unseen[0]]!r} for {row['path']}"
                problems.add(self.files()[("train", "dev", "test").index(name)], rule, "remove the row")
                continue
            speaker = f"FSC/{row['speakerId']}" if row.get("speakerId") else ""
            label = tuple(row[slot] for slot in SLOTS)
            drafts.append(Example(Path(row["path"]).stem, self.path / row["path"], 0.0, label, speaker))
        return measured(drafts, name, problems)

    def _rows(self, split: str, problems: Problems) -> list[dict[str, str]]:
        path = dict(zip(("train", "dev", "test"), self.files()))[split]
        text = read_text(path, problems, _CURE)
        try:
            table = csv.DictReader(io.StringIO(text, newline=""))
            missing = [column for column in ("path", *SLOTS) if column not in (table.fieldnames or ())]
            rows = [] if missing else [row for row in table if any(str(value or "").strip() for value in row.values())]
        except csv.Error as error:
            problems.add(path, f"index cannot be read ({error})", _CURE)
            return []
        if missing and text:
            problems.add(path, f"columns path, {', '.join(SLOTS)} must be there, {missing[0]!r} is missing", _CURE)
        whole = [row for row in rows if all(row[column] for column in ("path", *SLOTS))]
        if len(whole) < len(rows):
            problems.add(path, f"{len(rows) - len(whole)} rows lack a path or an intent", _CURE)
        return whole
