"""Span masking of frames (wav2vec 2.0, arXiv 2006.11477, section 3.1; HuBERT, arXiv 2106.07447)."""

from __future__ import annotations

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError

__all__ = ["check_mask", "span_mask"]


def check_mask(share: float, length: int) -> None:
    """:raises ConfigError: what a configuration has as `mask_share` and `mask_length` cannot be."""
    if not 0 <= share <= 1 or length < 1:
        raise ConfigError(f"mask_share must be 0 to 1 and mask_length at least 1, found {share}, {length}")


def span_mask(rows: int, frames: int, share: float, length: int, generator: torch.Generator) -> Tensor:
    """Draw which frames are masked: spans of one length at random places, which may overlap.

    As fairseq's static masks: a row has `share * frames / length` spans, rounded up or down at random, at least two
    (fewer only where a row is too short for two places), all rows as many masked frames as the row with fewest.

    :param share: frames that were masked if spans did not overlap, 0 to 1.
    :param length: frames of a span.
    :return: (rows, frames), bool.
    """
    length = min(length, frames)
    places = frames - length + 1
    spans = int(share * frames / length + float(torch.rand((), generator=generator)))
    spans = min(max(2, spans), places)
    starts = torch.rand(rows, places, generator=generator).topk(spans, dim=1).indices
    masked = torch.zeros(rows, frames, dtype=torch.bool)
    masked.scatter_(1, (starts.unsqueeze(-1) + torch.arange(length)).flatten(1), True)
    surplus = masked.sum(1) - masked.sum(1).min()
    # Where a row has more than the others, random ones of its masked frames are given back.
    order = torch.where(masked, torch.rand(rows, frames, generator=generator), 2.0).argsort(dim=1)
    drop = torch.arange(frames).expand(rows, frames) < surplus.unsqueeze(1)
    return masked & ~torch.zeros_like(masked).scatter_(1, order, drop)
