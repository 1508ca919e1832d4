"""Pretraining Learn2Diss (after arXiv 2407.02543): each encoder alone, then both together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from s3prl_plugins import __version__
from s3prl_plugins.config import build, plain
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.adversary import Adversary
from s3prl_plugins.pretrain.claim import claim
from s3prl_plugins.pretrain.clusters import Targets, fit_clusters, make_targets
from s3prl_plugins.pretrain.config import TrainConfig
from s3prl_plugins.pretrain.disentangle import Disentangle
from s3prl_plugins.pretrain.distortions import Chain, build_distortions
from s3prl_plugins.pretrain.masked_prediction import MaskedPrediction
from s3prl_plugins.pretrain.material import Material, gather
from s3prl_plugins.pretrain.mutual_information import Club
from s3prl_plugins.pretrain.pseudo_speakers import Embed, PseudoSpeakers, find_speakers
from s3prl_plugins.pretrain.trainer import Pretrainer
from s3prl_plugins.pretrain.utterance_contrast import UtteranceContrast
from s3prl_plugins.seeding import derive, seeded
from s3prl_plugins.upstream.files import read_content
from s3prl_plugins.upstream.hubert import checkpoint as hubert
from s3prl_plugins.upstream.hubert.pretraining import pretrain as pretrain_hubert
from s3prl_plugins.upstream.hubert.pretraining import state_features
from s3prl_plugins.upstream.learn2diss.checkpoint import load_checkpoint, write_checkpoint
from s3prl_plugins.upstream.learn2diss.config import FRAMES, Learn2DissPretraining, RoundConfig, frames_of
from s3prl_plugins.upstream.learn2diss.encoder import UtteranceEncoder
from s3prl_plugins.upstream.learn2diss.given import (
    find_given,
    fresh_utterance,
    given_targets,
    hubert_mapping,
    with_new_head,
)

__all__ = ["build_joint", "pretrain"]


def pretrain(mapping: Mapping[str, Any], folder: Path, seed: int, device: torch.device) -> Path:
    """Run every stage that is not finished yet; returns `folder`/learn2diss.pt, which `learn2diss_local` loads.

    Folders of stages: `frame` (hubert.pt), `utterance/round1` and so on (utterance.pt, from round 2 on speakers.npz),
    `joint` (targets.npz, speakers.npz with the adversary that needs them, learn2diss.pt). Where a stage is trained, its
    folder also has `metrics.jsonl` and `training.pt`. A run that was cut off goes on where it was.

    :raises UserError: whatever is wrong with configuration, speech, given checkpoints or what the folder holds; nothing is
        written then.
    """
    config = build(Learn2DissPretraining, mapping)
    distort = build_distortions(config.distortions) if config.distortions else None
    given = find_given(config, seed)
    speech = gather(config.speech, FRAMES, seed)
    targets = given_targets(config.joint, speech.utterances)
    claim(folder, config, seed, speech.utterances)
    speech.tell()
    run = _Run(config, folder, seed, device, speech, distort)
    frame = run.frame(given.frame)
    utterance = given.utterance or run.utterance()
    return run.joint(frame, utterance, targets)


@dataclass(frozen=True)
class _Run:
    """The stages of one run."""

    config: Learn2DissPretraining
    folder: Path
    seed: int
    device: torch.device
    speech: Material
    distort: Chain | None

    def frame(self, given: Mapping[str, Any] | None) -> Path:
        """The frame encoder's file, a HuBERT checkpoint."""
        path = self.folder / "frame" / "hubert.pt"
        if given is None:
            path = pretrain_hubert(hubert_mapping(self.config), path.parent, self.seed, self.device)
        elif not path.is_file():
            hubert.write_checkpoint(path, given)
        return path

    def utterance(self) -> UtteranceEncoder:
        """All rounds."""
        encoder = fresh_utterance(self.config, self.seed)
        for number, plan in enumerate(self.config.utterance.rounds, 1):
            encoder = self._round(
                encoder, plan, self.folder / "utterance" / f"round{number}", derive(self.seed, number)
            )
        return encoder

    def _round(self, encoder: UtteranceEncoder, plan: RoundConfig, place: Path, seed: int) -> UtteranceEncoder:
        path = place / "utterance.pt"
        if not path.is_file():
            speakers = self._speakers(place, encoder, plan.clusters) if plan.clusters else None
            stretch = frames_of(self.config.utterance.stretch)
            with seeded(seed, "classifier"):
                objective = UtteranceContrast(
                    encoder, stretch, FRAMES, self.config.temperature, self.distort, speakers, encoder.dim
                )
            weights = {"speakers": plan.weight} if plan.clusters else {}
            self._train(objective, dataclasses.replace(plan.train, weights=weights), place, seed)
            write_checkpoint(path, None, encoder.content(), self._facts)
        return load_checkpoint(path).utterance_encoder()

    def joint(self, frame: Path, utterance: UtteranceEncoder, given: Targets | None) -> Path:
        """Both encoders' file."""
        place, plan = self.folder / "joint", self.config.joint
        stage, path = place / "learn2diss.pt", self.folder / "learn2diss.pt"
        if not stage.is_file():
            targets = given or self._targets(place, frame)
            speakers = None
            if "speaker" in plan.adversary.scales:
                speakers = self._speakers(place, utterance, plan.adversary.speakers)
            seed = derive(self.seed, "joint")
            before = read_content(frame, "remove it, and it is made anew")
            content = with_new_head(before, plan.clusters, derive(seed, "head"))
            model = hubert.load_model(content)
            objective = build_joint(self.config, model, targets, utterance, speakers, self.distort, seed)
            weights = {**plan.train.weights, "contrast": plan.alpha, "information": plan.beta}
            self._train(objective, dataclasses.replace(plan.train, weights=weights), place, seed)
            learned = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            write_checkpoint(stage, {**content, "model_weight": learned}, utterance.content(), self._facts)
        done = load_checkpoint(stage)
        write_checkpoint(path, done.frame, done.utterance, done.metadata, self.config.half)
        return path

    def _targets(self, place: Path, frame: Path) -> Targets:
        path, plan = place / "targets.npz", self.config.joint
        if not path.is_file():
            features = state_features(frame, plan.layer, self.device)
            heard = self.speech.utterances
            centres = fit_clusters(heard, self.speech.train, features, plan.clusters, plan.cluster_share, self.seed)
            targets = make_targets(heard, features, centres, FRAMES)
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / "centres.npy", centres)
            targets.save(path)
        targets = Targets.load(path)
        tqdm.write(f"guessing pseudo-phones without hearing costs {targets.prior_entropy:.3f} nats a frame")
        return targets

    def _speakers(self, place: Path, encoder: UtteranceEncoder, clusters: int) -> PseudoSpeakers:
        path = place / "speakers.npz"
        if not path.is_file():
            longest = round(self.config.speech.longest * SAMPLE_RATE)
            embed = _embedding(encoder, self.device)
            speakers = find_speakers(self.speech.utterances, self.speech.train, embed, clusters, longest, self.seed)
            place.mkdir(parents=True, exist_ok=True)
            speakers.save(path)
        return PseudoSpeakers.load(path)

    def _train(self, objective: nn.Module, train: TrainConfig, place: Path, seed: int) -> None:
        crops = [self.speech.crops(chosen, seed) for chosen in (self.speech.train, self.speech.held_out)]
        Pretrainer(objective, crops[0], crops[1], train, place, seed, self.device, apart=["frame."]).run()

    @functools.cached_property
    def _facts(self) -> dict[str, Any]:
        return {"seed": self.seed, "config": plain(self.config), "version": __version__}


