"""The part that the ASR, PR and SF heads share: CTC loss and greedy decoding (Graves et al., ICML 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from s3prl_plugins.heads.ark import write_ark
from s3prl_plugins.heads.contract import Example, Loss, Prediction
from s3prl_plugins.heads.ctc_vocabulary import Vocabulary
from s3prl_plugins.superb.cards import TaskCard

__all__ = ["CtcHead", "texts"]


class CtcHead(nn.Module):
    """A frame-level network of s3prl.nn under CTC. Labels and answers are strings as the prediction files hold them.

    The network keeps the upstream's frame rate, whatever it is (`total_rate: -1` in SUPERB's YAML). Unlike s3prl's
    ctc expert, decoding stops at an utterance's last frame; the expert decodes the padding too, which shows only where
    it evaluates more than one utterance at a time.

    :param network: (batch, frames, dim) and lengths (batch,) in; logits (batch, frames, symbols) and lengths out.
    :param vocabulary: the meaning of the logits.
    """

    def __init__(self, card: TaskCard, network: nn.Module, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.card = card
        self.network = network
        self.vocabulary = vocabulary

    def split(self, label: str) -> Sequence[str]:
        """A label as units of the vocabulary."""
        raise NotImplementedError

    def join(self, units: Sequence[str]) -> str:
        """Units as text; the inverse of `split` for labels within the vocabulary."""
        raise NotImplementedError

    def log_probs(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Log-probabilities (batch, frames, symbols) in float32, and the number of frames (batch,), on the CPU."""
        lengths = torch.tensor([len(frames) for frames in features])
        logits, lengths = self.network(pad_sequence(list(features), batch_first=True), lengths)
        return F.log_softmax(logits, dim=-1, dtype=torch.float32), lengths

    def loss(self, features: Sequence[Tensor], labels: Sequence[str]) -> Loss:
        """Sum over utterances of CTC loss / label length, so that `mean` is `torch.nn.CTCLoss`'s own.

        A label that does not fit into the frames would cost infinitely much: it costs 0 and still counts, as in SUPERB.
        """
        log_probs, frames = self.log_probs(features)
        targets = [torch.tensor(self.vocabulary.ids(self.split(label))) for label in labels]
        lengths = torch.tensor([len(target) for target in targets])
        losses = F.ctc_loss(
            log_probs.transpose(0, 1),
            pad_sequence(targets, batch_first=True).to(log_probs.device),
            frames,
            lengths,
            reduction="none",
            zero_infinity=True,
        )
        return Loss((losses / lengths.to(losses.device)).sum(), float(len(labels)))

    def extra(self, log_probs: Tensor) -> dict[str, str] | None:
        """What else is said of an utterance, by its log-probabilities (frames, symbols)."""
        return None

    @torch.no_grad()
    def predict(self, features: Sequence[Tensor], examples: Sequence[Example]) -> list[Prediction]:
        """The likeliest symbol of every frame, repeats merged, blanks removed."""
        log_probs, frames = self.log_probs(features)
        paths = log_probs.argmax(dim=-1).cpu()
        return [
            Prediction(
                example.name,
                output=self.join(self.vocabulary.units(path[:count].unique_consecutive().tolist())),
                truth=None if example.label is None else self.known(example.label),
                extra=self.extra(row[:count]),
            )
            for row, path, count, example in zip(log_probs, paths, frames.tolist(), examples, strict=True)
        ]

    def known(self, label: str) -> str:
        """The label as the vocabulary can say it."""
        return self.join(self.vocabulary.units(self.vocabulary.ids(self.split(label))))

    def calibrate(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        return {}

    def write(self, predictions: Sequence[Prediction], split: str, folder: Path) -> list[Path]:
        """Hypotheses and references of a split, each `uttid text` a line."""
        hypothesis, reference = (folder / name.format(split=split) for name in self.card.predictions)
        return [
            write_ark(hypothesis, ((item.name, item.output) for item in predictions)),
            write_ark(reference, ((item.name, item.truth) for item in predictions)),
        ]


def texts(predictions: Sequence[Prediction]) -> tuple[list[str], list[str]]:
    """Hypotheses and references, as s3prl.metric takes them."""
    return [item.output for item in predictions], [item.truth for item in predictions]
