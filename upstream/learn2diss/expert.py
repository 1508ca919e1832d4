"""Learn2Diss as an s3prl upstream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.upstream.learn2diss.checkpoint import load_checkpoint
from s3prl_plugins.upstream.learn2diss.encoder import UtteranceEncoder, hidden_states
from s3prl_plugins.upstream.lengths import named_states, states_alone

__all__ = ["UpstreamExpert", "View"]

View = Literal["both", "frame", "utterance"]
_STRIDE = 320
_LEAST = 400


class UpstreamExpert(nn.Module):
    """Frame and utterance encoder; every utterance is computed as if alone, 50 frames a second.

    As in s3prl's HuBERT the convolutions stay as they are while the encoders are finetuned; so do the statistics of the
    embedding's batch normalisation, by which utterances would see each other.

    :param ckpt: what `load_checkpoint` reads.
    :param view: what `hidden_states` are; the other network is neither loaded nor computed.
    :raises CheckpointError: it is not such a file, holds no encoder of that view, or two whose states differ in shape.
    """

    def __init__(self, ckpt: str | Path, view: View = "both", **kwargs: Any) -> None:
        super().__init__()
        content = load_checkpoint(ckpt)
        self.frame: Any = content.frame_encoder() if view != "utterance" else None
        self.utterance: UtteranceEncoder | None = content.utterance_encoder() if view != "frame" else None
        self.normalize = bool((content.frame or {}).get("task_cfg", {}).get("normalize", False))
        shapes = {_shape(hubert) for hubert in self._hubert()}
        if len(shapes) > 1:
            raise CheckpointError(
                f"{ckpt}: states of both encoders must have one width and rate, found (width, kernels, strides) "
                f"{' and '.join(map(str, sorted(shapes)))}; load learn2diss_frame_local or learn2diss_utterance_local"
            )
        for hubert in self._hubert():
            hubert.feature_grad_mult = 0.0
        self.eval()

    def get_downsample_rates(self, key: str) -> int:
        return _STRIDE

    def train(self, mode: bool = True) -> UpstreamExpert:
        super().train(mode)
        if self.utterance is not None:
            self.utterance.norm.eval()
        return self

    def forward(self, wavs: list[Tensor], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """:param wavs: per utterance (samples,) at 16 kHz. Below one frame, 400 samples, silence follows.

        :returns: tuples of (utterances, frames, dim): `frame`, the states of the frame encoder; `utterance`, the states
            of the utterance encoder, then its embedding at every frame; `hidden_states`, one after the other; each as far
            as the view has it. And s3prl's other names for `hidden_states`.
        """
        waves, views = _long_enough(wavs), {}
        if self.frame is not None:
            views["frame"] = states_alone(waves, self._frame_states)
        if self.utterance is not None:
            views["utterance"] = states_alone(waves, self._utterance_states)
        states = tuple(state for view in views.values() for state in view)
        return {**views, **named_states(states)}

    def embedding(self, wavs: list[Tensor]) -> Tensor:
        """(utterances, dim), each of its utterance alone; their cosine compares two utterances.

        :raises CheckpointError: the view is `frame`.
        """
        if self.utterance is None:
            raise CheckpointError(
                "the view frame has no embedding; load learn2diss_utterance_local or learn2diss_local"
            )
        embedding: Tensor = states_alone(_long_enough(wavs), lambda group: self._utterance_states(group)[-1:])[0]
        return embedding[:, 0]

    def _hubert(self) -> list[Any]:
        networks = [self.frame, None if self.utterance is None else self.utterance.trunk]
        return [network for network in networks if network is not None]

    def _frame_states(self, group: list[Tensor]) -> tuple[Tensor, ...]:
        waves = torch.stack(group)
        if self.normalize:
            waves = layer_norm(waves, waves.shape[1:])
        states: tuple[Tensor, ...] = hidden_states(self.frame, waves)
        return states

    def _utterance_states(self, group: list[Tensor]) -> tuple[Tensor, ...]:
        assert self.utterance is not None
        states, embedding = self.utterance(torch.stack(group))
        return (*states, embedding.to(states[0].dtype).unsqueeze(1).expand_as(states[0]))


def _long_enough(wavs: Sequence[Tensor]) -> list[Tensor]:
    return [pad(wav, (0, max(0, _LEAST - len(wav)))) for wav in wavs]


def _shape(hubert: Any) -> tuple[Any, ...]:
    convolutions = [layer[0] for layer in hubert.feature_extractor.conv_layers]
    kernels, strides = ([getattr(conv, name)[0] for conv in convolutions] for name in ("kernel_size", "stride"))
    return hubert.encoder.embedding_dim, tuple(kernels), tuple(strides)
