"""MGF as an s3prl upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from s3prl_plugins.upstream.lengths import named_states, states_alone
from s3prl_plugins.upstream.mgf.checkpoint import load_encoder

__all__ = ["UpstreamExpert"]


class UpstreamExpert(nn.Module):
    """Every utterance is computed as if alone; batch normalisation keeps the statistics of pretraining also while the
    encoder is finetuned.

    :param ckpt: what `load_encoder` reads.
    :raises CheckpointError: it is not such a file.
    """

    def __init__(self, ckpt: str | Path, **kwargs: Any) -> None:
        super().__init__()
        self.model = load_encoder(ckpt)

    def get_downsample_rates(self, key: str) -> int:
        hop: int = self.model.config.hop
        return hop

    def train(self, mode: bool = True) -> UpstreamExpert:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, wavs: list[Tensor], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """:param wavs: per utterance (samples,) at 16 kHz. Below one frame, `hop` samples, silence follows.

        :returns: `hidden_states`: h and every layer's output, (utterances, frames, dim) each, and s3prl's other names.
        """
        least = self.model.config.hop
        whole = [pad(wav, (0, max(0, least - len(wav)))) for wav in wavs]
        states = states_alone(whole, self._states)
        named: dict[str, Any] = named_states(states)
        return named

    def _states(self, group: list[Tensor]) -> tuple[Tensor, ...]:
        output = self.model(torch.stack(group))
        return output.local, *output.states
