"""One task of a joint run under s3prl's own command and expert: the same answers and scores as in our evaluation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.convert.stock import write_stock
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.inference.loading import read
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.superb.cards import FINETUNED_TASKS, card
from s3prl_plugins.upstream.hubert.hubconf import TINY

SIZES = {
    "asr": {"project_dim": 12, "hidden_dims": [10, 8]}, "sf": {"project_dim": 12, "hidden_dims": [10]},
    "pr": {"project_dim": 12}, "sd": {"hidden_size": 9},
    "asv": {"embedding_size": 20, "hidden_size": 24, "aggregation_size": 30},
    **{task: {"hidden_size": 12} for task in ("er", "ic", "ks", "sid")},
}  # fmt: skip
QUICK, SLOW = ("asr", "ks"), ("asv", "er", "ic", "sd", "sid")
"""Tasks whose data s3prl's wheel can read; PR's and SF's readers are in its repository alone."""
SCORED = [*QUICK, *(pytest.param(task, marks=pytest.mark.slow) for task in SLOW if task != "sd")]
# s3prl keeps lists of VoxCeleb's files within its own package, whatever the corpus: here in another folder.
EVALUATE = """
import runpy, sys
import s3prl_plugins
import s3prl.downstream.sv_voxceleb1.dataset as asv
import s3prl.downstream.voxceleb1.dataset as sid

asv.__file__ = sid.CACHE_PATH = sys.argv[1] + "/cache"
for pair in sys.argv[2:]:
    folder, split = pair.split(":")
    sys.argv = ["run_downstream", "-m", "evaluate", "-e", folder, "-t", split, "--device", "cpu"]
    print("scores of", folder, flush=True)
    runpy.run_module("s3prl.run_downstream", run_name="__main__")
"""


@pytest.fixture(scope="module")
def run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joint run of all tasks after one step."""
    folder = tmp_path_factory.mktemp("stock")
    own = {task: {"head": sizes, "train_batch": {"size": 2}} for task, sizes in SIZES.items()}
    runner = {"total_steps": 1, "warmup_steps": 0, "eval_step": 0}
    given = {"corpus_root": str(tiny_corpus), "tasks": list(FINETUNED_TASKS), "superb": own, "runner": runner}
    config = merge(load_yaml(find_config("all_task_mini")), given)
    common = {"device": "cpu", "seed": 1, "upstream": "hubert_local", "upstream_ckpt": str(TINY)}
    args = stock_args(**common, expdir=str(folder / "run"), upstream_trainable=True)
    experiment = Experiment(args, config)
    with torch.no_grad():
        for parameter in experiment.model.heads.parameters():
            parameter *= 4 if parameter.ndim > 1 else 0  # answers that differ
        for parameter in experiment.model.featurizers.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    experiment.train()
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    """A folder for each task."""
    place = run.parent / "stock"
    for task in FINETUNED_TASKS:
        assert main(["convert", "export", str(run), "--to", "s3prl", "--task", task, "-o", str(place / task)]) == 0
    return place


@pytest.fixture(scope="module")
def said(run: Path, exported: Path) -> Callable[[str], str]:
    """What s3prl's command says of a task; it and we evaluate the others of its group, too."""
    known: dict[str, str] = {}
    environment = {**os.environ, "JOBLIB_MULTIPROCESSING": "0", "CUDA_VISIBLE_DEVICES": ""}

    def of(task: str) -> str:
        if task not in known:
            group = QUICK if task in QUICK else SLOW
            whole, _ = checkpoints.newest_whole(run)
            ours = Experiment(stock_args(**{**whole.args, "past_exp": str(run)}), whole.config)
            ours.evaluate(",".join(f"{each}:test" for each in group))
            pairs = [f"{exported / each}:{card(each).test}" for each in group]
            command = [sys.executable, "-c", EVALUATE, str(exported), *pairs]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            assert done.returncode == 0, done.stderr[-3000:]
            known.update(zip(group, done.stdout.split("scores of ")[1:], strict=True))
        return known[task]

    return of


def predicted(folder: Path, name: str) -> dict[str, str]:
    """Utterance -> answer."""
    between = "," if name.endswith(".csv") else " "
    lines = (folder / name).read_text().splitlines()
    return {line.partition(between)[0]: line.partition(between)[2] for line in lines}


