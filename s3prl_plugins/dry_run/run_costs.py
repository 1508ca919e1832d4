"""What one batch of each task of a joint run costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from s3prl_plugins.dry_run.costs import Cost, Curve, curve, measure
from s3prl_plugins.dry_run.fake_tasks import fake_label, fake_wave
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.streams import Batch
from s3prl_plugins.multitask.trunk import Padding
from s3prl_plugins.seeding import generator, seeded

__all__ = ["RunCosts"]


@dataclass(frozen=True)
class RunCosts:
    """Cost by length of the encoder with its layer weights, and of each head."""

    model: JointModel
    padding: Padding
    encoder: Curve
    heads: dict[str, Curve]

    @classmethod
    def of(cls, experiment: Experiment, seed: int) -> RunCosts:
        """Measure one utterance of 1, 2 and 3 seconds in training mode."""
        model, tasks = experiment.model, experiment.tasks
        first = next(iter(tasks))
        _, dim = model.trunk.describe()

        def encoder(seconds: float) -> Cost:
            example = Example(f"{seconds} s", Path(), seconds, None)
            batch = Batch([example], [fake_wave(seconds, generator(seed, "cost", seconds))])
            return measure(lambda: model.features(first, batch)[0].sum(), model.parameters())

        def head(task: str, seconds: float) -> Cost:
            draw = generator(seed, task, "cost", seconds)
            label = fake_label(tasks[task].config.card, model.labels[task], seconds, draw)
            frames = round(seconds * SAMPLE_RATE / model.trunk.rate)
            feature = torch.randn(frames, dim, generator=draw).to(experiment.device).requires_grad_()
            return measure(lambda: model.head(task).loss([feature], [label]).mean, model.heads[task].parameters())

        model.train()
        with seeded(seed, "costs"):
            heads = {task: curve(partial(head, task)) for task in tasks}
            return cls(model, experiment.config.encoder.padding, curve(encoder), heads)

    def batch(self, task: str, seconds: Sequence[float]) -> Cost:
        """Of one batch; heads pad to its longest utterance, the encoder does in padding mode `batch`.

        :param seconds: length of each utterance.
        """
        padded = [max(seconds)] * len(seconds)
        return self.encoder(padded if self.padding == "batch" else seconds) + self.heads[task](padded)

    def recurrent(self, task: str, seconds: Sequence[float]) -> float:
        """Time steps that the head's recurrent layers make for a batch, one after the other, forward and backward."""
        head = self.model.heads[task]
        layers = sum(module.num_layers for module in head.modules() if isinstance(module, nn.RNNBase))
        frames = max(seconds) * SAMPLE_RATE / self.model.trunk.rate * getattr(head, "repeats", 1)
        return 2 * layers * frames
