"""One encoder, many workers: the objective of PASE (arXiv 1904.03416) and PASE+ (arXiv 2001.09239)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from s3prl_plugins.pretrain.objective import Batch, Losses
from s3prl_plugins.pretrain.workers import Regression, Views, Worker
from s3prl_plugins.seeding import generator

__all__ = ["Distort", "MultiWorker", "cut_two", "scale_at_random"]

Distort = Callable[[Tensor, torch.Generator], Tensor]
"""Waves (crops, samples) and a CPU generator -> waves of the same shape."""


class MultiWorker(nn.Module):
    """The losses of all workers on one pass of the encoder; terms are named after the workers.

    Each crop of a batch gives a chunk and a context, two stretches of the same utterance. The stretch of another
    utterance that LIM and GIM need is the context of the next crop. The released code draws a third stretch for it; ours
    has the same distribution and costs a third less of the encoder.

    Where no worker looks at the context, the encoder does not either, at half the cost.

    What a worker draws depends on the batch's generator and its own name, not on the other workers.

    :param encoder: (batch, samples) -> (batch, frames, dim).
    :param workers: name -> worker, for embeddings of the encoder's dim.
    :param chunk: samples of a chunk; batches hold at least two crops, at least as long.
    :param random_scale: bring each stretch to a random peak before targets are computed (PASE+).
    :param distort: changes what the encoder hears of the chunk, not the targets nor the context.
    """

    def __init__(
        self,
        encoder: nn.Module,
        workers: Mapping[str, Worker],
        chunk: int,
        random_scale: bool = False,
        distort: Distort | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.workers = nn.ModuleDict(workers)
        self.pairs = any(worker.pairs for worker in workers.values())
        self.chunk, self.random_scale, self.distort = chunk, random_scale, distort

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        base = _draw(random)
        clean, context = self._stretches(batch.waves, generator(base, "stretches"))
        heard = self.distort(clean, generator(base, "distortions")) if self.distort else clean
        embedded = self.encoder(torch.cat([heard, context]) if self.pairs else heard)
        chunk, context = embedded.split([len(heard), len(embedded) - len(heard)])
        views = Views(clean, chunk, context, context.roll(-1, 0))
        return Losses({name: worker(views, generator(base, name)) for name, worker in self.workers.items()})

    def fit(self, batches: Iterable[tuple[Tensor, torch.Generator]]) -> None:
        """Measure what regression workers normalise their targets with, on chunks as training will cut them.

        :param batches: waves (crops, samples) and a CPU generator each.
        """
        for waves, random in batches:
            clean, _ = self._stretches(waves, generator(_draw(random), "stretches"))
            for worker in self.workers.values():
                if isinstance(worker, Regression):
                    worker.take(clean)

    def _stretches(self, waves: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        chunk, context = cut_two(waves, self.chunk, random)
        if self.random_scale:
            return scale_at_random(chunk, random), scale_at_random(context, random)
        return chunk, context


def _draw(random: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=random))


def cut_two(waves: Tensor, length: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two stretches of each row, in either order: uniform among pairs that do not overlap, or, where a row has no room
    for two, its first and its last samples.

    :param waves: (batch, samples), at least `length` samples.
    :return: (batch, length) each.
    """
    rows, samples = waves.shape
    if samples < length:
        raise ValueError(f"crops must have {length} samples, found {samples}")
    spare = samples - 2 * length
    if spare >= 0:
        # Two different places among spare + 2, sorted, are a pair of starts with the first stretch cut out.
        first = torch.randint(spare + 2, (rows,), generator=random)
        second = (first + 1 + torch.randint(spare + 1, (rows,), generator=random)) % (spare + 2)
        starts = torch.stack([torch.minimum(first, second), torch.maximum(first, second) - 1 + length])
    else:
        starts = torch.tensor([[0], [samples - length]]).expand(2, rows)
    swap = torch.rand(rows, generator=random) < 0.5
    starts = torch.where(swap, starts.flip(0), starts).to(waves.device)
    places = starts.unsqueeze(-1) + torch.arange(length, device=waves.device)
    chunk, context = waves.gather(1, places[0]), waves.gather(1, places[1])
    return chunk, context


def scale_at_random(waves: Tensor, random: torch.Generator) -> Tensor:
    """Each row with its peak at U(0, 1) (PASE+'s released code); silence stays silent."""
    peaks = waves.abs().amax(1, keepdim=True).clamp(min=1e-8)
    return waves / peaks * torch.rand(len(waves), 1, generator=random).to(waves.device)
