"""The shared encoder: any s3prl upstream, with the two padding modes of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.multitask.packing import by_length, can_pack, packed_states

__all__ = ["HiddenStates", "Padding", "Precision", "Trunk"]

Padding = Literal["batch", "none"]
"""`batch`: utterances are padded to the longest, as stock s3prl does, and keep round(samples / rate) frames. HuBERT
Base's first GroupNorm runs over the padding, so an utterance's states depend on its neighbours.
`none`: every utterance is computed as if alone and keeps the frames the convolutions give."""

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class HiddenStates:
    """States of utterances that went through the encoder together."""

    layers: list[Tensor] | Tensor
    """Each (utterances, frames, dim), or packed (1, frames of all utterances, dim); one tensor (layers, utterances, frames,
    dim) if they come from a store."""
    places: list[int]
    """Which utterances of the batch these are."""
    frames: list[int]
    """Valid frames of each; a mean over time is one."""
    normalized: bool = False
    """Whether they are layer-normalised already."""
    packed: bool = False
    """Whether all utterances stand in one row."""

    def split(self, mixed: Tensor) -> Sequence[Tensor]:
        """What was made of the layers, like one of them in shape, per utterance (frames, dim)."""
        if self.packed:
            return torch.split(mixed[0], self.frames)
        return [row if frames == len(row) else row[:frames] for frames, row in zip(self.frames, mixed.unbind())]


class Trunk(nn.Module):
    """An s3prl upstream, made ready for joint finetuning.

    :param upstream: takes a list of (samples,) tensors, returns a dict with `hidden_states` or the named view.
    :param selection: name of the view (s3prl's `-s`).
    :param layer: only this layer of the view (s3prl's `-l`); None takes all.
    :param conv_grad_mult: gradient multiplier of the convolutional front-end of HuBERT-like models; 0 freezes it,
        None leaves it as the upstream has it (s3prl's HuBERT: 0).
    :param precision: `bfloat16`: in training the encoder computes under autocast; its states are float32 all the same.

    In training with padding `none` utterances of HuBERT are packed (`packing.py`): the same states, faster.
    Layer drop is switched off: a dropped layer changes the number of states and breaks the weighted sum.
    """

    def __init__(
        self,
        upstream: nn.Module,
        padding: Padding = "batch",
        selection: str = "hidden_states",
        layer: int | None = None,
        conv_grad_mult: float | None = None,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self.upstream, self.padding, self.selection, self.layer = upstream, padding, selection, layer
        self.precision = precision
        self._can_pack = padding == "none" and can_pack(upstream, selection)
        _set(upstream, "layerdrop", 0.0)
        if conv_grad_mult is not None and not _set(upstream, "feature_grad_mult", conv_grad_mult):
            raise ConfigError(
                f"config.encoder.conv_grad_mult is {conv_grad_mult}, but {type(upstream).__module__} has no "
                "convolutional front-end with a gradient multiplier; set it to null"
            )
        rates: Any = getattr(upstream, "get_downsample_rates", None)
        if rates is None:
            raise ConfigError(f"upstream {type(upstream).__module__} has no get_downsample_rates, which s3prl requires")
        self.rate: int = rates(selection)

    def describe(self) -> tuple[int, int]:
        """Number of layers and their width, found on one second of silence."""
        training = self.upstream.training
        self.upstream.eval()
        device = next(self.upstream.parameters(), torch.empty(0)).device
        with torch.no_grad():
            layers = self._layers([torch.zeros(16000, device=device)])
        self.upstream.train(training)
        return len(layers), layers[0].shape[-1]

    def forward(
        self, waves: Sequence[Tensor], names: Sequence[str] = (), pack: bool | None = None
    ) -> list[HiddenStates]:
        """States of a batch, in groups that went through the encoder together.

        :param waves: per utterance (samples,) at 16 kHz.
        :param names: what to call the utterances in errors.
        :param pack: whether utterances are packed where that is possible; None: in training only.
        :raises CorpusError: an utterance is too short for the encoder.
        """
        groups = []
        packs = self._can_pack and (self.training if pack is None else pack)
        together = packs or self.padding == "batch"
        for places in [list(range(len(waves)))] if together else by_length(waves):
            chosen = [waves[place] for place in places]
            try:
                with torch.autocast(chosen[0].device.type, torch.bfloat16, enabled=self._rounds):
                    layers, frames = self._states(chosen, packs)
            except (RuntimeError, ValueError, AssertionError) as error:
                self._blame_short(waves, names, error)
                raise
            if min(frames) < 1:
                self._too_short(waves, names, places[frames.index(min(frames))])
            if self._rounds:
                layers = [layer.float() for layer in layers]
            groups.append(HiddenStates(layers, places, frames, packed=packs))
        return groups

    def masked(self, waves: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
        """The last layer's states with some frames masked, each utterance as if alone: (frames of all utterances, dim).

        :param waves: per utterance (samples,) at 16 kHz.
        :param masks: per utterance (frames,), True where the mask vector takes the frame's place.
        """
        with torch.autocast(waves[0].device.type, torch.bfloat16, enabled=self._rounds):
            states, _ = packed_states(self.upstream, waves, masks)
        return states[-1][0].float()

    @property
    def _rounds(self) -> bool:
        return self.training and self.precision == "bfloat16"

    def _states(self, waves: list[Tensor], packs: bool) -> tuple[list[Tensor], list[int]]:
        """The layers of utterances that go through the encoder together, and the frames of each."""
        if packs:
            packed, frames = packed_states(self.upstream, waves)
            return self._chosen(packed), frames
        layers = self._layers(waves)
        return layers, self._frames(waves, layers[0].shape[1])

    def _layers(self, waves: list[Tensor]) -> list[Tensor]:
        output = self.upstream(waves)
        view = output.get(self.selection)
        if view is None:
            raise ConfigError(
                f"upstream {type(self.upstream).__module__} has no view {self.selection!r} (-s); "
                f"it gives {', '.join(str(key) for key in output if not str(key).startswith('_'))}"
            )
        if isinstance(view, dict):
            view = list(view.values())
        return self._chosen(list(view) if isinstance(view, list | tuple) else [view])

    def _chosen(self, layers: list[Tensor]) -> list[Tensor]:
        if self.layer is not None and len(layers) > 1:
            if not -len(layers) <= self.layer < len(layers):
                raise ConfigError(f"layer {self.layer} (-l) does not exist; the upstream has {len(layers)}")
            layers = [layers[self.layer]]
        return layers

    def _frames(self, waves: list[Tensor], given: int) -> list[int]:
        if self.padding == "none":
            return [given] * len(waves)
        return [min(round(wave.numel() / self.rate), given) for wave in waves]

    def _blame_short(self, waves: Sequence[Tensor], names: Sequence[str], cause: Exception) -> None:
        """Raise a clear error if the shortest utterance cannot pass the encoder alone while a second of audio can."""
        place = min(range(len(waves)), key=lambda index: waves[index].numel())
        with torch.no_grad():
            try:
                self._layers([torch.zeros(16000, device=waves[place].device)])
            except (RuntimeError, ValueError, AssertionError):
                return
            try:
                self._layers([waves[place]])
            except (RuntimeError, ValueError, AssertionError):
                self._too_short(waves, names, place, cause)

    def _too_short(
        self, waves: Sequence[Tensor], names: Sequence[str], place: int, cause: Exception | None = None
    ) -> None:
        name = names[place] if names else f"number {place} of the batch"
        raise CorpusError(
            f"utterance {name}: {waves[place].numel()} samples are shorter than one frame of the upstream needs; "
            "remove it from the corpus"
        ) from cause


def _set(module: nn.Module, name: str, value: float) -> bool:
    """Set an attribute on every submodule that has it as a number; whether there was one."""
    found = False
    for part in module.modules():
        if isinstance(getattr(part, name, None), int | float):
            setattr(part, name, value)
            found = True
    return found