def build_joint(
    config: Learn2DissPretraining, model: Any, targets: Targets, utterance: UtteranceEncoder,
    speakers: PseudoSpeakers | None, distort: Chain | None, seed: int,
) -> Disentangle:  # fmt: skip
    """The joint stage's objective; what measures information and the adversaries get weights from the seed.

    :param model: s3prl's HubertModel.
    :param speakers: needed by the adversary `speaker`.
    """
    plan, dim = config.joint, int(model.encoder.embedding_dim)
    frame = MaskedPrediction(model, targets, plan.mask_share, plan.mask_length, config.temperature)
    with seeded(seed, "club"):
        club = Club(utterance.dim, dim, inner_steps=plan.inner_steps)
    adversaries = {}
    for name in plan.adversary.scales:
        classes = plan.adversary.speakers if name == "speaker" else targets.clusters
        with seeded(seed, "adversary", name):
            adversaries[name] = Adversary(dim, classes)
    return Disentangle(
        frame, utterance, club, dim, frames_of(plan.stretch), FRAMES, plan.block, config.temperature, distort,
        round(plan.beta_warmup * plan.train.steps * plan.train.accumulate), plan.pairs == "shuffled", plan.sampled,
        adversaries, plan.adversary.scales, speakers,
    )  # fmt: skip


def _embedding(encoder: UtteranceEncoder, device: torch.device) -> Embed:
    encoder = encoder.to(device).eval()

    def embed(wave: Tensor) -> Tensor:
        with torch.no_grad():
            embedding: Tensor = encoder(wave.unsqueeze(0).to(device)).embedding[0]
        return embedding.cpu()

    return embed