@pytest.mark.parametrize("task", SCORED)
def test_the_stock_command_gives_our_answers_and_score(
    task: str, run: Path, exported: Path, said: Callable[[str], str]
) -> None:
    printed, test, metric = said(task), card(task).test, card(task).best_metric.name
    name = card(task).predictions[0].format(split=test, fold="fold1")
    theirs, ours = predicted(exported / task, name), predicted(run / task, name)
    assert len(ours) >= 4 and theirs.keys() == ours.keys()
    if task == "asv":
        for pair, score in ours.items():
            assert float(theirs[pair]) == pytest.approx(float(score), abs=1e-5)
    else:
        assert theirs == ours and len(set(ours.values())) > 1
    [line] = [line for line in printed.splitlines() if re.search(rf"{test}[ -]{metric}:", line, re.IGNORECASE)]
    score = json.loads((run / "results.json").read_text())["scores"][task][test][metric]
    assert float(line.rpartition(" ")[2]) * (1 if task == "asr" else 100) == pytest.approx(score, abs=1e-4)


@pytest.mark.slow
def test_diarization_has_our_probabilities(run: Path, exported: Path, said: Callable[[str], str]) -> None:
    """s3prl's expert repeats the last frame where labels have one more."""
    h5py = pytest.importorskip("h5py")
    printed = said("sd")
    found = sorted((run / "sd").rglob("*.h5"))
    assert found
    for path in found:
        with h5py.File(path) as ours, h5py.File(exported / "sd/scoring/predictions" / path.name) as theirs:
            frames = len(ours["T_hat"])
            assert frames <= len(theirs["T_hat"]) <= frames + 2
            assert abs(ours["T_hat"][:] - theirs["T_hat"][:frames]).max() < 1e-5
    accuracy = float(printed.rpartition(" acc ")[2].split()[0])
    scores = json.loads((run / "results.json").read_text())["scores"]["sd"]["test"]
    assert 100 * accuracy == pytest.approx(scores["frame_acc"], abs=1.0)


