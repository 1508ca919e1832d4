"""Masked prediction of pseudo-phones: HuBERT (arXiv 2106.07447, equations 1 to 3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.pretrain.clusters import Targets
from s3prl_plugins.pretrain.masking import span_mask
from s3prl_plugins.pretrain.objective import Batch, Losses

__all__ = ["MaskedPrediction", "cluster_logits", "predict_clusters"]


class MaskedPrediction(nn.Module):
    """s3prl's HuBERT network with its pretraining losses.

    Terms: `masked` and `unmasked`, cross-entropy in nats over all clusters, and `penalty`, the mean square of the
    convolutions' output. fairseq puts the true cluster first and drops its double, which is the same cross-entropy;
    its sums over frames, divided by the number of masked frames, are our means (the weight of `unmasked` differs by
    the ratio of the two counts).

    :param hubert: `s3prl.upstream.hubert.hubert_model.HubertModel` with as many codewords as there are clusters.
    :param mask_share: frames masked, 0 to 1, before overlaps.
    :param mask_length: frames of a span.
    :param temperature: cosines are divided by it.
    """

    def __init__(
        self, hubert: Any, targets: Targets, mask_share: float, mask_length: int, temperature: float = 0.1
    ) -> None:
        super().__init__()
        self.hubert = hubert
        self.targets = targets
        self.mask_share, self.mask_length, self.temperature = mask_share, mask_length, temperature

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        losses, _ = self.predict(batch, random)
        return losses

    def predict(self, batch: Batch, random: torch.Generator) -> tuple[Losses, Tensor]:
        """The losses, and the last layer's states, (crops, frames, dim), that they were computed from."""
        rows, frames = len(batch.crops), batch.crops[0].frames
        device = batch.waves.device
        mask = span_mask(rows, frames, self.mask_share, self.mask_length, random).to(device)
        labels = self.targets.crops(batch.crops).to(device)
        logits, penalty, states = predict_clusters(self.hubert, batch.waves, mask, self.temperature)
        hits = logits.argmax(-1) == labels
        terms = {
            "masked": F.cross_entropy(logits[mask], labels[mask]),
            "unmasked": F.cross_entropy(logits[~mask], labels[~mask]) if not mask.all() else logits.sum() * 0,
            "penalty": penalty,
        }
        shown = {"masked_acc": float(hits[mask].float().mean()), "unmasked_acc": float(hits[~mask].float().mean())}
        return Losses(terms, shown), states


def predict_clusters(hubert: Any, waves: Tensor, mask: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of every frame, the feature penalty, the last layer's states.

    :param waves: (batch, samples), nothing padded.
    :param mask: (batch, frames), True where the frame is replaced by the mask vector.
    :return: (batch, frames, clusters) cosine over temperature, float32; mean square of the convolutions' output;
        (batch, frames, dim).
    """
    features = hubert.forward_features(waves)
    penalty = features.float().pow(2).mean()
    states = hubert.layer_norm(features.transpose(1, 2))
    if hubert.post_extract_proj is not None:
        states = hubert.post_extract_proj(states)
    states = hubert.dropout_input(states)
    states = torch.where(mask.unsqueeze(-1), hubert.mask_emb.to(states.dtype), states)
    states, _ = hubert.encoder(states, padding_mask=None)
    return cluster_logits(states, hubert.final_proj, hubert.label_embs_concat, temperature), penalty, states


def cluster_logits(states: Tensor, projection: nn.Module, codewords: Tensor, temperature: float) -> Tensor:
    """Cosines of projected states (..., dim) to every codeword, over the temperature: (..., clusters) float32."""
    predicted = F.normalize(projection(states).float(), dim=-1)
    return predicted @ F.normalize(codewords.float(), dim=-1).T / temperature
