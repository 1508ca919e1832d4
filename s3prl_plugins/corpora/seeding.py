"""Random numbers that depend on what they are for, never on the order of the work.

Without torch, unlike `s3prl_plugins.seeding`: the processes that speak fork for every utterance and must stay small.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["generator"]


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for each `purpose` (corpus, utterance ...), so that the number of processes changes nothing.

    >>> bool(generator(0, "a").random() == generator(0, "a").random())
    True
    """
    key = "\0".join(map(str, (seed, *purpose))).encode()
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(key).digest(), "big")))
