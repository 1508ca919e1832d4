"""Randomness as a function of names: every draw depends on (seed, what it is for), never on what ran before.

So nothing of a random state needs saving: a resumed run, or one with another number of workers, draws the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["derive", "generator", "seeded"]


def derive(seed: int, *names: object) -> int:
    """A 63-bit seed from a base seed and names such as ("asr", "epoch", 3)."""
    text = "\x1f".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A torch generator on the CPU, seeded by `derive`."""
    return torch.Generator().manual_seed(derive(seed, *names))


@contextmanager
def seeded(seed: int, *names: object) -> Iterator[None]:
    """Run code that draws from torch's global generators (dropout, SpecAugment, initialisation) reproducibly.

    The global states are as before afterwards, also on every visible GPU.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        # torch.manual_seed formats a stack trace for every kind of device that is not in use.
        torch.default_generator.manual_seed(derive(seed, *names))
        if devices:
            torch.cuda.manual_seed_all(derive(seed, *names))
        yield
