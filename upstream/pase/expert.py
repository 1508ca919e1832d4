"""PASE as an s3prl upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from s3prl_plugins.upstream.lengths import named_states, states_alone
from s3prl_plugins.upstream.pase.checkpoint import load_encoder

__all__ = ["UpstreamExpert"]

_STRIDE = 160


class UpstreamExpert(nn.Module):
    """An encoder of ours, or a released PASE+; every utterance is computed as if alone.

    Stock s3prl pads a batch with zeros and so lets an utterance's last frames depend on its neighbours. Batch
    normalisation keeps the statistics of pretraining also while the encoder is finetuned: those of a batch of
    few long utterances would bring the neighbours back in.

    :param ckpt: what `load_encoder` reads.
    :raises CheckpointError: it is not such a file.
    """

    def __init__(self, ckpt: str | Path, **kwargs: Any) -> None:
        super().__init__()
        self.model = load_encoder(ckpt)

    def get_downsample_rates(self, key: str) -> int:
        return _STRIDE

    def train(self, mode: bool = True) -> UpstreamExpert:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, wavs: list[Tensor], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """:param wavs: per utterance (samples,) at 16 kHz. Below one frame, 160 samples, silence follows.

        :returns: `hidden_states`: `PaseEncoder.states` as a tuple of (utterances, frames, dim), and s3prl's other names.
        """
        whole = [pad(wav, (0, max(0, _STRIDE - len(wav)))) for wav in wavs]
        states = states_alone(whole, lambda group: self.model.states(torch.stack(group)))
        named: dict[str, Any] = named_states(states)
        return named
