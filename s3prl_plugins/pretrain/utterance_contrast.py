"""An encoder of utterances learns what the stretches of one utterance share (after Learn2Diss, arXiv 2407.02543)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.pretrain.contrast import info_nce, pair_accuracy
from s3prl_plugins.pretrain.distortions.draws import draw_seed
from s3prl_plugins.pretrain.multi_worker import Distort
from s3prl_plugins.pretrain.objective import Batch, Losses
from s3prl_plugins.pretrain.pseudo_speakers import PseudoSpeakers
from s3prl_plugins.pretrain.speech import Frames
from s3prl_plugins.pretrain.stretches import Encoded, distorted_apart, two_stretches
from s3prl_plugins.seeding import generator

__all__ = ["UtteranceContrast"]


class UtteranceContrast(nn.Module):
    """Contrast of the embeddings of two stretches of each utterance, distorted independently.

    Terms: `contrast`, and with pseudo-speakers `speakers`, the cross-entropy of a linear classifier on the embedding.

    :param utterance: waves (batch, samples) -> `Encoded`.
    :param stretch: frames of a stretch; crops are at least as long, batches hold two crops or more.
    :param temperature: of the contrast.
    :param distort: changes what is heard. Loudness needs no distortion: HuBERT's first normalisation undoes it.
    :param speakers: pseudo-speakers of all utterances.
    :param dim: of the embedding, needed with `speakers`.
    """

    def __init__(
        self, utterance: nn.Module, stretch: int, frames: Frames, temperature: float = 0.1,
        distort: Distort | None = None, speakers: PseudoSpeakers | None = None, dim: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.utterance = utterance
        self.stretch, self.frames, self.temperature, self.distort = stretch, frames, temperature, distort
        self.speakers = speakers
        self.classify = nn.Linear(dim, speakers.clusters) if speakers else None

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        base = draw_seed(random)
        stretches = two_stretches(batch, self.stretch, self.frames, generator(base, "stretches"))
        encoded: Encoded = self.utterance(
            distorted_apart(stretches.waves, self.distort, generator(base, "distortions"))
        )
        first, second = encoded.embedding.chunk(2)
        terms = {"contrast": info_nce(first, second, self.temperature)}
        shown = {"pair_acc": pair_accuracy(first, second)}
        if self.speakers is not None and self.classify is not None:
            labels = self.speakers.crops(stretches.crops).to(encoded.embedding.device)
            logits: Tensor = self.classify(encoded.embedding).float()
            terms["speakers"] = F.cross_entropy(logits, labels)
            shown["speakers_acc"] = float((logits.argmax(-1) == labels).float().mean())
        return Losses(terms, shown)
