"""Unlabelled speech as the stream of a further task: pieces of recordings, labelled with clusters of their frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.index import AsTheyLie
from s3prl_plugins.multitask.packing import can_pack
from s3prl_plugins.multitask.ranks import ALONE, Ranks
from s3prl_plugins.multitask.reading import Reading
from s3prl_plugins.multitask.ssl_config import SSL, MaskedPredictionConfig
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.pretrain.clusters import FrameFeatures, Targets, fit_clusters, make_targets
from s3prl_plugins.pretrain.speech import Frames, Utterance, find_speech
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.cards import TaskCard

__all__ = ["CARD", "FRAMES", "SpeechReader", "check_encoder", "pieces", "ssl_stream"]

_TARGETS = "ssl_targets.npz"
CARD = TaskCard(SSL, "Masked Prediction", "content", "", "", (), "train", "", "")
FRAMES = Frames()


@dataclass
class SpeechReader(AsTheyLie):
    """Reads pieces of recordings; what they are, `pieces` says."""

    card: TaskCard = CARD

    def examples(self, split: str, problems: Problems) -> list[Example]:
        return []

    def labels(self, problems: Problems) -> None:
        return None

    def files(self) -> Sequence[Path]:
        return ()


def check_encoder(trunk: Trunk, trainable: bool) -> None:
    """:raises ConfigError: the encoder has no masked prediction, or would not learn from it."""
    if not trainable:
        raise ConfigError("config.masked_prediction trains the encoder, which is frozen here; add -f or leave it out")
    if not can_pack(trunk.upstream, trunk.selection) or trunk.rate != FRAMES.rate:
        raise ConfigError(
            f"config.masked_prediction needs the hidden_states of a HuBERT at 50 Hz, found {type(trunk.upstream).__module__} "
            f"with {trunk.selection!r}; leave it out or take another -u"
        )


def ssl_stream(
    config: MaskedPredictionConfig, trunk: Trunk, folder: Path, resumed: bool, seed: int, workers: int,
    ranks: Ranks = ALONE, reading: Reading | None = None,
) -> TaskStream:  # fmt: skip
    """The stream of a run, whose targets lie in `folder`/ssl_targets.npz.

    :param trunk: of a new run with the weights it starts from; the targets are clusters of its states.
    :raises UserError: no speech, too little of it, no such layer, or targets that a resumed run lacks.
    """
    shortest = max(1, FRAMES.count(round(config.shortest * SAMPLE_RATE)))
    utterances = find_speech(config.folders, FRAMES, shortest)
    path = folder / _TARGETS
    if resumed:
        targets = Targets.load(path, "start the run anew")
        if [FRAMES.count(each.samples) for each in utterances] != [int(count) for count in targets.frames]:
            raise CheckpointError(
                f"{path} was made of other speech than {', '.join(map(str, config.folders))} hold now; "
                "restore it or start a new run"
            )
    else:
        targets = _make(config, trunk, utterances, seed, ranks.leads)
        if ranks.leads:
            folder.mkdir(parents=True, exist_ok=True)
            targets.save(path)
    return TaskStream(
        SpeechReader(), pieces(utterances, targets, config.longest), config.batch, seed, workers=workers, ranks=ranks,
        reading=reading,
    )  # fmt: skip


def pieces(utterances: Sequence[Utterance], targets: Targets, longest: float) -> list[Example]:
    """Every recording, cut into equal pieces of at most `longest` seconds; labels are clusters, (frames,) int64."""
    room = max(1, FRAMES.count(round(longest * SAMPLE_RATE)))
    found = []
    for index, utterance in enumerate(utterances):
        clusters = targets.utterance(index)
        count = math.ceil(len(clusters) / room)
        bounds = [len(clusters) * number // count for number in range(count + 1)]
        for first, last in itertools.pairwise(bounds):
            start, samples = first * FRAMES.rate, FRAMES.samples(last - first)
            found.append(
                Example(
                    f"{utterance.path}:{first}", utterance.path, samples / SAMPLE_RATE, clusters[first:last], "",
                    start, start + samples,
                )
            )  # fmt: skip
    return found


def _make(
    config: MaskedPredictionConfig, trunk: Trunk, utterances: Sequence[Utterance], seed: int, progress: bool
) -> Targets:
    training = trunk.training
    trunk.eval()
    features = _features(trunk, config.layer)
    chosen = range(len(utterances))
    centres = fit_clusters(utterances, chosen, features, config.clusters, config.cluster_share, seed, progress)
    targets = make_targets(utterances, features, centres, FRAMES, progress)
    trunk.train(training)
    return targets


def _features(trunk: Trunk, layer: int | None) -> FrameFeatures:
    layers, _ = trunk.describe()
    chosen = round(0.75 * (layers - 1)) if layer is None else layer
    if not 0 <= chosen < layers:
        raise ConfigError(f"config.masked_prediction.layer must be 0 to {layers - 1}, found {chosen}")
    device = next(trunk.parameters()).device

    def features(wave: Tensor) -> Tensor:
        with torch.no_grad():
            states: Tensor = trunk.upstream([wave.to(device)])["hidden_states"][chosen]
        return states[0].cpu()

    return features
