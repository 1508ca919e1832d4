"""What the two kernels compare: stretches of speech brought to one length, and labels brought to one number.

Sizes are those of the selection papers' code; where the papers are silent on the spectrogram, it is log-mel, 80 bands,
each brought to mean 0 and variance 1 over the speech in use. Without that all cosines would be close to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks

__all__ = ["LABEL_VARIANCE", "downsampling", "label_energy", "log_mel", "speech_kernel"]

LABEL_VARIANCE = 0.05
"""Of the Gaussian kernel on labels that have mean 0 and variance 1 over frames."""
_STD_RATIO, _STD_SLOPE = 0.07, 0.1
_FFT, _BANDS, _FLOOR = 512, 80, 1e-6


def downsampling(frames: int, kept: int) -> Tensor:
    """Gaussian filters (kept, frames), rows summing to 1, that turn a stretch of any length into `kept` frames.

    Centres are evenly spaced from the first to the last frame. The k-th filter has a standard deviation of
    0.07 frames + 0.1 d, where d is how many filters it is away from the nearer end.
    """
    index = torch.arange(kept, dtype=torch.float64)
    std = _STD_RATIO * frames + _STD_SLOPE * torch.minimum(index, kept - 1 - index)
    centre = torch.linspace(0, frames - 1, kept, dtype=torch.float64)
    edges = torch.arange(frames + 1, dtype=torch.float64) - 0.5
    below = torch.special.ndtr((edges[None, :] - centre[:, None]) / std[:, None])
    filters: Tensor = below.diff(dim=1)
    return filters / filters.sum(dim=1, keepdim=True)


def log_mel(wave: Tensor) -> Tensor:
    """Log-mel spectrogram (frames, 80) of samples (samples,) at 16 kHz: 25 ms windows, one frame every 10 ms."""
    spectrum = torch.stft(
        wave.float(), _FFT, 160, 400, torch.hann_window(400), pad_mode="constant", return_complex=True
    )
    filters: Tensor = melscale_fbanks(_FFT // 2 + 1, 0.0, 8000.0, _BANDS, 16000)
    bands: Tensor = spectrum.abs().square().T @ filters
    return (bands + _FLOOR).log()


def speech_kernel(stretches: Tensor) -> Tensor:
    """Cosines (n, n) between stretches (n, frames, bands), each taken as one long vector."""
    rows: Tensor = torch.nn.functional.normalize(stretches.flatten(1).double(), dim=1)
    return rows @ rows.T


def label_energy(labels: Tensor, variance: float = LABEL_VARIANCE) -> Tensor:
    """-log of the Gaussian kernel for every pair of samples, (n (n - 1) / 2,), rows of the upper triangle in turn.

    :param labels: (n, dim); the squared distance is the mean over dimensions, which the papers, with numbers only, leave open.
    """
    labels = labels.double()
    one, two = torch.triu_indices(len(labels), len(labels), 1)
    return (labels[one] - labels[two]).square().mean(dim=1) / (2 * variance)
