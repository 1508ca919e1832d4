"""Sounds to mix in, from folders of audio."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from s3prl_plugins.heads.audio import load
from s3prl_plugins.pretrain.distortions.draws import draw_integer, draw_one
from s3prl_plugins.pretrain.speech import Frames, Utterance, find_speech

__all__ = ["FromFolders", "draw_recording"]


@dataclass(frozen=True, kw_only=True)
class FromFolders:
    """What may take its sounds from recordings."""

    folders: tuple[Path, ...] = ()
    """Recordings as .wav or .flac, 16 kHz mono; without any, the class says what takes their place.

    :raises CorpusError: a folder without such files, or a file of another kind.
    """

    def __post_init__(self) -> None:
        _ = self.files  # a fault of the folders shows before training, not in it

    @cached_property
    def files(self) -> list[Utterance]:
        """Every recording below the folders."""
        return find_speech(self.folders, Frames(rate=1, width=1), 1) if self.folders else []


def draw_recording(files: list[Utterance], samples: int, random: torch.Generator) -> Tensor:
    """A stretch (samples,) of any file, from any place in it; zeros follow where the file is shorter."""
    file = draw_one(files, random)
    start = draw_integer(0, max(0, file.samples - samples), random)
    sound = load(file.path, start, min(start + samples, file.samples))
    return pad(sound, (0, samples - len(sound)))
