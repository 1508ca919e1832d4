"""Scoring an encoder by query by example: each layer on dev, the best one on test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.config import plain
from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.files import parse_checked, write_checked
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.multitask.evaluation import update_results
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.problems import Problems
from s3prl_plugins.qbe.config import QbeConfig
from s3prl_plugins.qbe.dtw import search
from s3prl_plugins.qbe.encoder import Encoder
from s3prl_plugins.superb.cards import card
from s3prl_plugins.superb.mtwv import GroundTruth, mtwv
from s3prl_plugins.superb.stdlist import rounded, write_stdlist

__all__ = ["Found", "evaluate"]


@dataclass(frozen=True)
class Found:
    """The outcome."""

    layers: dict[int, float]
    """Layer -> MTWV on dev."""
    best: int
    """The layer with the highest, the lowest one of equals."""
    test: float
    """MTWV of that layer on test."""


@dataclass(frozen=True)
class _Split:
    """What is searched for, and where it is."""

    name: str
    queries: list[Example]
    documents: list[Example]
    truth: GroundTruth


def evaluate(encoder: Encoder, config: QbeConfig, folder: Path, layers: Sequence[int] = (), jobs: int = 1) -> Found:
    """Score layers on dev and the best of them on test, and add both to the folder's `results.json`.

    Writes `qbe/benchmark.stdlist.xml`, the leaderboard's file, for test. Dev scores are kept in `qbe/layers.json` as they
    come: killed and started again, it goes on with the next layer.

    :param layers: layers to try, counted as in `hidden_states`, negative ones from the end; none means all.
    :param jobs: threads that search.
    :raises UserError: corpus or layers cannot be used; nothing is written then.
    """
    names = card("qbe")
    reader = QbeReader(config.corpus, config.corpus_root)
    documents = reader.examples(names.train, Problems())
    dev, test = (_split(reader, documents, name) for name in (names.dev, names.test))
    count, width = encoder.trunk.describe()
    chosen = _chosen(layers, count)
    place = folder / "qbe"
    place.mkdir(parents=True, exist_ok=True)
    kept = _Kept(place / "layers.json", encoder, config)
    for group in _groups([n for n in chosen if n not in kept.scores], dev, encoder.trunk.rate, width, config.memory_gb):
        states = _hidden_states(encoder.trunk, reader, [*dev.queries, *documents], group)
        for layer in group:
            kept.add(layer, _score(states.pop(layer), dev, layer, config, encoder.trunk, jobs)[0])
    best = max(chosen, key=lambda layer: kept.scores[layer])
    states = _hidden_states(encoder.trunk, reader, [*test.queries, *documents], [best])
    value, detections = _score(states.pop(best), test, best, config, encoder.trunk, jobs)
    write_stdlist(place / names.predictions[0], detections)
    results = {dev.name: kept.scores[best], test.name: value}
    scores = {("qbe", name): {"mtwv": score, "layer": best} for name, score in results.items()}
    update_results(folder, encoder.step, scores, encoder.about)
    return Found({layer: kept.scores[layer] for layer in chosen}, best, value)


def _split(reader: QbeReader, documents: list[Example], name: str) -> _Split:
    """One split, known to fit its ground truth."""
    split = _Split(name, reader.examples(name, Problems()), documents, reader.truth(name, Problems()))
    silent = dict.fromkeys((document.name for document in documents), 0.0)
    mtwv({query.name: silent for query in split.queries}, split.truth)
    if not any(split.truth.targets[query.name] & silent.keys() for query in split.queries):
        raise CorpusError(f"no query of {name!r} is in a document that is searched; check corpus.languages")
    return split


def _chosen(layers: Sequence[int], count: int) -> list[int]:
    for layer in layers:
        if not -count <= layer < count:
            raise ConfigError(f"layer {layer} (--layers) does not exist; the encoder has 0 to {count - 1}")
    return sorted({layer % count for layer in layers}) or list(range(count))


def _groups(layers: list[int], split: _Split, rate: int, width: int, gigabytes: float) -> Iterator[list[int]]:
    """Layers whose states fit into memory together."""
    seconds = sum(example.seconds for example in (*split.queries, *split.documents))
    size = seconds * SAMPLE_RATE / rate * width * 4
    together = max(1, int(gigabytes * 1e9 / size))
    for start in range(0, len(layers), together):
        yield layers[start : start + together]


def _hidden_states(
    trunk: Trunk, reader: QbeReader, examples: Sequence[Example], layers: Sequence[int]
) -> dict[int, list[Tensor]]:
    """Layer -> per utterance (frames, dim) float32 on the CPU; each utterance is computed alone."""
    states: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    device = next(trunk.parameters(), torch.empty(0)).device
    with torch.inference_mode():
        for example in tqdm(examples, desc="qbe hidden states", unit="file", leave=False):
            (group,) = trunk([reader.waveform(example, None).to(device)], [example.name])
            for layer, kept in states.items():
                kept.append(group.layers[layer][0, : group.frames[0]].float().cpu())
    return states


def _score(
    states: list[Tensor], split: _Split, layer: int, config: QbeConfig, trunk: Trunk, jobs: int
) -> tuple[float, dict[str, dict[str, float]]]:
    """MTWV of one layer, and query -> document -> score with the digits that the prediction file has."""
    queries, documents = states[: len(split.queries)], states[len(split.queries) :]
    device = next(trunk.parameters(), torch.empty(0)).device
    scores = search(queries, documents, config.search, device, jobs, f"qbe {split.name}, layer {layer}")
    names = [document.name for document in split.documents]
    detections = {query.name: dict(zip(names, map(rounded, row))) for query, row in zip(split.queries, scores.tolist())}
    return mtwv(detections, split.truth), detections


class _Kept:
    """Dev scores on disk; those of another encoder, configuration or corpus are not taken over."""

    def __init__(self, path: Path, encoder: Encoder, config: QbeConfig) -> None:
        self._path = path
        settings = {key: value for key, value in plain(config).items() if key not in ("memory_gb", "padding")}
        self._made_from = {**encoder.made_from, "config": settings, "padding": encoder.trunk.padding}
        self._made_from["view"] = encoder.trunk.selection
        self.scores = self._read()

    def add(self, layer: int, score: float) -> None:
        self.scores[layer] = score
        content = {"made_from": self._made_from, "mtwv": {str(key): self.scores[key] for key in sorted(self.scores)}}
        write_checked(self._path, content)

    def _read(self) -> dict[int, float]:
        """What is damaged is computed again."""
        try:
            content = parse_checked(self._path.read_text(encoding="utf-8"))
            scores = {int(key): float(value) for key, value in content["mtwv"].items()}
            return scores if content["made_from"] == self._made_from else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
