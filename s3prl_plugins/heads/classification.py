"""SUPERB's classification heads (KS, SID, IC, ER): projection, mean over time, linear layer, cross entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.contract import Example, Loss, Prediction, Scores
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["ErHead", "IcHead", "KsHead", "SidHead"]


class ClassificationHead(nn.Module):
    """One answer per utterance, made of one value per slot; all tasks but IC have a single slot.

    The network is s3prl.nn's MeanPoolingLinear. The loss is the sum of the slots' cross entropies per utterance;
    an utterance is right if every slot is.
    """

    @dataclass(frozen=True)
    class Config:
        """Sizes."""

        hidden_size: int = 256
        """Width of the projection before pooling (s3prl's `projector_dim`)."""

        def __post_init__(self) -> None:
            if self.hidden_size < 1:
                raise ConfigError(f"hidden_size must be at least 1, found {self.hidden_size}")

    def __init__(
        self, config: TaskConfig, labels: Mapping[str, Sequence[str]], upstream_dim: int, upstream_rate: int
    ) -> None:
        """:param labels: slot name -> its values in the order of their ids."""
        from s3prl.nn.linear import MeanPoolingLinear  # imports every upstream of s3prl: only when a head is built

        super().__init__()
        self.card = config.card
        self.config = config
        self.values = [list(values) for values in labels.values()]
        self.ids = [{value: number for number, value in enumerate(values)} for values in self.values]
        self.network = MeanPoolingLinear(upstream_dim, sum(map(len, self.values)), hidden_size=config.head.hidden_size)

    def loss(self, features: Sequence[Tensor], labels: Sequence[Any]) -> Loss:
        """:param features: per utterance (frames, dim).  :param labels: the class, or a tuple of slot values."""
        logits = self.logits(features)
        targets = [[ids[value] for ids, value in zip(self.ids, _slots(label))] for label in labels]
        slots = torch.tensor(targets, device=features[0].device).unbind(1)
        total = sum(cross_entropy(part, target, reduction="sum") for part, target in zip(logits, slots))
        return Loss(torch.as_tensor(total), float(len(labels)))

    def logits(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """For each slot (batch, values)."""
        if all(len(feature) == 1 for feature in features):  # means over time already
            joined: Tensor = self.network.final_proj(self.network.hidden_layers(torch.cat(list(features))))
        else:
            lengths = torch.tensor([len(feature) for feature in features], device=features[0].device)
            joined = self.network(pad_sequence(list(features), batch_first=True), lengths)
        return torch.split(joined, [len(values) for values in self.values], dim=1)

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], examples: Sequence[Example]) -> list[Prediction]:
        best = torch.stack([part.argmax(dim=1) for part in self.logits(features)], dim=1).tolist()
        answers = [tuple(values[number] for values, number in zip(self.values, row)) for row in best]
        return [
            Prediction(example.name, answer if len(answer) > 1 else answer[0], example.label)
            for answer, example in zip(answers, examples)
        ]

    def calibrate(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        return {}

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """`acc`, the percentage of utterances that are right."""
        from s3prl.metric import accuracy

        return {"acc": 100.0 * accuracy([p.output for p in predictions], [p.truth for p in predictions])}

    def write(self, predictions: Sequence[Prediction], split: str, folder: Path) -> list[Path]:
        """`NAME CLASS` lines, or `NAME,VALUE,...` in a csv file: first what was predicted, then the truth."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in self.file_names(split)]
        for path, part in zip(paths, ("output", "truth")):
            between = "," if path.suffix == ".csv" else " "
            rows = ((entry.name, *_slots(getattr(entry, part))) for entry in predictions)
            path.write_text("".join(between.join(row) + "\n" for row in rows), encoding="utf-8")
        return paths

    def file_names(self, split: str) -> list[str]:
        return [pattern.format(split=split) for pattern in self.card.predictions]


class KsHead(ClassificationHead):
    """Keyword spotting, 12 classes."""


class SidHead(ClassificationHead):
    """Speaker identification, 1251 classes on VoxCeleb1."""


class IcHead(ClassificationHead):
    """Intent classification: slots action, object, location."""


class ErHead(ClassificationHead):
    """Emotion recognition, four classes; the files' names tell the fold."""

    def file_names(self, split: str) -> list[str]:
        return [pattern.format(split=split, fold=self.config.corpus.fold) for pattern in self.card.predictions]


def _slots(label: Any) -> tuple[str, ...]:
    return (label,) if isinstance(label, str) else tuple(label)
