"""Masked prediction on unlabelled speech as a further task of a joint run."""

from __future__ import annotations

import argparse
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.dry_run.run import dry_run
from s3prl_plugins.errors import CheckpointError, ConfigError, CorpusError
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import find_config, resolve, run_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.ssl_config import MaskedPredictionConfig
from s3prl_plugins.multitask.ssl_head import SslHead
from s3prl_plugins.multitask.ssl_stream import FRAMES, SpeechReader, pieces
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.streams import Batch
from s3prl_plugins.multitask.trunk import Trunk
from s3prl_plugins.pretrain.clusters import Targets
from s3prl_plugins.pretrain.masked_prediction import predict_clusters
from s3prl_plugins.pretrain.speech import find_speech
from s3prl_plugins.seeding import generator, seeded
from s3prl_plugins.sweep import scenarios
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

CLUSTERS = 20
SECONDS = (1.3, 2.7, 1.3, 0.9)


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sweeps in noise, and one recording that is too short."""
    folder = tmp_path_factory.mktemp("speech")
    for number, seconds in enumerate((*SECONDS, 0.4)):
        time = np.arange(round(seconds * 16000)) / 16000
        noise = np.random.default_rng(number).normal(size=len(time))
        soundfile.write(folder / f"{number}.wav", 0.3 * np.sin(900 * (number + 1 + time) * time) + 0.02 * noise, 16000)
    return folder


@pytest.fixture(scope="module")
def trunk(hubert: Path) -> Trunk:
    import s3prl.hub as hub

    return Trunk(hub.hubert_local(ckpt=str(hubert)), "none", conv_grad_mult=1.0)


def config(folder: Path, **given: Any) -> MaskedPredictionConfig:
    return MaskedPredictionConfig((folder,), clusters=CLUSTERS, **{"shortest": 0.6, **given})


def head(trunk: Trunk, **given: Any) -> SslHead:
    with seeded(0, "head"):
        return SslHead(config(Path("speech"), **given), trunk.describe()[1], 5)


def batch(epoch: int = 0) -> Batch:
    waves, examples = [], []
    for number, seconds in enumerate(SECONDS):
        draw = generator(number, "wave")
        waves.append(0.3 * torch.randn(round(seconds * 16000), generator=draw))
        labels = torch.randint(number, 10 + number, (FRAMES.count(len(waves[-1])),), generator=draw)
        examples.append(Example(f"u{number}", Path(), seconds, labels))
    return Batch(examples, waves, epoch)


def test_the_loss_is_that_of_pretraining_each_utterance_alone(trunk: Trunk) -> None:
    mine, given = head(trunk), batch(epoch=2)
    trunk.eval()
    found = mine.loss(trunk, given)
    model: Any = trunk.upstream.model
    model.final_proj, model.label_embs_concat = mine.projection, mine.codewords
    total, count = 0.0, 0
    for wave, example in zip(given.waves, given.examples):
        mask = mine._mask(example.name, 2, len(example.label))
        with torch.no_grad():
            logits, _, _ = predict_clusters(model, wave[None], mask[None], mine.config.temperature)
        total += float(F.cross_entropy(logits[0][mask], example.label[mask], reduction="sum"))
        count += int(mask.sum())
    assert found.count == count
    assert 0.4 < count / sum(len(label) for label in given.labels) < 0.8
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-5)


def test_masks_depend_on_utterance_and_epoch_only_and_parts_add_up(trunk: Trunk) -> None:
    mine = head(trunk)
    trunk.eval()
    whole, again = mine.loss(trunk, batch()), mine.loss(trunk, batch(epoch=1))
    halves = [mine.loss(trunk, half) for half in batch().halves()]
    assert sum(half.count for half in halves) == whole.count
    assert sum(half.total.item() for half in halves) == pytest.approx(whole.total.item(), rel=1e-5)
    assert again.total.item() != pytest.approx(whole.total.item(), rel=1e-5)


def test_encoder_and_head_learn_from_it(hubert: Path) -> None:
    import s3prl.hub as hub

    trunk = Trunk(hub.hubert_local(ckpt=str(hubert)), "none", conv_grad_mult=1.0).train()
    mine, given = head(trunk), batch()
    optimizer = torch.optim.Adam([*trunk.parameters(), *mine.parameters()], lr=5e-3)
    losses = []
    for step in range(20):
        with seeded(0, "step", step):
            loss = mine.loss(trunk, given).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mine.parameters())
    assert trunk.upstream.model.mask_emb.grad.abs().sum() > 0
    assert losses[0] > 0.9 * math.log(CLUSTERS)
    assert losses[-1] < 0.9 * losses[0]


def test_pieces_take_every_frame_once_with_its_own_cluster(speech: Path) -> None:
    utterances = find_speech([speech], FRAMES, 30)
    assert len(utterances) == len(SECONDS)
    counts = [FRAMES.count(each.samples) for each in utterances]
    labels = np.arange(sum(counts), dtype=np.int16)
    targets = Targets(labels, np.cumsum([0, *counts]), CLUSTERS)
    found, reader = pieces(utterances, targets, longest=1.0), SpeechReader()
    assert [example.label.tolist() for example in found if example.path == utterances[0].path] == [
        list(range(counts[0] // 2)),
        list(range(counts[0] // 2, counts[0])),
    ]
    assert torch.cat([example.label for example in found]).tolist() == labels.tolist()
    assert len({example.name for example in found}) == len(found)
    for example in found:
        wave = reader.waveform(example, None)
        assert FRAMES.count(len(wave)) == len(example.label) <= FRAMES.count(16000)
        whole, _ = soundfile.read(example.path, dtype="float32")
        assert torch.equal(wave, torch.from_numpy(whole[example.start : example.stop]))
        assert example.seconds * 16000 == len(wave)


def mapping(corpus: Path, speech: Path | None, **runner: Any) -> dict[str, Any]:
    given = {"folders": [str(speech)], "clusters": CLUSTERS, "shortest": 0.6, "longest": 1.5}
    small = {"warmup_steps": 0, "log_step": 1, "save_step": 2, "total_steps": 4, "eval_at_start": False, **runner}
    sizes = {name: {"train_batch": {"size": 1}} for name in ("ks", "pr")}
    change = {"corpus_root": str(corpus), "tasks": ["ks", "pr"], "runner": small, "superb": sizes}
    more = {} if speech is None else {"tasks": ["ks", "pr", "ssl"], "masked_prediction": given}
    return merge(load_yaml(find_config("all_task_mini")), {**change, **more, "balancer": {"name": "pcgrad"}})


def arguments(folder: Path, hubert: Path, **given: Any) -> argparse.Namespace:
    chosen = {"upstream": "hubert_local", "upstream_ckpt": str(hubert), "upstream_trainable": True, **given}
    return stock_args(expdir=str(folder), device="cpu", seed=3, **chosen)


def states(folder: Path) -> dict[str, Any]:
    return checkpoint.load_tensors(checkpoint.newest_whole(folder)[0], "model")


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, hubert: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "with"
    Experiment(arguments(folder, hubert), mapping(tiny_corpus, speech)).train()
    return folder


def losses(folder: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in entry.items() if name.endswith("/loss") and name.startswith("train/")}
        for entry in read_metrics(folder)
        if "train/ks/loss" in entry
    ]


def test_it_is_a_task_like_others_and_leaves_their_draws_alone(
    tiny_corpus: Path, hubert: Path, finished: Path, tmp_path: Path
) -> None:
    Experiment(arguments(tmp_path / "without", hubert), mapping(tiny_corpus, None, total_steps=1)).train()
    found = losses(finished)
    assert [set(entry) for entry in found] == [{"train/ks/loss", "train/pr/loss", "train/ssl/loss"}] * 4
    assert losses(tmp_path / "without")[0] == {
        name: value for name, value in found[0].items() if name != "train/ssl/loss"
    }
    assert any("cosine/ks/ssl" in entry for entry in read_metrics(finished))


def test_a_run_goes_on_with_the_targets_it_began_with(
    tiny_corpus: Path, hubert: Path, speech: Path, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(finished, folder)
    for path in folder.glob("states-4.ckpt"):
        path.unlink()
    Experiment(arguments(folder, hubert, past_exp=str(folder)), mapping(tiny_corpus, speech)).train()
    assert losses(folder) == losses(finished)
    one, other = states(folder), states(finished)
    for part in ("ssl", "heads", "upstream"):
        assert one[part].keys() == other[part].keys()
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
    shutil.copytree(speech, tmp_path / "less")
    (tmp_path / "less" / "0.wav").unlink()
    (folder / "states-4.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"ssl_targets.npz was made of other speech than .*less hold now"):
        Experiment(arguments(folder, hubert, past_exp=str(folder)), mapping(tiny_corpus, tmp_path / "less")).train()
    (folder / "ssl_targets.npz").unlink()
    with pytest.raises(CheckpointError, match="ssl_targets.npz.*start the run anew"):
        Experiment(arguments(folder, hubert, past_exp=str(folder)), mapping(tiny_corpus, speech)).train()


def test_the_run_is_evaluated_without_the_speech(
    tiny_corpus: Path, hubert: Path, finished: Path, tmp_path: Path
) -> None:
    args = arguments(finished, hubert, past_exp=str(finished))
    scores = Experiment(args, mapping(tiny_corpus, tmp_path / "gone")).evaluate("ks:dev")
    assert set(scores) == {("ks", "dev")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masked_prediction": {"folders": []}}, "config.masked_prediction: folders is empty"),
        ({"masked_prediction": {"folders": ["x"], "clusters": 1}}, "clusters must be from 2 to 32768, found 1"),
        ({"masked_prediction": {"folders": ["x"], "mask_share": 1.5}}, "mask_share must be 0 to 1 .* found 1.5"),
        ({"masked_prediction": {"folders": ["x"], "longest": 0.5}}, "shortest 1.0, longest 0.5"),
        ({"masked_prediction": {"folders": ["x"], "layers": 2}}, "unknown key config.masked_prediction.layers"),
        ({"tasks": ["ks", "ssl"]}, "config.tasks names 'ssl', .* config.masked_prediction.folders="),
    ],
)
def test_settings_that_cannot_be_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_config(merge(load_yaml(find_config("all_task_mini")), change))


def test_what_cannot_learn_from_it_is_refused(tiny_corpus: Path, hubert: Path, speech: Path, tmp_path: Path) -> None:
    given = mapping(tiny_corpus, speech)
    with pytest.raises(ConfigError, match="trains the encoder, which is frozen here; add -f"):
        Experiment(arguments(tmp_path / "a", hubert, upstream_trainable=False), given)
    with pytest.raises(ConfigError, match="needs the hidden_states of a HuBERT"):
        Experiment(
            stock_args(expdir=str(tmp_path / "a"), device="cpu", upstream="fbank", upstream_trainable=True),
            merge(given, {"encoder": {"conv_grad_mult": None}}),
        )
    for change, kind, message in (
        ({"layer": 9}, ConfigError, "config.masked_prediction.layer must be 0 to 4, found 9"),
        ({"clusters": 30000}, ConfigError, "clusters must be at most the .* frames to cluster, found 30000"),
        ({"folders": [str(tmp_path / "none")]}, CorpusError, "none must be a folder with .wav or .flac files"),
    ):
        with pytest.raises(kind, match=message):
            Experiment(arguments(tmp_path / "a", hubert), merge(given, {"masked_prediction": change})).train()
    assert not (tmp_path / "a").exists()


def test_sweeps_and_dry_runs_know_it(tiny_corpus: Path, hubert: Path, speech: Path, tmp_path: Path) -> None:
    given = mapping(tiny_corpus, speech)
    assert run_config(resolve(resolve(given))).streams == ("ks", "pr", "ssl")
    runs = {run.name: run_config(run.config) for run in scenarios.transfer(given)}
    assert {name: run.streams for name, run in runs.items()} == {
        "leave_one_out/ks": ("pr", "ssl"),
        "leave_one_out/pr": ("ks", "ssl"),
        "transfer/ks": ("ks",),
        "transfer/pr": ("pr",),
    }
    text = dry_run(arguments(tmp_path / "dry", hubert), given)
    assert "Masked prediction (config.masked_prediction) comes on top" in text
    assert "every loss is finite" in text
    assert "\n  ssl" in text
