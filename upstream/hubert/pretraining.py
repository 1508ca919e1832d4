"""Pretraining HuBERT in iterations (arXiv 2106.07447): clusters of MFCC first, then clusters of the model's own states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.config import above_0, build
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.files import whole_file
from s3prl_plugins.pretrain.claim import claim
from s3prl_plugins.pretrain.clusters import FrameFeatures, Targets, fit_clusters, make_targets, mfcc
from s3prl_plugins.pretrain.config import SpeechConfig, TrainConfig
from s3prl_plugins.pretrain.masked_prediction import MaskedPrediction
from s3prl_plugins.pretrain.masking import check_mask
from s3prl_plugins.pretrain.material import Material, gather
from s3prl_plugins.pretrain.speech import Frames
from s3prl_plugins.pretrain.trainer import Pretrainer
from s3prl_plugins.upstream.files import read_content
from s3prl_plugins.upstream.hubert.checkpoint import SIZES, load_model, random_checkpoint, write_checkpoint

__all__ = ["HubertPretraining", "pretrain", "state_features"]

_CPU = torch.device("cpu")
_CURE = "remove it, and its iteration is done anew"


@dataclass(frozen=True)
class IterationConfig:
    """One round: targets, then training on them."""

    targets: Literal["mfcc", "states"]
    """What is clustered: MFCC, or hidden states of the iteration before."""
    train: TrainConfig
    clusters: int = 100
    """Pseudo-phones."""
    layer: int = 0
    """Which hidden states: 0 the first transformer layer's input, n the output of layer n."""
    cluster_share: float = 1.0
    """Share of the utterances that k-means sees."""
    start: Literal["scratch", "previous"] = "scratch"
    """Weights to begin with; `previous` (not in the paper) keeps the encoder of the iteration before."""

    def __post_init__(self) -> None:
        if self.clusters < 2:
            raise ConfigError(f"clusters must be at least 2, found {self.clusters}")
        if not 0 < self.cluster_share <= 1:
            raise ConfigError(f"cluster_share must be a share above 0, at most 1, found {self.cluster_share}")


@dataclass(frozen=True)
class HubertPretraining:
    """Configuration of `s3prl-plugins pretrain hubert`."""

    size: str
    """Key of `upstream.hubert.checkpoint.SIZES`."""
    speech: SpeechConfig
    iterations: tuple[IterationConfig, ...]
    mask_share: float = 0.8
    """Frames masked, before overlaps."""
    mask_length: int = 10
    """Frames of a span."""
    temperature: float = 0.1
    """Of the cosine logits."""
    model: dict[str, Any] = field(default_factory=dict)
    """Fields of s3prl's HubertConfig that differ from the size's."""
    half: bool = False
    """Write the final checkpoint in float16, half the size; whoever loads it has float32 again."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ConfigError(f"size is {self.size!r}; known: {', '.join(SIZES)}")
        check_mask(self.mask_share, self.mask_length)
        above_0(self, "temperature")
        if not self.iterations:
            raise ConfigError("iterations is empty; give at least one")
        first = self.iterations[0]
        if first.targets != "mfcc" or first.start != "scratch":
            raise ConfigError("iterations[0] must cluster mfcc and start from scratch: there is nothing before it")


def pretrain(mapping: Mapping[str, Any], folder: Path, seed: int, device: torch.device) -> Path:
    """Run every iteration that is not finished yet; returns `folder`/hubert.pt in s3prl's converted format.

    Each iteration has its own folder: `targets.npz`, `centres.npy`, `metrics.jsonl`, `training.pt`, `hubert.pt`.
    A run that was cut off goes on where it was.

    :raises UserError: whatever is wrong with configuration, speech or what the folder holds; nothing is written then.
    """
    config = build(HubertPretraining, mapping)
    frames = Frames()
    speech = gather(config.speech, frames, seed, paired=False)
    claim(folder, config, seed, speech.utterances)
    speech.tell()
    previous: Path | None = None
    for number, iteration in enumerate(config.iterations, 1):
        place = folder / f"iteration{number}"
        target = place / "hubert.pt"
        if not target.is_file():
            place.mkdir(parents=True, exist_ok=True)
            features = (
                mfcc
                if previous is None or iteration.targets == "mfcc"
                else state_features(previous, iteration.layer, device)
            )
            targets = _targets(place, speech, features, iteration, seed)
            tqdm.write(f"iteration {number}: guessing without hearing costs {targets.prior_entropy:.3f} nats a frame")
            content = _start(config, iteration, previous, seed + number)
            model = load_model(content)
            objective = MaskedPrediction(model, targets, config.mask_share, config.mask_length, config.temperature)
            crops = [speech.crops(chosen, seed + number) for chosen in (speech.train, speech.held_out)]
            Pretrainer(objective, crops[0], crops[1], iteration.train, place, seed + number, device).run()
            weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            write_checkpoint(target, {**content, "model_weight": weights})
        previous = target
    assert previous is not None
    write_checkpoint(folder / "hubert.pt", read_content(previous, _CURE), config.half)
    return folder / "hubert.pt"


def state_features(checkpoint: Path, layer: int, device: torch.device = _CPU) -> FrameFeatures:
    """Hidden states of one layer, of each utterance alone.

    :raises ConfigError: there is no such layer.
    """
    import s3prl.hub as hub

    upstream = hub.hubert_local(ckpt=str(checkpoint)).to(device).eval()
    count = len(upstream.model.encoder.layers) + 1
    if not 0 <= layer < count:
        raise ConfigError(f"layer must be 0 to {count - 1}, found {layer}")

    def features(wave: Tensor) -> Tensor:
        with torch.no_grad():
            states: Tensor = upstream([wave.to(device)])["hidden_states"][layer]
        return states[0].cpu()

    return features


def _targets(place: Path, speech: Material, features: FrameFeatures, iteration: IterationConfig, seed: int) -> Targets:
    path = place / "targets.npz"
    if path.is_file():
        return Targets.load(path)
    centres = fit_clusters(speech.utterances, speech.train, features, iteration.clusters, iteration.cluster_share, seed)
    with whole_file(place / "centres.npy") as file:
        np.save(file, centres)
    targets = make_targets(speech.utterances, features, centres, speech.frames)
    targets.save(path)
    return targets


def _start(config: HubertPretraining, iteration: IterationConfig, previous: Path | None, seed: int) -> dict[str, Any]:
    """The checkpoint that an iteration starts from."""
    content: dict[str, Any] = random_checkpoint(config.size, seed, iteration.clusters, config.model)
    if iteration.start == "previous" and previous is not None:
        before = read_content(previous, _CURE)["model_weight"]
        fresh = ("label_embs_concat", "final_proj.")
        content["model_weight"] |= {name: tensor for name, tensor in before.items() if not name.startswith(fresh)}
    return content
