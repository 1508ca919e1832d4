"""HuBERT's masked prediction on the encoder of a joint run."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.heads.contract import Loss
from s3prl_plugins.multitask.ssl_config import SSL, MaskedPredictionConfig
from s3prl_plugins.multitask.streams import Batch
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.pretrain.masked_prediction import cluster_logits
from s3prl_plugins.pretrain.masking import span_mask
from s3prl_plugins.seeding import generator

__all__ = ["SslHead"]

_WIDEST = 256


class SslHead(nn.Module):
    """Projection and codewords; predicts the clusters of masked frames from the encoder's last layer.

    As arXiv 2106.07447, equations 1 to 3, with the loss of masked frames alone (fairseq's `pred_masked_weight` 1,
    `pred_nomask_weight` 0) and without its penalty on the convolutions' output.

    :param dim: width of the encoder.
    :param seed: of the masks, which depend on (seed, epoch, utterance) only.
    """

    def __init__(self, config: MaskedPredictionConfig, dim: int, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        width = min(_WIDEST, dim)
        self.projection = nn.Linear(dim, width)
        self.codewords = nn.Parameter(torch.rand(config.clusters, width))

    def loss(self, trunk: Trunk, batch: Batch) -> Loss:
        """Cross-entropy in nats, summed over masked frames.

        :param batch: its labels are the clusters of each utterance's frames, (frames,).
        """
        device = self.codewords.device
        waves = [wave.to(device) for wave in batch.waves if wave is not None]
        masks = [self._mask(example.name, batch.epoch, len(example.label)) for example in batch.examples]
        states = trunk.masked(waves, [mask.to(device) for mask in masks])
        mask, labels = torch.cat(masks).to(device), torch.cat(batch.labels).to(device)
        logits = cluster_logits(states[mask], self.projection, self.codewords, self.config.temperature)
        return Loss(F.cross_entropy(logits, labels[mask], reduction="sum"), float(mask.sum()))

    def _mask(self, name: str, epoch: int, frames: int) -> Tensor:
        draw = generator(self.seed, SSL, "mask", epoch, name)
        return span_mask(1, frames, self.config.mask_share, self.config.mask_length, draw)[0]
