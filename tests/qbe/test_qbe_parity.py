"""The same features give the same prediction file, byte for byte, as s3prl's own QbE."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.problems import Problems
from s3prl_plugins.qbe.config import qbe_config, qbe_mapping
from s3prl_plugins.qbe.dtw import search
from s3prl_plugins.qbe.encoder import hub_encoder
from s3prl_plugins.qbe.evaluation import _hidden_states
from s3prl_plugins.superb.stdlist import rounded, write_stdlist
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

SETTINGS: dict[str, Any] = {
    "max_workers": 1,
    "feature_normalization": True,
    "silence_frame": None,
    "dtwrc": {"dist_method": "cosine_exp", "minmax_norm": True, "step_pattern": "asymmetric", "subsequence": True},
}
"""Of s3prl's quesst14_dtw/config.yaml."""


@pytest.fixture
def expert(tmp_path: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """s3prl's, its pairs in order and in this process, on mini-SUPERB's test split."""
    for package in ("dtw", "lxml"):
        pytest.importorskip(package)
    from s3prl.downstream.quesst14_dtw import expert as module

    monkeypatch.setattr(module, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(module, "as_completed", list)
    data = {"dataset_root": str(tiny_corpus / "quesst14/quesst14Database"), "batch_size": 1, "num_workers": 0}
    return module.DownstreamExpert(5, {**SETTINGS, "datarc": data}, str(tmp_path))


@pytest.mark.parametrize(("upstream", "layer"), [("fbank", 0), ("hubert_local", 3)])
def test_prediction_files_are_equal_from_audio_to_bytes(
    upstream: str, layer: int, expert: Any, tiny_corpus: Path, tmp_path: Path
) -> None:
    """Reader, sound, features, normalisation, distances, paths, scores and XML."""
    from s3prl.upstream.interfaces import Featurizer

    config = qbe_config({**qbe_mapping("qbe_paper"), "corpus_root": str(tiny_corpus)})
    ckpt = tmp_path / "tiny.pt"
    write_checkpoint(ckpt, random_checkpoint("tiny", 0))
    args = stock_args(expdir=str(tmp_path), upstream=upstream, upstream_ckpt=str(ckpt) if layer else None)
    encoder = hub_encoder(args, "batch", "paper", torch.device("cpu"))
    network = encoder.trunk.upstream
    featurizer = Featurizer(network, "hidden_states", upstream_device="cpu", layer_selection=layer)
    records: dict[str, Any] = {"features": [], "audio_names": []}
    for waves, names in expert.get_dataloader("test"):
        waves = [torch.from_numpy(wave) for wave in waves]
        with torch.no_grad():
            expert("test", featurizer(waves, network(waves)), names, records)
    expert.log_records("test", records)

    reader = QbeReader(config.corpus, config.corpus_root)
    queries, documents = (reader.examples(split, Problems()) for split in ("test", "train"))
    assert [example.name for example in (*queries, *documents)] == records["audio_names"]
    (states,) = _hidden_states(encoder.trunk, reader, [*queries, *documents], [layer]).values()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(states, records["features"], strict=True))
    scores = search(states[: len(queries)], states[len(queries) :], config.search)
    names = [document.name for document in documents]
    detections = {query.name: dict(zip(names, row)) for query, row in zip(queries, scores.tolist())}
    mine = write_stdlist(tmp_path / "mine.xml", detections)
    assert mine.read_bytes() == (tmp_path / "benchmark.stdlist.xml").read_bytes()


@pytest.mark.parametrize("distance", ["cosine_exp", "cosine", "euclidean", "cityblock"])
def test_scores_are_equal(distance: str, expert: Any, tmp_path: Path) -> None:
    """Short queries too, which s3prl writes first."""
    draw = torch.Generator().manual_seed(0)
    features = [torch.randn(n, 5, generator=draw) for n in (12, 4, 30, 5, 9, 1, 25, 40, 17, 33)]
    expert.dtwrc["dist_method"] = distance
    expert.get_dataloader("test")
    expert.test_dataset.n_queries = 4
    names = [*"qrst", *"abcdef"]
    expert.log_records("test", {"features": list(features), "audio_names": names})
    theirs = {
        query.get("termid"): {term.get("file"): float(term.get("score", "")) for term in query}
        for query in ElementTree.parse(tmp_path / "benchmark.stdlist.xml").getroot()
    }
    config = qbe_config({**qbe_mapping("qbe_paper"), "search": {"distance": distance}}).search
    scores = search(features[:4], features[4:], config)
    assert theirs == {query: dict(zip(names[4:], map(rounded, row))) for query, row in zip(names[:4], scores.tolist())}


def test_names_are_escaped(tmp_path: Path) -> None:
    path = write_stdlist(tmp_path / "list.xml", {'a<"&': {"b>'": 2.0, "c": 2.5}})
    (query,) = ElementTree.parse(path).getroot()
    assert query.get("termid") == 'a<"&'
    assert [(term.get("file"), term.get("score"), term.get("decision")) for term in query] == [
        ("b>'", "2.0000", "NO"),
        ("c", "2.5000", "YES"),
    ]
