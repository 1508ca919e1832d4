"""What the tests of the store share: files to stand for audio, and states for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from s3prl_plugins.features import audio
from s3prl_plugins.features.identity import Utterance

IDENTITY = "0123456789abcdef" * 4


def sounds(folder: Path, count: int = 4) -> list[Utterance]:
    """Files of different bytes; the store reads them as bytes alone."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 1000)
    return [Utterance(path) for path in paths]


def states(seed: int, frames: int = 7) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return list(torch.randn(3, frames, 5, generator=draw).unbind())


def equal(found: Tensor | None, wanted: list[Tensor] | Tensor) -> bool:
    return found is not None and len(found) == len(wanted) and all(torch.equal(a, b) for a, b in zip(found, wanted))


def trust_young_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember digests of files that were written a moment ago, as those of an older corpus would be."""
    monkeypatch.setattr(audio, "SETTLED", -1.0)
