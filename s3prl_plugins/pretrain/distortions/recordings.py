"""Sounds to mix in, from folders of audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from s3prl_plugins.heads.audio import load
from s3prl_plugins.pretrain.distortions.draws import draw_integer, draw_one
from s3prl_plugins.pretrain.speech import Frames, Utterance, find_speech

__all__ = ["draw_recording", "find_recordings"]


def find_recordings(folders: Sequence[Path]) -> list[Utterance]:
    """Every .wav and .flac file below the folders, 16 kHz mono.

    :raises CorpusError: a folder without such files, or a file of another kind.
    """
    return find_speech(folders, Frames(rate=1, width=1), 1) if folders else []


def draw_recording(files: Sequence[Utterance], samples: int, random: torch.Generator) -> Tensor:
    """A stretch (samples,) of any file, from any place in it; zeros follow where the file is shorter."""
    file = draw_one(files, random)
    start = draw_integer(0, max(0, file.samples - samples), random)
    sound = load(file.path, start, min(start + samples, file.samples))
    return pad(sound, (0, samples - len(sound)))
