"""What the stages of Learn2Diss start from: given checkpoints and targets, or fresh weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from s3prl_plugins.config import build, plain
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.pretrain.clusters import Targets
from s3prl_plugins.pretrain.speech import Utterance
from s3prl_plugins.seeding import seeded
from s3prl_plugins.upstream.files import read_content
from s3prl_plugins.upstream.hubert import checkpoint as hubert
from s3prl_plugins.upstream.hubert.hubconf import TINY
from s3prl_plugins.upstream.hubert.pretraining import HubertPretraining
from s3prl_plugins.upstream.learn2diss.checkpoint import load_checkpoint
from s3prl_plugins.upstream.learn2diss.config import FRAMES, JointConfig, Learn2DissPretraining
from s3prl_plugins.upstream.learn2diss.encoder import SIZES, UtteranceEncoder

__all__ = ["Given", "find_given", "fresh_utterance", "given_targets", "hubert_mapping", "with_new_head"]


@dataclass(frozen=True)
class Given:
    """Encoders that checkpoints give; None: the run trains it."""

    frame: dict[str, Any] | None
    utterance: UtteranceEncoder | None


_CURE = "pass hubert_tiny, a HuBERT file in s3prl's converted format, or a Learn2Diss file"


def find_given(config: Learn2DissPretraining, seed: int) -> Given:
    """What checkpoints the configuration names; what it wants trained is tried out at once."""
    frame = None
    if config.frame.checkpoint is not None:
        frame = _hubert_content(config.frame.checkpoint)
        width = int(frame["model_weight"]["final_proj.weight"].shape[1])
    else:
        plan = build(HubertPretraining, hubert_mapping(config), "config.frame.hubert")
        width = int({**hubert.SIZES[plan.size], **plan.model}["encoder_embed_dim"])
    if config.utterance.checkpoint is not None:
        utterance = load_checkpoint(config.utterance.checkpoint).utterance_encoder()
        found = utterance.dim
    else:
        utterance = None
        found = fresh_utterance(config, seed).dim
    if width != found:
        raise ConfigError(
            f"both encoders must have one width, found frame {width}, utterance {found}; change one of them"
        )
    return Given(frame, utterance)


def hubert_mapping(config: Learn2DissPretraining) -> dict[str, Any]:
    """Configuration of `s3prl-plugins pretrain hubert` for the frame stage."""
    return {**(config.frame.hubert or {}), "size": config.size, "speech": plain(config.speech)}


def _hubert_content(name: str) -> dict[str, Any]:
    """A frame encoder's HuBERT checkpoint.

    :raises CheckpointError: there is no such file, or it is no such checkpoint.
    """
    content: dict[str, Any] = read_content(TINY if name == "hubert_tiny" else Path(name), _CURE)
    try:
        if "learn2diss" in content:
            load_checkpoint(name).frame_encoder()
            content = content["frame"]
        else:
            with seeded(0):
                hubert.load_model(content)
    except CheckpointError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"frame.checkpoint {name!r} cannot be used ({type(error).__name__}: {reason}); {_CURE}"
        ) from error
    return content


def given_targets(plan: JointConfig, utterances: Sequence[Utterance]) -> Targets | None:
    """The targets that the configuration names, if it does.

    :raises CheckpointError: there is no such file, or it is not of this speech and number of clusters.
    """
    if plan.targets is None:
        return None
    targets = Targets.load(Path(plan.targets), "pass a targets.npz of the joint stage")
    frames = np.cumsum([0, *(FRAMES.count(utterance.samples) for utterance in utterances)])
    if targets.clusters != plan.clusters or not np.array_equal(targets.offsets, frames):
        raise CheckpointError(
            f"joint.targets {plan.targets!r} must have {plan.clusters} clusters and {frames[-1]} frames of this speech, found "
            f"{targets.clusters} and {targets.offsets[-1]}; pass those of a run on the same speech, or none"
        )
    return targets


def with_new_head(content: Mapping[str, Any], clusters: int, seed: int) -> dict[str, Any]:
    """The same encoder with a new projection and new codewords for so many clusters."""
    final_dim, dim = content["model_weight"]["final_proj.weight"].shape
    with seeded(seed):
        projection, codewords = nn.Linear(dim, final_dim), torch.rand(clusters, final_dim)
    head = {
        "final_proj.weight": projection.weight.detach(), "final_proj.bias": projection.bias.detach(),
        "label_embs_concat": codewords,
    }  # fmt: skip
    symbols = [[str(cluster) for cluster in range(clusters)]]
    return {**content, "dictionaries_symbols": symbols, "model_weight": {**content["model_weight"], **head}}


def fresh_utterance(config: Learn2DissPretraining, seed: int) -> UtteranceEncoder:
    """An utterance encoder with weights that are a function of the seed."""
    with seeded(seed, "utterance"):
        return UtteranceEncoder({**SIZES[config.size], **config.utterance.model})
