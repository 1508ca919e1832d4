"""SUPERB's speaker verification head: x-vector (Snyder et al. 2018) trained with AMSoftmax (arXiv 1801.05599)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from s3prl_plugins.config import above_0
from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.contract import Example, Loss, Prediction, Scores
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["SHORTEST", "VerificationHead", "scored_trials"]

REACH = 14
"""Frames that the x-vector's time-delay layers use up."""
SHORTEST = REACH + 2
"""Frames an utterance must have: the standard deviation over time needs two frames after those layers."""


class VerificationHead(nn.Module):
    """Speaker embeddings, learned by telling the training speakers apart, compared by cosine similarity.

    s3prl.nn's SuperbXvector and amsoftmax. s3prl's legacy expert counts one frame of padding when it pools
    (all but the longest utterances of a batch); `superb_quirks` does the same.
    """

    @dataclass(frozen=True)
    class Config:
        """Sizes and the margin of the loss; defaults are SUPERB's."""

        embedding_size: int = 512
        """Width of the embedding."""
        hidden_size: int = 512
        """Width of the projection before the time-delay layers, which are 512 wide in s3prl."""
        aggregation_size: int = 1500
        """Width of the last time-delay layer, over which mean and standard deviation are taken."""
        margin: float = 0.4
        """AMSoftmax's margin, a cosine (s3prl.nn's own default is 0.2, SUPERB's config 0.4)."""
        scale: float = 30.0
        """AMSoftmax's scale of the cosines."""

        def __post_init__(self) -> None:
            for name in ("embedding_size", "hidden_size", "aggregation_size"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} must be at least 1, found {getattr(self, name)}")
            above_0(self, "scale")

    def __init__(self, config: TaskConfig, labels: Sequence[str], upstream_dim: int, upstream_rate: int) -> None:
        """:param labels: the training speakers in the order of their ids."""
        from s3prl.nn.speaker_loss import amsoftmax  # imports every upstream of s3prl: only when a head is built
        from s3prl.nn.speaker_model import SuperbXvector

        super().__init__()
        sizes: VerificationHead.Config = config.head
        self.card = config.card
        self.quirks = config.superb_quirks
        self.ids = {speaker: number for number, speaker in enumerate(labels)}
        self.network = SuperbXvector(
            upstream_dim,
            sizes.embedding_size,
            sizes.hidden_size,
            sizes.aggregation_size,
            dropout_p=0.0,
            batch_norm=False,
        )
        self.objective = amsoftmax(sizes.embedding_size, len(labels), margin=sizes.margin, scale=sizes.scale)

    def loss(self, features: Sequence[Tensor], labels: Sequence[Any]) -> Loss:
        """:param features: per utterance (frames, dim).

        :param labels: the speakers. Utterances of dev and test, whose labels are trials, have no loss: they are
            left out of sum and count.
        """
        chosen = [(feature, self.ids[label]) for feature, label in zip(features, labels) if isinstance(label, str)]
        if not chosen:
            return Loss(features[0].new_zeros(()), 0.0)
        targets = torch.tensor([number for _, number in chosen], device=features[0].device)
        mean, _ = self.objective(self.embed([feature for feature, _ in chosen]), targets)
        return Loss(mean * len(chosen), float(len(chosen)))

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """What the loss takes while training; in evaluation the embedding (batch, embedding_size), one layer earlier."""
        shortest = min(len(feature) for feature in features)
        if shortest < SHORTEST:
            raise CorpusError(
                f"task 'asv' needs at least {SHORTEST} frames an utterance, found {shortest}; "
                "remove short files from the corpus or raise corpus.min_seconds"
            )
        lengths = torch.tensor([len(feature) for feature in features], device=features[0].device)
        if self.quirks:
            lengths = (lengths + 1).clamp(max=int(lengths.max()))
        embedded: Tensor = self.network(pad_sequence(list(features), batch_first=True), lengths)
        return embedded

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], examples: Sequence[Example]) -> list[Prediction]:
        """`output` is the embedding (embedding_size,) of length 1."""
        embeddings = normalize(self.embed(features), dim=-1).cpu()
        return [Prediction(example.name, vector, example.label) for example, vector in zip(examples, embeddings)]

    def calibrate(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """The `threshold` at which misses and false alarms are equal, for verification; no score depends on it."""
        return {"threshold": self._equal_error(predictions)[1]}

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """`eer`, the equal error rate in percent over the split's trials.

        :raises CorpusError: the trials are not of both kinds, or the embeddings are not finite.
        """
        return {"eer": 100.0 * self._equal_error(predictions)[0]}

    def _equal_error(self, predictions: Sequence[Prediction]) -> tuple[float, float]:
        """Rate, in [0, 1], and threshold."""
        from s3prl.metric import compute_eer

        trials = list(scored_trials(predictions))
        targets = [int(target) for _, target, _ in trials]
        if not 0 < sum(targets) < len(targets):
            raise CorpusError(
                f"an equal error rate needs trials of both kinds, found {sum(targets)} of one speaker among "
                f"{len(targets)}; score a split that has a trial list, or mend the list"
            )
        scores = [score for _, _, score in trials]
        if not torch.tensor(scores).isfinite().all():
            raise CorpusError(
                "an equal error rate needs finite scores, found NaN; the model has diverged: lower the lr"
            )
        rate, threshold = compute_eer(targets, scores)
        return float(rate), float(threshold)

    def write(self, predictions: Sequence[Prediction], split: str, folder: Path) -> list[Path]:
        """`FIRST_SECOND SCORE` and `FIRST_SECOND {1|0}` lines in the order of the trial list (s3prl's truth is empty)."""
        folder.mkdir(parents=True, exist_ok=True)
        trials = list(scored_trials(predictions))
        columns = ([f"{score:.8g}" for _, _, score in trials], [str(int(target)) for _, target, _ in trials])
        paths = [folder / pattern.format(split=split) for pattern in self.card.predictions]
        for path, column in zip(paths, columns):
            lines = (f"{names} {value}\n" for (names, _, _), value in zip(trials, column))
            path.write_text("".join(lines), encoding="utf-8")
        return paths


def scored_trials(predictions: Sequence[Prediction]) -> Iterator[tuple[str, bool, float]]:
    """The trials of a split in the order of their list: names joined, whether of one speaker, cosine similarity."""
    vectors = {prediction.name: prediction.output for prediction in predictions}
    trials = [(trial, entry.name) for entry in predictions if not isinstance(entry.truth, str) for trial in entry.truth]
    for trial, first in sorted(trials):
        if trial.other not in vectors:
            raise CorpusError(f"a trial names {trial.other!r}, which was not evaluated; evaluate the whole split")
        yield f"{first}_{trial.other}", trial.target, float(torch.dot(vectors[first], vectors[trial.other]))
