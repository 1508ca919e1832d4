"""Speech to measure something on before training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.pretrain.speech import Crops, load_crops
from s3prl_plugins.seeding import generator

__all__ = ["sample_crops"]


def sample_crops(crops: Crops, count: int, seed: int, device: torch.device) -> Iterator[tuple[Tensor, torch.Generator]]:
    """Training crops in other batches than training has them: `count`, or up to a batch more.

    :return: waves (crops, samples) and a CPU generator for each batch.
    """
    crops = dataclasses.replace(crops, seed=seed)
    taken = epoch = 0
    with tqdm(total=count, desc="normalisation", unit="chunk", dynamic_ncols=True) as bar:
        while taken < count:
            for number, batch in enumerate(crops.epoch(epoch)):
                yield load_crops(crops.utterances, batch, crops.frames).to(device), generator(seed, epoch, number)
                taken += len(batch)
                bar.update(len(batch))
                if taken >= count:
                    return
            epoch += 1
