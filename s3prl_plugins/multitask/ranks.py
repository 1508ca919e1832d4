"""The processes of one run: a single one, or those that `torchrun` started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError

__all__ = ["ALONE", "Ranks", "asked_for_ranks", "joined_ranks"]

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those of a run. Every process calls the same methods in the same order."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def names(self) -> tuple[object, ...]:
        """What tells this process's random draws from those of others; empty for a single process."""
        return () if self.world == 1 else ("rank", self.rank)

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """What of a list this process works on."""
        return items[self.rank :: self.world]

    def sum(self, *values: float) -> list[float]:
        """Sums over processes, in float64; what is not finite stays so."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=_device())
        dist.all_reduce(total)
        return [float(value) for value in total.cpu()]

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every process the sum of the processes' gradients; a parameter that none has used keeps none."""
        if self.world == 1:
            return
        flags = torch.tensor([float(p.grad is not None) for p in parameters], device=_device())
        dist.all_reduce(flags)
        used = [parameter for parameter, count in zip(parameters, flags.tolist()) if count]
        if not used:
            return
        flat = torch.cat([_gradient(parameter).flatten() for parameter in used])
        dist.all_reduce(flat)
        for parameter, part in zip(used, torch.split(flat, [parameter.numel() for parameter in used])):
            parameter.grad = part.view_as(parameter).clone()

    def gather(self, item: T) -> list[T]:
        """The processes' items, in the order of ranks, for every process."""
        if self.world == 1:
            return [item]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, item)
        return found


ALONE = Ranks()


def asked_for_ranks() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, over NCCL for GPUs and Gloo for CPUs, and leave them at the end.

    A group that exists already is taken as it is, and left to who made it.

    :param device: `cpu`, or `cuda`: each process then takes a GPU of its own, if there are any.
    :raises ConfigError: more processes than GPUs on this machine.
    """
    if not dist.is_initialized() and asked_for_ranks() == 1:
        yield ALONE
        return
    own = not dist.is_initialized()
    if own:
        on_gpus = device.startswith("cuda") and torch.cuda.is_available()
        if on_gpus:
            local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
            if local >= there:
                raise ConfigError(
                    f"torchrun started more processes than there are GPUs ({there}); "
                    f"pass --nproc_per_node {there} to it, or --device cpu"
                )
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        if own:
            dist.destroy_process_group()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _device() -> torch.device:
    """Where the group's backend wants its tensors."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
