"""Signals with silences for the comparison with the sox program: 16 kHz, one channel, multiples of 2**-15."""

import numpy as np

RATE = 16000
SIGNALS = {
    "digital": [("zero", 0.3), ("tone", 0.5), ("zero", 0.4), ("noise", 0.3), ("hiss", 0.25)],
    "room": [
        ("hiss", 0.2), ("noise", 0.05), ("zero", 0.2), ("tone", 0.8), ("hiss", 0.09), ("tone", 0.3), ("soft", 0.5),
        ("hiss", 0.6), ("noise", 0.15),
    ],
    "short gap": [("tone", 0.4), ("zero", 0.05), ("tone", 0.2)],
    "silent": [("zero", 1.0)],
    "bursts": [("noise", 0.3), ("hiss", 0.5), ("noise", 0.09), ("hiss", 0.2), ("noise", 0.4), ("hiss", 0.05)],
}  # fmt: skip
"""Name -> (kind of sound, seconds) in order."""


def signal(name):
    """Float32 samples of one signal; the same ones on every machine."""
    random = np.random.default_rng(list(SIGNALS).index(name))
    parts = []
    for kind, seconds in SIGNALS[name]:
        time = np.arange(round(seconds * RATE)) / RATE
        noise = random.uniform(-1, 1, len(time))
        parts.append(
            {
                "zero": 0 * time,
                "hiss": 0.0005 * noise,
                "noise": 0.5 * noise,
                "tone": 0.3 * np.sin(2 * np.pi * 440 * time),
                "soft": 0.004 * np.sin(2 * np.pi * 200 * time),
            }[kind]
        )
    return (np.round(np.concatenate(parts) * 2**15) / 2**15).astype(np.float32)
