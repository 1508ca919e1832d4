"""SUPERB's diarization head: an LSTM with one logit for each frame and speaker, permutation-invariant loss."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.contract import Example, Loss, Prediction, Scores
from s3prl_plugins.heads.corpora.kaldi import Segment
from s3prl_plugins.heads.diarization_score import best_setting, diarization_error_rate, frame_labels, legacy_scores
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["DiarizationHead"]

_log = logging.getLogger(__name__)


class DiarizationHead(nn.Module):
    """s3prl.nn's SuperbDiarizationModel with pit_loss (EEND, arXiv 1909.05952).

    Labels are made for as many frames as the features have. Where the labels' frames are shorter than the
    upstream's, features are repeated.
    """

    @dataclass(frozen=True)
    class Config:
        """Sizes, the labels' resolution, and the settings tried on dev; defaults are SUPERB's."""

        hidden_size: int = 512
        """Width of the LSTM."""
        rnn_layers: int = 1
        """LSTM layers; 0 leaves a linear layer."""
        num_speakers: int = 2
        """Speakers in a recording at most."""
        frame_shift: int | None = None
        """Samples of a label's frame; None: the upstream's. 160 is what arXiv 2110.09930 has."""
        thresholds: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7)
        """Probabilities above which a speaker is taken to speak (s3prl's score.sh)."""
        medians: tuple[int, ...] = (1, 11)
        """Frames of the median filter over the decisions, odd (s3prl's score.sh)."""

        def __post_init__(self) -> None:
            if not self.thresholds or not all(0 < value < 1 for value in self.thresholds):
                raise ConfigError(f"thresholds must lie between 0 and 1, found {list(self.thresholds)}")
            if not self.medians or not all(value > 0 and value % 2 for value in self.medians):
                raise ConfigError(f"medians must be odd numbers of frames, found {list(self.medians)}")
            for name, least in (("hidden_size", 1), ("rnn_layers", 0), ("num_speakers", 1)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} must be at least {least}, found {getattr(self, name)}")

    def __init__(self, config: TaskConfig, labels: None, upstream_dim: int, upstream_rate: int) -> None:
        """:raises ConfigError: `frame_shift` does not divide `upstream_rate`."""
        from s3prl.nn.rnn import SuperbDiarizationModel  # imports every upstream of s3prl: only when a head is built

        super().__init__()
        self.card = config.card
        self.config: DiarizationHead.Config = config.head
        self.frame_shift = self.config.frame_shift or upstream_rate
        self.repeats, rest = divmod(upstream_rate, self.frame_shift)
        if rest:
            raise ConfigError(
                f"task 'sd': head.frame_shift must divide the upstream's {upstream_rate} samples a frame, "
                f"found {self.frame_shift}; set it to null"
            )
        self.network = SuperbDiarizationModel(
            upstream_dim, self.config.num_speakers, self.config.rnn_layers, self.config.hidden_size
        )

    def loss(self, features: Sequence[Tensor], labels: Sequence[Sequence[Segment]]) -> Loss:
        """Binary cross entropy, mean over speakers, best permutation of each utterance; counted in frames."""
        from s3prl.nn.pit import pit_loss

        logits, lengths = self._logits(features)
        targets = [self.targets(label, int(length)).to(logits.device) for label, length in zip(labels, lengths)]
        mean, _, _ = pit_loss(logits, pad_sequence(targets, batch_first=True), lengths)
        frames = float(lengths.sum())
        return Loss(mean * frames, frames)

    def targets(self, label: Sequence[Segment], frames: int) -> Tensor:
        """(frames, num_speakers), 1.0 where a speaker speaks."""
        return frame_labels(label, frames, self.frame_shift, self.config.num_speakers)

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], examples: Sequence[Example]) -> list[Prediction]:
        """`output` holds logits (frames, num_speakers)."""
        logits, lengths = self._logits(features)
        cut = [part[: int(length)].float().cpu() for part, length in zip(logits, lengths)]
        return [Prediction(example.name, part, example.label) for example, part in zip(examples, cut)]

    def calibrate(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """The `threshold` and `median` with the lowest error rate (s3prl's score.sh takes the best on *test*)."""
        outputs, truths = self._pairs(predictions)
        return best_setting(outputs, truths, self.config.thresholds, self.config.medians)

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """`der`, and `frame_acc` and `der_batch_mean` as s3prl's expert logs them; percent.

        :param calibration: `threshold` and `median`; by default 0.5 and no filter.
        :raises CorpusError: nobody speaks in any recording.
        """
        outputs, truths = self._pairs(predictions)
        threshold, median = calibration.get("threshold", 0.5), int(calibration.get("median", 1))
        return {"der": diarization_error_rate(outputs, truths, threshold, median), **legacy_scores(outputs, truths)}

    def write(self, predictions: Sequence[Prediction], split: str, folder: Path) -> list[Path]:
        """For the test split `frame_shift` and, with h5py, the probabilities T_hat (frames, num_speakers)."""
        if split != self.card.test:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "frame_shift"]
        paths[0].write_text(f"{self.frame_shift}\n", encoding="utf-8")
        try:
            import h5py
        except ImportError:
            _log.warning("sd: the predictions are not written, h5py is missing; pip install 's3prl-plugins[legacy]'")
            return paths
        for prediction in predictions:
            path = folder / self.card.predictions[0].format(recording=prediction.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file.create_dataset("T_hat", data=prediction.output.sigmoid().numpy())
            paths.append(path)
        return paths

    def _logits(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        repeated = [feature.repeat_interleave(self.repeats, dim=0) for feature in features]
        lengths = torch.tensor([len(feature) for feature in repeated], device=features[0].device)
        logits, _ = self.network(pad_sequence(repeated, batch_first=True), lengths)
        return logits, lengths

    def _pairs(self, predictions: Sequence[Prediction]) -> tuple[list[Tensor], list[Tensor]]:
        outputs = [prediction.output for prediction in predictions]
        return outputs, [self.targets(prediction.truth, len(prediction.output)) for prediction in predictions]
