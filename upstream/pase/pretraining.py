"""Pretraining PASE (arXiv 1904.03416) and PASE+ (arXiv 2001.09239): an encoder that several workers learn from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from s3prl_plugins import __version__
from s3prl_plugins.config import build, plain
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.claim import claim
from s3prl_plugins.pretrain.config import SpeechConfig, TrainConfig
from s3prl_plugins.pretrain.distortions import build_distortions
from s3prl_plugins.pretrain.material import gather
from s3prl_plugins.pretrain.multi_worker import MultiWorker
from s3prl_plugins.pretrain.sample import sample_crops
from s3prl_plugins.pretrain.speech import Frames
from s3prl_plugins.pretrain.states import begun
from s3prl_plugins.pretrain.targets import HOP
from s3prl_plugins.pretrain.trainer import Pretrainer
from s3prl_plugins.pretrain.workers import Worker, build_worker
from s3prl_plugins.seeding import derive, seeded
from s3prl_plugins.upstream.pase.checkpoint import write_checkpoint
from s3prl_plugins.upstream.pase.encoder import ENCODERS, PaseEncoder

__all__ = ["FRAMES", "PasePretraining", "build_objective", "pretrain"]

FRAMES = Frames(rate=HOP, width=HOP)
"""A crop of n frames has 160 n samples."""


@dataclass(frozen=True)
class PasePretraining:
    """Configuration of `s3prl-plugins pretrain pase`."""

    encoder: str
    """Key of `upstream.pase.encoder.ENCODERS`."""
    speech: SpeechConfig
    """`longest` is what a chunk and its context are drawn from."""
    workers: dict[str, float]
    """Worker -> weight of its loss, as `s3prl-plugins select-pretext` writes it; one of weight 0 is left out."""
    train: TrainConfig
    worker_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Worker -> its options."""
    chunk: float = 1.0
    """Seconds of a chunk, a multiple of 0.01 (PASE: 1, PASE+: 2)."""
    random_scale: bool = False
    """Bring chunk and context to a random peak (PASE+)."""
    distortions: dict[str, Any] = field(default_factory=dict)
    """Distortion of the chunk -> its options; none by default."""
    sample: int = 2000
    """Chunks that the targets' mean and standard deviation are measured on (PASE's released code: 2000)."""
    half: bool = False
    """Write the final checkpoint in float16, half the size; whoever loads it has float32 again."""

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise ConfigError(f"encoder is {self.encoder!r}; {nearest(self.encoder, ENCODERS)}")
        for name, weight in self.workers.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ConfigError(f"workers.{name} must be a weight of at least 0, found {weight}")
        if not any(self.workers.values()):
            raise ConfigError("workers must have a weight above 0, found none; name at least one")
        for name in self.worker_options:
            if name not in self.workers:
                raise ConfigError(f"worker_options.{name} is not among workers; {nearest(name, self.workers)}")
        if self.train.weights:
            raise ConfigError("train.weights must be empty: weights stand in workers")
        if self.samples < HOP or abs(self.chunk * SAMPLE_RATE - self.samples) > 1e-3 or self.samples % HOP:
            raise ConfigError(f"chunk must be a multiple of 0.01 seconds, found {self.chunk}")
        if self.speech.shortest < self.chunk:
            raise ConfigError(
                f"speech.shortest must be at least chunk = {self.chunk} seconds, found {self.speech.shortest}"
            )
        if self.speech.longest < self.speech.shortest:
            raise ConfigError(
                f"speech.longest must be at least shortest = {self.speech.shortest}, found {self.speech.longest}"
            )
        if self.speech.batch < 2 * self.speech.longest:
            raise ConfigError(
                f"speech.batch must hold two crops of {self.speech.longest} seconds, found {self.speech.batch}"
            )
        if self.sample < 1:
            raise ConfigError(f"sample must be at least 1 chunk, found {self.sample}")

    @property
    def samples(self) -> int:
        """Samples of a chunk."""
        return round(self.chunk * SAMPLE_RATE)

    @property
    def weights(self) -> dict[str, float]:
        """Workers that take part."""
        return {name: weight for name, weight in self.workers.items() if weight}


def pretrain(mapping: Mapping[str, Any], folder: Path, seed: int, device: torch.device) -> Path:
    """Train encoder and workers; returns `folder`/pase.pt, which `pase_multitask_local` loads.

    The folder also holds `pretraining.yaml`, `metrics.jsonl` and `training.pt` (encoder, workers, what their targets are
    normalised with, optimizer). A run that was cut off goes on where it was.

    :raises UserError: whatever is wrong with configuration, speech or what the folder holds; nothing is written then.
    """
    config = build(PasePretraining, mapping)
    objective = build_objective(config, seed)
    speech = gather(config.speech, FRAMES, seed)
    crops, validation = speech.crops(speech.train, seed), speech.crops(speech.held_out, seed)
    training = dataclasses.replace(config.train, weights=config.weights)
    trainer = Pretrainer(objective, crops, validation, training, folder, seed, device)
    claim(folder, config, seed, speech.utterances)
    speech.tell()
    if not begun(folder):
        objective.fit(sample_crops(crops, config.sample, derive(seed, "sample"), device))
    trainer.run()
    facts = {"workers": config.weights, "seed": seed, "config": plain(config), "version": __version__}
    write_checkpoint(folder / "pase.pt", objective.encoder, facts, config.half)
    return folder / "pase.pt"


def build_objective(config: PasePretraining, seed: int) -> MultiWorker:
    """Encoder and workers with weights drawn from the seed, each part's from its own name.

    :raises ConfigError: an unknown worker, distortion or option, or a chunk too short for a worker.
    """
    encoder = PaseEncoder(ENCODERS[config.encoder], derive(seed, "encoder"))
    workers: dict[str, Worker] = {}
    for name in config.weights:
        with seeded(seed, "worker", name):
            workers[name] = build_worker(name, encoder.dim, config.worker_options.get(name))
        if workers[name].least > config.samples // HOP:
            raise ConfigError(
                f"chunk is {config.chunk} seconds and worker {name} needs {workers[name].least * HOP / SAMPLE_RATE:g}; "
                "lengthen chunk (and speech.shortest) or leave the worker out"
            )
    distort = build_distortions(config.distortions) if config.distortions else None
    return MultiWorker(encoder, workers, config.samples, config.random_scale, distort)
