"""How long a known number of floating-point operations takes on a named GPU: an estimate, and what it assumes."""

from __future__ import annotations

from s3prl_plugins.errors import ConfigError, nearest

__all__ = ["PEAKS", "STEP_SECONDS", "UTILISATION", "hours", "known_gpus"]

PEAKS: dict[str, dict[str, float]] = {
    "h200": {"fp32": 67.0, "bf16": 989.0},
    "h100": {"fp32": 67.0, "bf16": 989.0},
    "a100": {"fp32": 19.5, "bf16": 312.0},
    "l40s": {"fp32": 91.6, "bf16": 362.0},
    "a6000": {"fp32": 38.7, "bf16": 154.8},
    "rtx4090": {"fp32": 82.6, "bf16": 165.2},
    "rtx3090": {"fp32": 35.6, "bf16": 71.0},
    "v100": {"fp32": 15.7},
    "t4": {"fp32": 8.1},
}
"""Dense peak, TFLOP/s, of the SXM form where there are several (vendors' data sheets)."""

UTILISATION: dict[str, float] = {"fp32": 0.6, "bf16": 0.4}
"""Share of the peak that training is taken to reach. Batches of two utterances may reach less in bf16."""

STEP_SECONDS = 15e-6
"""Of one time step of one recurrent layer in one pass: such steps wait for each other, whatever the GPU's peak."""


def known_gpus(name: str | None) -> list[str]:
    """The GPU asked for, or all of them.

    :raises ConfigError: the name is not in the table.
    """
    if name is None:
        return list(PEAKS)
    if name.lower() not in PEAKS:
        raise ConfigError(f"unknown GPU {name!r} (--gpu); {nearest(name.lower(), PEAKS)}")
    return [name.lower()]


def hours(gpu: str, flops: float, recurrent_steps: float) -> dict[str, float]:
    """Arithmetic -> hours for `flops` operations and `recurrent_steps` time steps of recurrent layers."""
    waiting = recurrent_steps * STEP_SECONDS
    peaks = PEAKS[gpu].items()
    return {kind: (flops / (peak * 1e12 * UTILISATION[kind]) + waiting) / 3600 for kind, peak in peaks}
