"""IEMOCAP (Busso et al. 2008) for emotion recognition, by the five-fold lists that s3prl ships as json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.files import parse_json
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.files import read_text
from s3prl_plugins.heads.corpora.index import AsTheyLie, measured
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.problems import Problems

__all__ = ["ErReader"]

_CURE = "copy s3prl's downstream/emotion/meta_data there or set corpus.meta_data in the task's config"


class ErReader(AsTheyLie):
    """Four emotions; fold N tests on session N, trains on the other four, and holds a part of those out as dev.

    The dev utterances are those of s3prl's expert (`random_split` after `torch.manual_seed(0)`), found without
    touching the global random state.
    """

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies and which fold is used."""

        path: Path = Path("IEMOCAP")
        """Folder of Session1 ... Session5."""
        meta_data: Path = Path("IEMOCAP/meta_data")
        """Folder of SessionN/{train,test}_meta_data.json."""
        fold: Literal["fold1", "fold2", "fold3", "fold4", "fold5"] = "fold1"
        """The fold that is tested."""
        valid_ratio: float = 0.2
        """Part of the training list held out as dev."""

        def __post_init__(self) -> None:
            if not 0 < self.valid_ratio < 1:
                raise ConfigError(f"valid_ratio must be between 0 and 1, found {self.valid_ratio}")

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self.path = root / config.corpus.path
        self.meta_data = root / config.corpus.meta_data / config.corpus.fold.replace("fold", "Session")
        self.valid_ratio: float = config.corpus.valid_ratio

    def files(self) -> Sequence[Path]:
        return [self.path, self.meta_data / "train_meta_data.json", self.meta_data / "test_meta_data.json"]

    def labels(self, problems: Problems) -> dict[str, list[str]]:
        return {"emotion": self._read("train", problems)[0]}

    def examples(self, split: str, problems: Problems) -> list[Example]:
        name = self.card.split(split)
        part = "test" if name == "test" else "train"
        emotions, rows = self._read(part, problems)
        if name != "test":
            order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
            training = int((1 - self.valid_ratio) * len(rows))
            rows = [rows[index] for index in sorted(order[:training] if name == "train" else order[training:])]
        drafts = []
        for row in rows:
            if row["label"] in emotions:
                speaker = f"IEMOCAP/{row['speaker']}" if row.get("speaker") else ""
                drafts.append(Example(Path(row["path"]).stem, self.path / row["path"], 0.0, row["label"], speaker))
            else:
                rule = f"label must be one of {', '.join(emotions)}, found {row['label']!r} for {row['path']}"
                problems.add(self.meta_data / f"{part}_meta_data.json", rule, _CURE)
        return measured(drafts, name, problems)

    def _read(self, part: str, problems: Problems) -> tuple[list[str], list[dict[str, Any]]]:
        """The emotions in the order of their ids, and the utterances of a list."""
        path = self.meta_data / f"{part}_meta_data.json"
        text = read_text(path, problems, _CURE)
        if not text.strip():
            return [], []
        try:
            return _parsed(parse_json(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            problems.add(path, f"list must hold labels and meta_data with path and label ({reason})", _CURE)
        return [], []


def _parsed(content: Any) -> tuple[list[str], list[dict[str, Any]]]:
    numbers, rows = content["labels"], content["meta_data"]
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise ValueError(f"labels must be numbered from 0, each once, found {numbers}")
    for row in rows:
        if not isinstance(row["path"], str) or not isinstance(row["label"], str):
            raise TypeError(f"path and label must be texts, found {row}")
    return sorted(numbers, key=numbers.__getitem__), rows
