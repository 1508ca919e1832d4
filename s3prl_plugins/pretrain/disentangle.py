"""An encoder of frames and one of utterances that learn to share nothing (after Learn2Diss, arXiv 2407.02543)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from s3prl_plugins.pretrain.adversary import Adversary
from s3prl_plugins.pretrain.contrast import info_nce, pair_accuracy
from s3prl_plugins.pretrain.distortions.draws import draw_seed
from s3prl_plugins.pretrain.masked_prediction import MaskedPrediction
from s3prl_plugins.pretrain.multi_worker import Distort
from s3prl_plugins.pretrain.mutual_information import UNDERFIT_WARNING, Club, other_rows
from s3prl_plugins.pretrain.objective import Batch, Losses
from s3prl_plugins.pretrain.pseudo_speakers import PseudoSpeakers
from s3prl_plugins.pretrain.speech import Frames
from s3prl_plugins.pretrain.stretches import Encoded, distorted_apart, two_stretches
from s3prl_plugins.seeding import generator

__all__ = ["Disentangle", "block_means"]


class Disentangle(nn.Module):
    """Masked prediction of the frame encoder, contrast of the utterance encoder, and what they know of each other.

    Each crop gives two stretches. The frame encoder hears them masked, the utterance encoder distorted. `information` is
    vCLUB between a stretch's embedding and its frame states of the masked pass, averaged over blocks and batch-normalised
    without weights; negatives are stretches of other utterances. Its gradient goes to both encoders.

    Terms: those of `MaskedPrediction`, `contrast`, `information`, and the adversaries'. `information` and what adversaries
    send back rise linearly from 0 over the first `warmup` forward passes of training. Weights are the trainer's: with
    weight 0 for `information` and no adversary the frame encoder learns exactly as without the other (if its gradient is
    clipped apart), and the estimate is still shown.

    The paper's networks, layers, pooling and weights are not known, and its authors have declared its results invalid;
    everything here beside the idea is ours.

    :param frame: masked prediction for utterances of the same list.
    :param utterance: waves (batch, samples) -> `Encoded`.
    :param club: for the utterance encoder's dim and the frame encoder's.
    :param dim: of the frame encoder's states.
    :param stretch: frames of a stretch, at least `block`; batches hold two crops or more.
    :param block: frames averaged before information is measured.
    :param shuffled: pair every embedding with frames of another utterance (a control: nothing to remove).
    :param sampled: one negative for each stretch in place of all.
    :param adversaries: `speaker`, a classifier of pseudo-speakers on the frame encoder's block means, and `phone`, one of
        `frame`'s targets on the utterance encoder's last states.
    :param reversal: adversary -> scale of the gradient it sends back.
    :param speakers: needed by the adversary `speaker`.
    """

    def __init__(
        self, frame: MaskedPrediction, utterance: nn.Module, club: Club, dim: int, stretch: int, frames: Frames,
        block: int = 10, temperature: float = 0.1, distort: Distort | None = None, warmup: int = 0,
        shuffled: bool = False, sampled: bool = False, adversaries: Mapping[str, Adversary] | None = None,
        reversal: Mapping[str, float] | None = None, speakers: PseudoSpeakers | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.frame, self.utterance, self.club = frame, utterance, club
        self.norm = nn.BatchNorm1d(dim, affine=False)
        self.stretch, self.frames, self.block = stretch, frames, block
        self.temperature, self.distort, self.warmup = temperature, distort, warmup
        self.shuffled, self.sampled = shuffled, sampled
        self.adversaries = nn.ModuleDict(adversaries)
        self.reversal, self.speakers = dict(reversal or {}), speakers
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self._warned = False

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        base = draw_seed(random)
        stretches = two_stretches(batch, self.stretch, self.frames, generator(base, "stretches"))
        # First, so that its dropout does not depend on what follows.
        losses, states = self.frame.predict(stretches, generator(base, "mask"))
        heard = distorted_apart(stretches.waves, self.distort, generator(base, "distortions"))
        encoded: Encoded = self.utterance(heard)
        rise = self._rise()
        terms, shown = dict(losses.terms), dict(losses.shown)
        first, second = encoded.embedding.chunk(2)
        terms["contrast"] = info_nce(first, second, self.temperature)
        shown["pair_acc"] = pair_accuracy(first, second)
        with torch.autocast(states.device.type, enabled=False):
            blocks = block_means(states.float(), self.block)
            blocks = self.norm(blocks.flatten(0, 1)).view_as(blocks)
        information, health = self._information(encoded.embedding, blocks, generator(base, "negatives"))
        terms["information"] = rise * information
        shown |= health
        for name, adversary in self.adversaries.items():
            values, labels = self._hidden(name, stretches, blocks, encoded)
            terms[f"{name}_adversary"], shown[f"{name}_adversary_acc"] = adversary(
                values, labels.to(values.device), rise * self.reversal[name]
            )
        return Losses(terms, shown)

    def _information(
        self, embedding: Tensor, blocks: Tensor, random: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The estimate in nats, and the health of what makes it."""
        rows = len(embedding) // 2
        if self.shuffled:
            embedding = torch.cat([half.roll(1, 0) for half in embedding.chunk(2)])
        # Half by half: the other stretch of the same utterance is no negative.
        estimates = [
            self.club.estimate(x, y, other_rows(rows, random).to(x.device) if self.sampled else None)
            for x, y in zip(embedding.chunk(2), blocks.chunk(2))
        ]
        information = torch.stack(estimates).mean()
        if self.training:
            self.club.fit(embedding, blocks)
            if self.club.underfit and not self._warned:
                warnings.warn(UNDERFIT_WARNING, stacklevel=2)
                self._warned = True
        health = dict(self.club.health) if self.training else {}
        return information, health | {"mi": float(information.detach())}

    def _hidden(self, name: str, stretches: Batch, blocks: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """What an adversary hears, and what it looks for in it."""
        if name == "phone":
            return encoded.states[-1], self.frame.targets.crops(stretches.crops)
        assert self.speakers is not None
        return blocks, self.speakers.crops(stretches.crops).unsqueeze(1).expand(blocks.shape[:2])

    def _rise(self) -> float:
        passes = self.get_buffer("passes")
        if self.training:
            passes += 1
        return min(1.0, float(passes) / self.warmup) if self.warmup else 1.0


def block_means(states: Tensor, block: int) -> Tensor:
    """Means of (batch, frames, dim) over blocks of so many frames, (batch, blocks, dim); frames left over at the end do
    not count."""
    count = states.shape[1] // block
    return states[:, : count * block].reshape(len(states), count, block, -1).mean(2)
