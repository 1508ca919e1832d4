"""An encoder that learns at several time scales at once: the objective of MGF (after arXiv 2102.01930)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from s3prl_plugins.pretrain.distortions.draws import draw_seed
from s3prl_plugins.pretrain.masking import span_mask
from s3prl_plugins.pretrain.multi_worker import cut_two
from s3prl_plugins.pretrain.objective import Batch, Losses
from s3prl_plugins.pretrain.scales import Scale, ScaleViews, take
from s3prl_plugins.seeding import generator

__all__ = ["MultiScale"]


class MultiScale(nn.Module):
    """The losses of all scales on one pass of the encoder; terms are named after the scales.

    Each crop gives two stretches of the same utterance. The convolutions' output h is never masked, and the sample and frame
    scales learn from it, which concern what a frame hears itself. There is one pass of the transformer, on masked h: the
    phoneme scale asks what the masked frames were, and the sentence scale pools all its frames c, for which masks are the
    only distortion.

    Nothing is computed that only absent scales need: the transformer without phoneme and sentence, the second stretch
    without sentence. The first stretch is all that the other scales see. So their losses are the same with and without the
    others, but for the batch normalisation's rows and for dropout.

    What is drawn depends on the batch's generator and on what it is for, not on the other scales.

    :param encoder: with `local`, (batch, samples) -> (batch, frames, dim), and `context`, (local, mask) -> states.
    :param scales: name -> scale, for the encoder's dim and frames.
    :param stretch: samples of a stretch; batches hold at least two crops, at least as long.
    :param mask_share: frames masked, 0 to 1, before overlaps.
    :param mask_length: frames of a masked span.
    """

    def __init__(
        self, encoder: nn.Module, scales: Mapping[str, Scale], stretch: int, mask_share: float, mask_length: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.scales = nn.ModuleDict(scales)
        self.contextual = any(scale.contextual for scale in scales.values())
        self.pairs = any(scale.pairs for scale in scales.values())
        self.stretch, self.mask_share, self.mask_length = stretch, mask_share, mask_length

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        base = draw_seed(random)
        views = self._views(batch.waves, base)
        terms: dict[str, Tensor] = {}
        shown: dict[str, float] = {}
        for name, scale in self.scales.items():
            loss, numbers = scale(views, generator(base, name))
            terms[name] = loss
            shown |= {f"{name}_{key}": number for key, number in numbers.items()}
        return Losses(terms, shown)

    def fit(self, batches: Iterable[tuple[Tensor, torch.Generator]]) -> None:
        """Measure what targets are normalised with, on stretches as training will cut them.

        :param batches: waves (crops, samples) and a CPU generator each.
        """
        for waves, random in batches:
            clean, _ = cut_two(waves, self.stretch, generator(draw_seed(random), "stretches"))
            take(self.scales, clean)

    def _views(self, waves: Tensor, base: int) -> ScaleViews:
        clean, other = cut_two(waves, self.stretch, generator(base, "stretches"))
        encoder: Any = self.encoder
        local: Tensor = encoder.local(torch.cat([clean, other]) if self.pairs else clean)
        rows, frames = len(clean), local.shape[1]
        purposes = ("mask", "other mask") if self.pairs else ("mask",)
        masks = [
            span_mask(rows, frames, self.mask_share, self.mask_length, generator(base, purpose)) for purpose in purposes
        ]
        mask = torch.cat(masks).to(local.device)
        context: Tensor = encoder.context(local, mask)[-1] if self.contextual else local[:0]
        return ScaleViews(clean, local[:rows], mask[:rows], context[:rows], other, context[rows:])
