"""How well the clusters of each hidden layer of a HuBERT tell phones apart.

    python benchmarks/phone_purity.py FILE... [--clusters 100] [--sentences 200] [--seed 0]

FILE is a checkpoint in s3prl's converted format. New synthetic speakers say sentences of mini-SUPERB's dev part in noise
and rooms; espeak-ng says when each phone is spoken. Half of the sentences are clustered by k-means, layer by layer, the
other half is scored. Purity (arXiv 2106.07447, section IV-A): the share of frames right if each cluster stood for its most
frequent phone. PNMI: mutual information of phones and clusters over the entropy of phones.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from s3prl_plugins.corpora import Engine, generator, random_scene, random_voice, sentences
from s3prl_plugins.corpora.scenes import place
from s3prl_plugins.pretrain.clusters import FrameFeatures, mfcc
from s3prl_plugins.pretrain.speech import Frames
from s3prl_plugins.upstream.hubert.pretraining import state_features

Labels = npt.NDArray[np.str_]
_FRAMES = Frames()
_MARKS = str.maketrans("", "", "ˈˌː\u0329\u0303")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    waves, phones = speech(args.sentences, args.seed)
    print(f"{sum(map(len, phones))} frames, {len(set(np.concatenate(phones)))} phones, {args.clusters} clusters")
    print(f"{'features':40}{'purity':>8}{'PNMI':>8}")
    report("MFCC", waves, phones, mfcc, args.clusters, args.seed)
    for file in args.files:
        layers = len(torch.load(file, weights_only=True)["model_weight"].keys() & _norms())
        for layer in range(layers + 1):
            report(f"{file} layer {layer}", waves, phones, state_features(file, layer), args.clusters, args.seed)


def _norms(most: int = 100) -> set[str]:
    return {f"encoder.layers.{layer}.final_layer_norm.weight" for layer in range(most)}


def speech(count: int, seed: int) -> tuple[list[Tensor], list[Labels]]:
    """Audio (samples,) and the phone of every frame that has one (others are '')."""
    random = generator(seed, "phone purity")
    source = sentences(random, "dev")
    waves, labels = [], []
    with tempfile.TemporaryDirectory() as scratch:
        engine = Engine(Path(scratch))
        for _ in range(count):
            said = engine.speak(random_voice(random), next(source).text)
            level = 0.05 / max(float(np.sqrt(np.mean(said.samples**2))), 1e-9)
            scene = random_scene(random, noisy=0.6, snr=(5, 25), reverberant=0.3)
            waves.append(torch.from_numpy(place(said.samples.astype(np.float64) * level, scene, random)).float())
            centres = np.arange(_FRAMES.count(said.samples.size)) * _FRAMES.rate + _FRAMES.width // 2
            row = np.full(len(centres), "", dtype="<U8")
            for phone, start, stop in said.phones:
                row[(centres >= start) & (centres < stop)] = phone.translate(_MARKS)
            labels.append(row)
    return waves, labels


def report(
    name: str, waves: list[Tensor], phones: list[Labels], features: FrameFeatures, clusters: int, seed: int
) -> None:
    """Measure and print a line."""
    purity, information = measure(waves, phones, features, clusters, seed)
    print(f"{name:40}{purity:8.3f}{information:8.3f}", flush=True)


def measure(
    waves: list[Tensor], phones: list[Labels], features: FrameFeatures, clusters: int, seed: int
) -> tuple[float, float]:
    """Purity and PNMI of the clusters of one half of the utterances on the other half."""
    rows = [features(wave)[: len(row)].numpy() for wave, row in zip(waves, phones)]
    model = MiniBatchKMeans(clusters, batch_size=10000, n_init=5, random_state=seed)
    model.fit(np.concatenate(rows[::2]))
    found = np.concatenate([model.predict(row) for row in rows[1::2]])
    return scores(np.concatenate(phones[1::2]), found, clusters)


def scores(phones: Labels, found: npt.NDArray[np.int32], clusters: int) -> tuple[float, float]:
    """Purity and phone-normalised mutual information, over the frames that have a phone."""
    spoken = phones != ""
    kinds, index = np.unique(phones[spoken], return_inverse=True)
    joint = np.zeros((len(kinds), clusters))
    np.add.at(joint, (index, found[spoken]), 1)
    joint /= joint.sum()
    by_phone, by_cluster = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    held = joint > 0
    information = float((joint[held] * np.log((joint / (by_phone * np.maximum(by_cluster, 1e-12)))[held])).sum())
    return float(joint.max(0).sum()), information / float(-(by_phone * np.log(by_phone)).sum())


if __name__ == "__main__":
    main()
