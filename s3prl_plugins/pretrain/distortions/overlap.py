"""Another speaker who falls in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from s3prl_plugins.config import Signed
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.draws import draw_integer, draw_one
from s3prl_plugins.pretrain.distortions.recordings import FromFolders, draw_recording
from s3prl_plugins.pretrain.distortions.rooms import Room
from s3prl_plugins.pretrain.distortions.signals import add

__all__ = ["Overlap"]


@dataclass(frozen=True, kw_only=True)
class Overlap(FromFolders, Distortion):
    """Another speaker begins somewhere in the first three quarters and goes on to the end; energy is kept.

    The other is a recording, or without folders another row of the batch; a batch of one row then stays as it is.
    """

    probability: float = 0.1
    snr: tuple[Signed, ...] = (5.0, 7.5, 10.0)
    """Energy of the row over that of the other speaker, dB; one is drawn."""
    latest: float = 0.75
    """Where the other begins at the latest, share of the row."""
    room: Room | None = field(default_factory=Room)
    """Where the other speaks; null: no reverberation."""

    def __post_init__(self) -> None:
        FromFolders.__post_init__(self)
        Distortion.__post_init__(self)
        if not self.snr:
            raise ConfigError("snr must hold at least one level in dB, found none")
        if not 0 <= self.latest < 1:
            raise ConfigError(f"latest must be a share from 0 to below 1, found {self.latest}")

    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        if not self.files and not others:
            return wave
        snr = draw_one(self.snr, random)
        begin = draw_integer(0, int(self.latest * len(wave)), random)
        length = len(wave) - begin
        if self.files:
            voice = draw_recording(self.files, length, random).to(wave)
        else:
            voice = draw_one(others, random)
            first = draw_integer(0, begin, random)
            voice = voice[first : first + length]
        if self.room is not None:
            voice = self.room.reverberate(voice, random)
        return add(wave, pad(voice, (begin, 0)), snr)
