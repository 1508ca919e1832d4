"""A signal that goes on beyond its ends as in a mirror, however short it is."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mirrored"]


def mirrored(signal: Tensor, left: int, right: int) -> Tensor:
    """(batch, channels, samples) -> (batch, channels, left + samples + right), the last sample not repeated.

    torch refuses a padding longer than the signal; here the mirror image is mirrored again, as numpy's `reflect` does.
    """
    samples = signal.shape[-1]
    if max(left, right) < samples:
        # torch's pad copies bfloat16 under autocast to float32 and back.
        before, after = signal[..., 1 : left + 1].flip(-1), signal[..., samples - 1 - right : -1].flip(-1)
        return torch.cat([before, signal, after], -1)
    period = max(1, 2 * (samples - 1))
    places = torch.arange(-left, samples + right, device=signal.device).remainder(period)
    return signal[..., torch.minimum(places, period - places)]
