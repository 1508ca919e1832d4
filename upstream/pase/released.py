"""Weights in the layout of PASE's released code, santi-pdp/pase."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.upstream.pase.encoder import ENCODERS, PaseEncoder

__all__ = ["from_released", "is_released"]

_RENAMED = {
    ".conv.low_hz_": ".conv.low",
    ".conv.band_hz_": ".conv.band",
    ".act.": ".activation.",
    "denseskips.": "skips.",
    "rnn.layers.0.": "recurrence.",
    "W.": "projection.",
    "norm_out.": "norm.",
}
"""Part of a name there -> here."""


def is_released(weights: Mapping[str, object]) -> bool:
    """Whether these look like weights of the released code's encoder."""
    return "blocks.0.conv.low_hz_" in weights


def from_released(weights: Mapping[str, Tensor], path: Path) -> PaseEncoder:
    """The encoder with released weights, such as FE_e199.ckpt of PASE+ (cfg/frontend/PASE+.cfg) or one of PASE.cfg.

    What was tried: state dicts of the released code with random weights, its QRNN on salesforce/pytorch-qrnn. All the
    states agree within 3e-6, where its skips are not misplaced (`PaseEncoder`). The published files could not be
    downloaded. Every name and shape is checked, so that another layout is an error and not a wrong encoder.

    :param weights: name there -> tensor.
    :param path: for the error message.
    :raises CheckpointError: a name or shape that neither PASE nor PASE+ has.
    """
    found = {_renamed(name): tensor for name, tensor in weights.items()}
    size = "plus" if any(name.startswith("recurrence.") for name in found) else "pase"
    encoder = PaseEncoder(ENCODERS[size])
    wanted = {name: tensor for name, tensor in encoder.state_dict().items() if "num_batches" not in name}
    found = {name: tensor for name, tensor in found.items() if "num_batches" not in name}
    for name in sorted(wanted.keys() | found.keys()):
        here = tuple(wanted[name].squeeze().shape) if name in wanted else None
        there = tuple(found[name].squeeze().shape) if name in found else None
        if here != there:
            raise CheckpointError(
                f"{path}: {name} has shape {there}, but {here} in ENCODERS[{size!r}]; pass a released PASE or PASE+"
            )
    encoder.load_state_dict({name: tensor.view_as(wanted[name]) for name, tensor in found.items()}, strict=False)
    return encoder.eval()


def _renamed(name: str) -> str:
    for there, here in _RENAMED.items():
        if there.startswith(".") or name.startswith(there):
            name = name.replace(there, here)
    return name
