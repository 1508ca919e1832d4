"""Frame-level targets of a waveform, by name: what PASE's regression workers predict and the labels of pretext selection.

PASE: arXiv 1904.03416; PASE+: arXiv 2001.09239, whose differences and 7-frame windows are `deltas=2, context=7`; pretext
selection: arXiv 2104.07388. A new target is one file with a subclass of `Target`, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from s3prl_plugins.config import build, plain
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.pretrain.targets.alpha_ratio import AlphaRatio
from s3prl_plugins.pretrain.targets.energy import LogEnergy, RmsEnergy, ZeroCrossingRate
from s3prl_plugins.pretrain.targets.frames import CENTRE, HOP, Target, frame_count
from s3prl_plugins.pretrain.targets.gammatone import Gammatone
from s3prl_plugins.pretrain.targets.mel import LogMel, MelCepstrum
from s3prl_plugins.pretrain.targets.rasta import RastaNorm
from s3prl_plugins.pretrain.targets.spectrum import LogPowerSpectrum
from s3prl_plugins.pretrain.targets.voice import F0, LogHnr, Prosody, Voicing

__all__ = ["CENTRE", "HOP", "TARGETS", "Target", "build_target", "frame_count"]

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "lps": LogPowerSpectrum(),
        "lps_long": LogPowerSpectrum(window=512),
        "fbank": LogMel(),
        "fbank_long": LogMel(window=1024, n_fft=1024),
        "gammatone": Gammatone(),
        "gammatone_long": Gammatone(window=2048, n_fft=2048),
        "mfcc": MelCepstrum(),
        "mfcc_long": MelCepstrum(window=2048, n_fft=2048),
        "prosody": Prosody(),
        "f0": F0(),
        "voicing": Voicing(),
        "log_hnr": LogHnr(),
        "rasta": RastaNorm(),
        "rms": RmsEnergy(),
        "log_energy": LogEnergy(),
        "zcr": ZeroCrossingRate(),
        "alpha_ratio": AlphaRatio(),
    }
)
"""Ready targets with the papers' windows."""


def build_target(name: str, options: Mapping[str, Any] | None = None) -> Target:
    """A target of the table with other options: `build_target("mfcc", {"coefficients": 13, "deltas": 2})`.

    :raises ConfigError: an unknown name or option, or a value that cannot be.
    """
    if name not in TARGETS:
        raise ConfigError(f"unknown target {name!r}; {nearest(name, TARGETS)}")
    target = TARGETS[name]
    return build(type(target), {**plain(target), **(options or {})}, f"targets.{name}")
