"""The joint model: one encoder, and for every task its layer weights and its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from s3prl_plugins.heads.contract import Head, Loss, Prediction
from s3prl_plugins.heads.task import TaskConfig, build_head
from s3prl_plugins.multitask.frozen import Shelf
from s3prl_plugins.multitask.layermix import LayerMix
from s3prl_plugins.multitask.ssl_config import SSL, MaskedPredictionConfig
from s3prl_plugins.multitask.ssl_head import SslHead
from s3prl_plugins.multitask.streams import Batch
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.seeding import seeded

__all__ = ["JointModel"]


class JointModel(nn.Module):
    """Encoder, featurizers and heads.

    :param trunk: the shared encoder.
    :param tasks: task -> configuration.
    :param labels: task -> the label inventory its reader gave.
    :param seed: of the heads' initial weights; each head's depend on its own name only.
    :param trainable: whether the encoder is finetuned; otherwise it stays in evaluation mode without gradients.
    :param shared_featurizer: one set of layer weights for all tasks.
    :param specaug: arguments of s3prl's SpecAug on the features while training.
    :param masked_prediction: a further task `ssl`, which has a head but neither layer weights nor answers.
    """

    def __init__(
        self,
        trunk: Trunk,
        tasks: dict[str, TaskConfig],
        labels: dict[str, Any],
        seed: int,
        trainable: bool = True,
        shared_featurizer: bool = False,
        normalize: bool = False,
        specaug: dict[str, Any] | None = None,
        masked_prediction: MaskedPredictionConfig | None = None,
    ) -> None:
        super().__init__()
        from s3prl.nn.specaug import SpecAug

        layers, dim = trunk.describe()
        self.trunk, self.trainable = trunk.requires_grad_(trainable), trainable
        self.labels = labels
        self.shelves: Mapping[str, Shelf] = {}
        """Task -> how its states are stored; a task that is not here computes them each time."""
        mixes = [LayerMix(layers, normalize) for _ in ([0] if shared_featurizer else tasks)]
        self._one_featurizer = shared_featurizer
        self.featurizers = nn.ModuleDict({name: mixes[i % len(mixes)] for i, name in enumerate(tasks)})
        self.heads = nn.ModuleDict()
        for name, config in tasks.items():
            with seeded(seed, name, "head"):
                self.heads[name] = cast(nn.Module, build_head(config, labels[name], dim, trunk.rate))
        self.ssl: SslHead | None = None
        if masked_prediction is not None:
            with seeded(seed, SSL, "head"):
                self.ssl = SslHead(masked_prediction, dim, seed)
        self.specaug = SpecAug(**specaug) if specaug is not None else None

    def head(self, task: str) -> Head:
        return cast(Head, self.heads[task])

    def train(self, mode: bool = True) -> JointModel:
        super().train(mode)
        if not self.trainable:
            self.trunk.eval()
        return self

    def features(self, task: str, batch: Batch) -> list[Tensor]:
        """The task's features of a batch, per utterance (frames, dim)."""
        device = next(self.heads.parameters()).device
        with torch.set_grad_enabled(self.trainable and torch.is_grad_enabled()):
            if batch.utterances:
                states = self.shelves[task].states(self.trunk, batch, device)
            else:
                waves = [wave.to(device) for wave in batch.waves if wave is not None]
                states = self.trunk(waves, [example.name for example in batch.examples])
        features: list[Tensor] = self.featurizers[task](states)
        return self._augment(features) if self.training and self.specaug is not None else features

    def loss(self, task: str, batch: Batch) -> Loss:
        """Loss of one task's batch."""
        if task == SSL and self.ssl is not None:
            return self.ssl.loss(self.trunk, batch)
        return self.head(task).loss(self.features(task, batch), batch.labels)

    def answer(self, task: str, batch: Batch, with_loss: bool) -> tuple[list[Prediction], Loss | None]:
        """Predictions for one task's batch and, where the labels are known, its loss; without gradients."""
        with torch.no_grad():
            features = self.features(task, batch)
            loss = self.head(task).loss(features, batch.labels) if with_loss else None
            return self.head(task).predict(features, batch.examples), loss

    def _augment(self, features: Sequence[Tensor]) -> list[Tensor]:
        lengths = torch.tensor([feature.shape[0] for feature in features])
        padded = nn.utils.rnn.pad_sequence(list(features), batch_first=True)
        assert self.specaug is not None
        masked, _ = self.specaug(padded, lengths)
        return [row[:length] for row, length in zip(masked, lengths.tolist())]

    def shared(self) -> dict[str, nn.Parameter]:
        """Trainable parameters that all tasks use: `upstream.*`, and `featurizer.*` where it is one for all tasks."""
        named = dict(self.trunk.named_parameters())
        if self._one_featurizer:
            named |= {f"featurizer.{name}": p for name, p in next(iter(self.featurizers.values())).named_parameters()}
        return {name: parameter for name, parameter in named.items() if parameter.requires_grad}

    def own(self, task: str) -> list[nn.Parameter]:
        """Trainable parameters that only this task uses."""
        if task == SSL and self.ssl is not None:
            return list(self.ssl.parameters())
        modules = [self.heads[task]] if self._one_featurizer else [self.heads[task], self.featurizers[task]]
        return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by part: `upstream`, `featurizer`, and one `head/<task>` each."""
        parts = {
            "upstream": list(self.trunk.parameters()),
            "featurizer": list(self.featurizers.parameters()),
            **{f"head/{name}": list(head.parameters()) for name, head in self.heads.items()},
            **({f"head/{SSL}": list(self.ssl.parameters())} if self.ssl is not None else {}),
        }
        return {name: [p for p in parameters if p.requires_grad] for name, parameters in parts.items()}
