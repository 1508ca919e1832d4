"""Query by example through its command: layers, files, resuming, the encoder of a run, errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import torch

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.files import parse_checked, write_checked
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.problems import Problems
from s3prl_plugins.qbe import evaluation
from s3prl_plugins.qbe.config import qbe_config, qbe_mapping
from s3prl_plugins.superb.cards import card
from s3prl_plugins.superb.mtwv import mtwv
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

TEST = card("qbe").test


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


def command(corpus: Path, folder: Path, *more: str, upstream: str = "fbank") -> list[str]:
    given = ["qbe", "-u", upstream, "-p", str(folder), "--corpus-root", str(corpus), "--device", "cpu"]
    return [*given, *more]


def results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = parse_checked((folder / "results.json").read_text())
    return content


def one_line(arguments: list[str], capsys: pytest.CaptureFixture[str], *said: str) -> None:
    capsys.readouterr()
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("s3prl-plugins qbe: ")]
    assert len(lines) == 1 and all(part in lines[0] for part in said), lines


@pytest.mark.parametrize("size", ["mini", "paper"])
def test_configurations_load(size: str) -> None:
    config = qbe_config(qbe_mapping(f"qbe_{size}"))
    assert config.size == size and config.search == type(config.search)()
    assert config.padding == {"mini": "none", "paper": "batch"}[size]


class Scorer:
    """In place of searching: chosen values of the layers, and what was asked for."""

    def __init__(self, values: list[float], stop_at: int | None = None) -> None:
        self.values, self.stop_at = values, stop_at
        self.asked: list[tuple[str, int]] = []

    def __call__(self, states: Any, split: Any, layer: int, *_: Any) -> tuple[float, dict[str, dict[str, float]]]:
        if layer == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append((split.name, layer))
        assert {state.shape[1] for state in states} == {256} and len(states) == len(split.queries) + len(
            split.documents
        )
        return self.values[layer] / (2 if split.name == TEST else 1), {}


def test_the_best_layer_on_dev_is_scored_on_test_and_a_killed_run_goes_on(
    tiny_corpus: Path, hubert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(values: list[float], *more: str, stop_at: int | None = None) -> tuple[list[tuple[str, int]], int]:
        scorer = Scorer(values, stop_at)
        monkeypatch.setattr(evaluation, "_score", scorer)
        status = main(command(tiny_corpus, tmp_path, "-k", str(hubert), *more, upstream="hubert_local"))
        return scorer.asked, status

    values = [0.1, 0.5, 0.3, 0.5, 0.2]
    dev = [("dev", layer) for layer in range(5)]
    assert run(values, stop_at=3) == (dev[:3], 130)
    assert not (tmp_path / "results.json").exists()
    assert run(values) == ([*dev[3:], (TEST, 1)], 0)
    assert results(tmp_path)["scores"]["qbe"] == {"dev": {"mtwv": 0.5, "layer": 1}, TEST: {"mtwv": 0.25, "layer": 1}}
    assert run(values, "--layers", "2", "-1") == ([(TEST, 2)], 0)
    assert run(values, "-o", "config.memory_gb=0,,config.search.distance=cosine") == ([*dev, (TEST, 1)], 0)
    assert run(values, "-o", "config.search.distance=cosine,,config.padding=batch", "--layers", "0")[0][0] == dev[0]


def test_scores_are_those_of_the_prediction_file(tiny_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep/ssl/qbe"
    assert main(command(tiny_corpus, folder)) == 0
    content = results(folder)
    assert content["step"] == 0 and content["about"]["upstream"] == "fbank" and content["about"]["size"] == "mini"
    assert content["scores"]["qbe"].keys() == {card("qbe").dev, TEST}
    reader = QbeReader(QbeReader.Config(), tiny_corpus)
    root = ElementTree.parse(folder / "qbe/benchmark.stdlist.xml").getroot()
    found = {str(q.get("termid")): {str(t.get("file")): float(t.get("score", "")) for t in q} for q in root}
    assert list(found) == [example.name for example in reader.examples("test", Problems())]
    expected = mtwv(found, reader.truth("test", Problems()))
    assert content["scores"]["qbe"][TEST] == {"mtwv": expected, "layer": 0}


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, hubert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of joint training that change the encoder, evaluated on dev."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    runner = {"total_steps": 2, "warmup_steps": 0, "save_step": 2, "eval_at_start": False}
    optimizer = {"upstream": {"lr": 1e-2}}
    change = {"corpus_root": str(tiny_corpus), "tasks": ["ks"], "runner": runner, "optimizer": optimizer}
    args = stock_args(
        expdir=str(folder), device="cpu", upstream="hubert_local", upstream_ckpt=str(hubert), upstream_trainable=True
    )
    experiment = Experiment(args, merge(load_yaml(find_config("all_task_mini")), change))
    experiment.train()
    experiment.evaluate("dev")
    return folder


def test_a_runs_own_encoder_is_scored_and_its_other_scores_stay(finished: Path, hubert: Path, tmp_path: Path) -> None:
    from s3prl_plugins.qbe.encoder import run_encoder

    run = shutil.copytree(finished, tmp_path / "run")
    before = results(run)
    assert main(["qbe", "--run", str(run), "--device", "cpu", "--layers", "0", "4"]) == 0
    after = results(run)
    assert after["scores"].pop("qbe").keys() == {"dev", TEST} and after == before
    assert (run / "qbe/benchmark.stdlist.xml").is_file()
    encoder = run_encoder(run, None, torch.device("cpu"))
    assert (encoder.step, encoder.trunk.padding, encoder.trunk.training) == (2, "none", False)
    trained = checkpoints.load_tensors(checkpoints.newest_whole(run)[0], "model")["upstream"]
    found = encoder.trunk.upstream.state_dict()
    assert all(torch.equal(found[name], trained[name]) for name in trained)
    start = torch.load(hubert, weights_only=True)["model_weight"]
    assert not torch.equal(start["encoder.layers.3.fc2.weight"], found["model.encoder.layers.3.fc2.weight"])


def test_a_run_that_was_not_scored_gets_its_first_results(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    about = results(run)["about"]
    (run / "results.json").unlink()
    assert main(["qbe", "--run", str(run), "--device", "cpu", "--layers", "0"]) == 0
    content = results(run)
    assert content["step"] == 2 and content["about"].items() <= about.items() and content["about"]["finetuned"]


def test_what_cannot_be_done_is_one_line(
    finished: Path, tiny_corpus: Path, hubert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    for wrong in (["qbe"], ["qbe", "-u", "fbank"], ["qbe", "-p", "x"], ["qbe", "-u", "fbank", "--run", "x"]):
        one_line(wrong, capsys, "either -u UPSTREAM -p DIR or --run RUN must be given")
    one_line(command(tmp_path, folder), capsys, "quesst14Database: corpus folder is missing; unpack")
    one_line(command(tiny_corpus, folder, "--layers", "0", "1"), capsys, "layer 1 (--layers) does not exist", "0 to 0")
    one_line(command(tiny_corpus, folder, "--jobs", "0"), capsys, "--jobs must be at least 1, found 0")
    one_line(command(tiny_corpus, folder, "-c", "qbe_min"), capsys, "no config file", "did you mean 'qbe_mini'")
    one_line(
        command(tiny_corpus, folder, "-o", "config.padding=x"), capsys, "config.padding is 'x'", "Known: batch, none"
    )
    one_line(command(tiny_corpus, folder, "-o", "config.serch=1"), capsys, "config.serch; did you mean 'search'")
    one_line(command(tiny_corpus, folder, upstream="fbnk"), capsys, "unknown upstream 'fbnk'")
    languages = "config.corpus.languages=['basque']"
    one_line(command(tiny_corpus, folder, "-o", languages), capsys, "no usable utterance of basque was found")
    one_line(["qbe", "--run", str(tmp_path)], capsys, "has no checkpoint to continue from")
    assert not folder.exists()
    one_line(command(tiny_corpus, finished), capsys, "holds a run; score its encoder with --run")
    run = shutil.copytree(finished, tmp_path / "copy")
    write_checked(run / "results.json", {**results(run), "step": 1})
    one_line(["qbe", "--run", str(run), "--device", "cpu"], capsys, "is of step 1, the newest checkpoint of 2")
    assert main(command(tiny_corpus, folder)) == 0
    other = command(tiny_corpus, folder, "-k", str(hubert), upstream="hubert_local")
    one_line(other, capsys, "holds scores made with upstream = 'fbank', now asked for is 'hubert_local'")


def test_faults_of_the_corpus_are_found_before_the_search(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "search", lambda *_: pytest.fail("searched"))
    root = tmp_path / "corpus"
    shutil.copytree(tiny_corpus / "quesst14", root / "quesst14")
    scoring = root / "quesst14/quesst14Database/scoring"
    rttm, terms = (scoring / "groundtruth_quesst14_eval" / f"quesst14_eval.{end}" for end in ("rttm", "tlist.xml"))
    whole = rttm.read_text()
    rttm.write_text("SPKR-INFO quesst14_00001 1 <NA> <NA> <NA> unknown speaker <NA>\n")
    one_line(command(root, tmp_path / "run"), capsys, "the ground truth has no query that is in a document")
    rttm.write_text(whole)
    terms.write_text(terms.read_text().replace("quesst14_eval_0002", "other"))
    rttm.write_text(whole.replace("quesst14_eval_0002", "other"))
    one_line(
        command(root, tmp_path / "run"), capsys, "query 'quesst14_eval_0002' is not in the ground truth's .tlist.xml"
    )
    assert not (tmp_path / "run").exists()


def test_the_corpus_check_covers_query_by_example(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = ["corpus", "check", "qbe_mini", "--jobs", "1", "--json", "-o"]
    assert main([*check, f"config.corpus_root={tiny_corpus}"]) == 0
    task = json.loads(capsys.readouterr().out)["tasks"]["qbe"]
    assert {split: task["splits"][split]["utterances"] for split in ("dev", TEST)} == {"dev": 2, TEST: 2}
    root = tmp_path / "corpus"
    shutil.copytree(tiny_corpus / "quesst14", root / "quesst14")
    audio = sorted((root / "quesst14/quesst14Database/Audio").glob("*.wav"))
    soundfile.write(audio[0], np.full(8000, np.nan), 8000, subtype="FLOAT")
    audio[1].unlink()
    assert main([*check, f"config.corpus_root={root}"]) == 1
    faults = json.loads(capsys.readouterr().out)["tasks"]["qbe"]["faults"]
    assert {Path(example["where"]) for fault in faults for example in fault["examples"]} == set(audio[:2])
    assert main(["corpus", "check", "qbe_mini", "--tasks", "ks"]) == 2
    assert "--tasks chooses among the tasks of a joint run" in capsys.readouterr().err