@pytest.mark.parametrize("task", ["pr", "sf"])
@torch.no_grad()
def test_the_experts_whose_corpora_are_not_in_the_wheel_give_our_logits(task: str, run: Path, exported: Path) -> None:
    from s3prl.downstream.ctc.expert import DownstreamExpert

    content = torch.load(exported / task / "states-1.ckpt", weights_only=True)
    settings = content["Config"]["downstream_expert"]
    dim = content["Downstream"]["projector.weight"].shape[1]
    expert = DownstreamExpert(dim, 320, settings, str(exported / task)).eval()
    expert.load_state_dict(content["Downstream"])
    features = torch.randn(2, 30, dim, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([30, 21])
    theirs = expert.model(expert.projector(features), lengths)[0]
    head: Any = read(run).build(torch.device("cpu")).eval().heads[task]
    torch.testing.assert_close(theirs, head.network(features, lengths)[0], rtol=1e-5, atol=1e-6)
    symbols = [expert.tokenizer.idx_to_vocab(number) for number in range(theirs.shape[2])]
    assert symbols[3:] == list(head.vocabulary.symbols[3:])
    lists = {"pr": ("libriphone", ["test-clean"]), "sf": ("snips", ["test"])}
    assert (settings["corpus"]["name"], settings["corpus"]["test"]) == lists[task]
    paths = [settings["corpus"]["path"], *settings["corpus"].get("lexicon", [])]
    assert all(Path(path).exists() for path in paths) and settings["metric"][0] == card(task).best_metric.name


def test_it_comes_back_as_the_model_it_was(run: Path, exported: Path) -> None:
    """Through `inference/stock.py`, which reads s3prl's checkpoints; SID has got the speakers of the real corpus."""
    before = read(run)
    for task in FINETUNED_TASKS:
        after = read(exported / task / "states-1.ckpt")
        assert task in ("sid", "asv") or after.labels[task] == before.labels[task]
        assert torch.equal(after.featurizers[f"{task}.weights"], before.featurizers[f"{task}.weights"])
        if task not in ("sid", "asv"):
            names = [name for name in before.heads if name.startswith(f"{task}.")]
            assert sorted(after.heads) == sorted(names)
            assert all(torch.equal(after.heads[name], before.heads[name]) for name in names)


@torch.no_grad()
def test_wider_heads_answer_as_the_narrow_ones(run: Path, exported: Path) -> None:
    """SID among the speakers of the real corpus, ASV's projection and embedding with zeros."""
    before = read(run).build(torch.device("cpu")).eval()
    generator = torch.Generator().manual_seed(0)
    dim = before.trunk.describe()[1]
    features = [torch.randn(frames, dim, generator=generator) for frames in (40, 40)]
    after = {task: read(exported / task / "states-1.ckpt").build(torch.device("cpu")).eval() for task in ("sid", "asv")}
    heads: Any = {task: (before.heads[task], joint.heads[task]) for task, joint in after.items()}
    narrow, wide = (head.logits(features)[0].softmax(1) for head in heads["sid"])
    places = [int(name[2:]) - 10001 for name in before.labels["sid"]["speaker"]]
    assert wide.shape == (2, 1251)
    torch.testing.assert_close(wide[:, places], narrow)
    narrow, wide = (head.embed(features) for head in heads["asv"])
    assert wide.shape == (2, 512)
    torch.testing.assert_close(wide[:, : narrow.shape[1]], narrow)
    assert not wide[:, narrow.shape[1] :].any()
    first, second = (head.train().embed(features) @ head.objective.W for head in heads["asv"])
    assert second.shape[1] > first.shape[1]  # speakers of dev's trials, who are held out of training
    torch.testing.assert_close(second[:, second.abs().sum(0) > 0], first)


def test_other_encoders_stay_where_they_are(run: Path, tmp_path: Path) -> None:
    """A frozen one by its name; the weights of one that is no HuBERT in the file."""
    model = replace(read(run), hubert=None, args={"upstream": "fbank", "seed": 5, "init_heads": {}})
    for weights in (None, {"w": torch.ones(1)}):
        folder = tmp_path / str(weights is None)
        write_stock(replace(model, upstream=weights), "ks", folder, tmp_path)
        content = torch.load(folder / "states-1.ckpt", weights_only=True)
        assert content.get("Upstream") == weights
        args = vars(content["Args"])
        assert (args["upstream"], args["seed"], args["downstream"]) == ("fbank", 5, "speech_commands")
        assert "init_heads" not in args and [path.name for path in folder.iterdir()] == ["states-1.ckpt"]


def test_what_cannot_be_exported_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_corpus: Path
) -> None:
    export = ["convert", "export", str(run), "-o", str(tmp_path / "out")]
    cases = [
        ([*export, "--to", "s3prl"], "--to s3prl needs --task"),
        ([*export, "--to", "s3prl", "--task", "qbe"], "has no head of task 'qbe'"),
        (
            [*export, "--to", "fairseq", "--task", "ks"],
            "--task and --corpus-root are of --to s3prl, found --to fairseq",
        ),
        (["convert", "export", "superb_tiny", "-o", "out", "--to", "s3prl", "--task", "ks"], "pass --corpus-root DIR"),
    ]
    for words, message in cases:
        assert main(words) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
    words = ["convert", "export", "superb_tiny", "--to", "s3prl", "--task", "ks", "-o", str(tmp_path / "out")]
    assert main([*words, "--corpus-root", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert (
        "speech_commands is not here; name yours with -o config.downstream_expert.datarc.speech_commands_root" in said
    )
    model = read(run)
    labels = {**model.labels, "sid": {"speaker": ["anna"]}}
    with pytest.raises(CheckpointError, match="knows speakers id10001 to id11251, found 'anna'"):
        write_stock(replace(model, labels=labels), "sid", tmp_path / "sid", tiny_corpus)
    for part, value, message in (
        ("head", {"hidden_size": 513}, "can be 512 wide here, found head.hidden_size 513"),
        ("corpus", {"silence_removal": False}, "removes silences, found corpus.silence_removal false"),
    ):
        other = merge(model.config, {"superb": {"asv": {part: value}}})
        with pytest.raises(CheckpointError, match=message):
            write_stock(replace(model, config=other), "asv", tmp_path / "asv", tiny_corpus)
