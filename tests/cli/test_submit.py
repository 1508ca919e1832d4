"""`s3prl-plugins submit` on what our heads write: real joint runs of one step on the tiny corpus."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import main
from s3prl_plugins.config import load_yaml, merge
from s3prl_plugins.files import write_checked
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.cards import FINETUNED_TASKS
from s3prl_plugins.superb.stdlist import write_stdlist
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

# Task -> (file of our run's folder, path below predict/), by superb.md's table of the leaderboard's layout.
LAYOUT = {
    "asr": ("asr/test-clean-noLM-hyp.ark", "asr_public/predict.ark"),
    "pr": ("pr/test-hyp.ark", "pr_public/predict.ark"),
    "sf": ("sf/test-hyp.ark", "sf_public/predict.ark"),
    "er_fold1": ("er/test_fold1_predict.txt", "er_fold1_public/predict.txt"),
    "ic": ("ic/test_predict.csv", "ic_public/predict.csv"),
    "ks": ("ks/test_predict.txt", "ks_public/predict.txt"),
    "asv": ("asv/test_predict.txt", "sv_public/predict.txt"),
    "sid": ("sid/test_predict.txt", "sid_public/predict.txt"),
    "qbe": ("qbe/benchmark.stdlist.xml", "qbe_public/benchmark.stdlist.xml"),
}
OPTIONS = {"asr": "asr_no_lm", "asv": "sv"}


def joint(folder: Path, corpus: Path, hubert: Path, tasks: tuple[str, ...], fold: int, **chosen: Any) -> None:
    sizes: dict[str, Any] = {name: {"train_batch": {"size": 1}} for name in tasks}
    sizes |= {"er": {"corpus": {"fold": f"fold{fold}"}, "train_batch": {"size": 1}}}
    runner = {
        "total_steps": 1,
        "warmup_steps": 0,
        "log_step": 1,
        "save_step": 1,
        "eval_at_start": False,
        "eval_step": 0,
    }
    change = {"corpus_root": str(corpus), "tasks": list(tasks), "runner": runner, "superb": sizes}
    change["exclude_other_tests"] = not chosen.pop("leaky", False)
    given = {"upstream": "hubert_local", "upstream_ckpt": str(hubert), "upstream_trainable": True, **chosen}
    args = stock_args(expdir=str(folder), device="cpu", seed=3, **given)
    experiment = Experiment(args, merge(load_yaml(find_config("all_task_mini")), change))
    experiment.train()
    experiment.evaluate("test")


def write_qbe(corpus: Path, folder: Path) -> None:
    """As QbE's evaluation writes it, with made-up scores."""
    reader, folder = QbeReader(QbeReader.Config(), corpus), folder / "qbe"
    queries, documents = (reader.examples(split, Problems()) for split in ("test", "train"))
    scores = {document.name: float(number) for number, document in enumerate(documents)}
    folder.mkdir()
    write_stdlist(folder / "benchmark.stdlist.xml", {query.name: scores for query in queries})
    results = json.loads((folder.parent / "results.json").read_text())
    results["scores"]["qbe"] = {"test": {"mtwv": 0.0532, "layer": 2}}
    write_checked(folder.parent / "results.json", results)


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hubert") / "tiny.pt"
    write_checkpoint(path, random_checkpoint("tiny", 0))
    return path


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, hubert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder: all tasks with ER's fold 1, and four runs for the other folds. Read only."""
    sweep = tmp_path_factory.mktemp("sweep")
    joint(sweep / "all_task", tiny_corpus, hubert, FINETUNED_TASKS, 1)
    for fold in range(2, 6):
        joint(sweep / f"all_task_er_fold{fold}", tiny_corpus, hubert, ("er",), fold)
    write_qbe(tiny_corpus, sweep / "all_task")
    return sweep


@pytest.fixture
def sweep(finished: Path, tmp_path: Path) -> Path:
    """A copy to change, without the tensors."""
    copy = tmp_path / "sweep"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("*.pt", "events*"))
    return copy


def submit(out: Path, *words: object) -> int:
    return main(["submit", "-o", str(out), *map(str, words)])


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected_tree(sweep: Path) -> dict[str, bytes]:
    run = sweep / "all_task"
    files = {target: run / source for source, target in LAYOUT.values()}
    for fold in range(2, 6):
        source = sweep / f"all_task_er_fold{fold}" / "er" / f"test_fold{fold}_predict.txt"
        files[f"er_fold{fold}_public/predict.txt"] = source
    for path in (run / "sd" / "scoring" / "predictions").iterdir():
        files[f"sd_public/scoring/predictions/{path.name}"] = path
    files["sd_public/frame_shift"] = run / "sd" / "frame_shift"
    return {target: path.read_bytes() for target, path in files.items()}


def test_a_sweep_becomes_a_whole_submission(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "submission"
    assert submit(out, "--all-task", finished) == 0
    assert tree(out / "predict") == expected_tree(finished)
    with zipfile.ZipFile(out / "predict.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    assert packed == {f"predict/{name}": content for name, content in expected_tree(finished).items()}
    shown = capsys.readouterr().out
    for name in (*LAYOUT, "sd", *(f"er_fold{fold}" for fold in range(1, 6))):
        line = next(line for line in shown.splitlines() if line.startswith(f"{name} "))
        assert " corpus" in line, line
        assert "mtwv 0.0532" in line if name == "qbe" else "%" in line, line
    assert "track: unconstrained" in shown
    assert "mini-SUPERB: the leaderboard scores SUPERB's own test sets only" in shown
    assert (
        "left out: asr_lm (needs asr's head.lm, an ARPA file, when test is evaluated); a submission may be partial"
        in shown
    )
    assert f"written: {out / 'predict.zip'}" in shown


def script() -> Path | None:
    """s3prl's own submit.py: its wheel has none, a checkout of it does."""
    import s3prl

    places = [Path(s3prl.__file__).parent / "submit" / "submit.py"]
    if named := os.environ.get("S3PRL_SUBMIT_SCRIPT"):
        places.insert(0, Path(named))
    return next((place for place in places if place.is_file()), None)


@pytest.mark.skipif(script() is None, reason="s3prl's submit.py is only in its repository: set S3PRL_SUBMIT_SCRIPT")
def test_s3prls_script_collects_the_same_from_the_same_folders(finished: Path, tmp_path: Path) -> None:
    folders = {name: finished / "all_task" / source.split("/")[0] for name, (source, _) in LAYOUT.items()}
    folders["sd"] = finished / "all_task" / "sd"
    folders |= {f"er_fold{fold}": finished / f"all_task_er_fold{fold}" / "er" for fold in range(2, 6)}
    words = [word for name, folder in folders.items() for word in (f"--{OPTIONS.get(name, name)}", str(folder))]
    subprocess.run(
        [sys.executable, str(script()), "--output_dir", str(tmp_path / "theirs"), *words],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert submit(tmp_path / "ours", "--all-task", finished) == 0
    # The same folders as experiments of stock s3prl, by its script's names.
    stock = tmp_path / "stock"
    for name, folder in folders.items():
        shutil.copytree(folder, stock / name)
    named = [f"{OPTIONS.get(name, name)}={stock / name}" for name in folders]
    assert submit(tmp_path / "named", "--task", *named) == 0
    theirs = tree(tmp_path / "theirs" / "predict")
    assert tree(tmp_path / "ours" / "predict") == theirs == tree(tmp_path / "named" / "predict")
    if (tmp_path / "theirs" / "predict.zip").is_file():  # made by the program zip
        contents = []
        for name in ("ours", "theirs"):
            with zipfile.ZipFile(tmp_path / name / "predict.zip") as archive:
                contents.append({entry: archive.read(entry) for entry in archive.namelist()})
        assert contents[0] == contents[1]


def test_experiments_of_stock_s3prl_are_checked_against_their_truth_files(
    finished: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stock = tmp_path / "ks"
    shutil.copytree(finished / "all_task" / "ks", stock)
    assert submit(tmp_path / "one", "--task", f"ks={stock}") == 0
    assert "test_truth.txt (no corpus)" in (shown := capsys.readouterr().out)
    assert "track: not known" in shown
    (stock / "args_2024-01-01.yaml").write_text("upstream: hubert\nupstream_trainable: false\n")
    assert submit(tmp_path / "two", "--task", f"ks={stock}", "--corpus-root", tiny_corpus) == 0
    shown = capsys.readouterr().out
    assert "track: constrained" in shown and "(no corpus)" not in shown
    assert "left out: asr, asr_lm (needs" in shown
    assert "test is evaluated), pr, sf, sd, ic, asv, sid, qbe, er (all five folds are needed); a submission" in shown
    (stock / "test_truth.txt").unlink()
    assert submit(tmp_path / "three", "--task", f"ks={stock}") == 0
    assert "nothing (no corpus)" in capsys.readouterr().out
    lines = (stock / "test_predict.txt").read_text().splitlines()
    (stock / "test_predict.txt").write_text("\n".join(lines[1:]) + "\n")
    assert submit(tmp_path / "four", "--task", f"ks={stock}", "--corpus-root", tiny_corpus) == 2
    assert f"every test utterance must be there (1 fault: {lines[0].split()[0]!r} missing)" in capsys.readouterr().err
    assert not (tmp_path / "four").exists()


def test_a_corpus_that_is_gone_is_replaced_by_the_truth_file(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from s3prl_plugins.cli.submit_runs import Run

    monkeypatch.setattr(Run, "corpus_root", property(lambda self: tmp_path / "empty"))
    assert submit(tmp_path / "out", "--task", f"pr={sweep / 'all_task'}") == 0
    assert "test-ref.ark (corpus incomplete)" in capsys.readouterr().out


def test_every_fault_of_every_task_is_listed_and_nothing_written(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = sweep / "all_task"
    hypotheses = run / "asr" / "test-clean-noLM-hyp.ark"
    lines = hypotheses.read_text().splitlines(keepends=True)
    hypotheses.write_text("".join([*lines, lines[0], "stranger WORDS\n"]))
    rows = (run / "ic" / "test_predict.csv").read_text().splitlines()
    (run / "ic" / "test_predict.csv").write_text("\n".join(f"{row},x" for row in rows))
    (run / "sd" / "frame_shift").write_text("none\n")
    next((run / "sd" / "scoring" / "predictions").glob("*.h5")).unlink()
    (run / "qbe" / "benchmark.stdlist.xml").write_text("<stdlist>")
    assert submit(tmp_path / "out", "--all-task", sweep) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and not (tmp_path / "out").exists()
    for fault in (
        "asr/test-clean-noLM-hyp.ark: every test utterance must be there once (1 fault",
        "asr/test-clean-noLM-hyp.ark: only test utterances may be there (1 fault: 'stranger')",
        f"ic/test_predict.csv: a row must be NAME,ACTION,OBJECT,LOCATION with values of the corpus ({len(rows)} faults",
        "sd/scoring/predictions: frame_shift must hold the samples of a frame (1 fault: 'none')",
        "sd/scoring/predictions: every test utterance must be there (1 fault",
        "qbe/benchmark.stdlist.xml: the file must be well-formed XML",
    ):
        assert fault in shown.err, fault
    assert all("; evaluate the test split again" in line for line in shown.err.splitlines()[1:])


def test_recognition_with_a_language_model_has_a_place_of_its_own(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = sweep / "all_task"
    assert submit(tmp_path / "without", "--all-task", run) == 0
    assert (
        "left out: asr_lm (needs asr's head.lm, an ARPA file, when test is evaluated), er (" in capsys.readouterr().out
    )
    # What the head writes if it has one (tests/heads/test_ctc_lm.py).
    shutil.copy(run / "asr" / "test-clean-noLM-ref.ark", run / "asr" / "test-clean-LM-hyp.ark")
    results = json.loads((run / "results.json").read_text())
    results["scores"]["asr"]["test-clean"]["wer_lm"] = 12.345
    write_checked(run / "results.json", results)
    assert submit(tmp_path / "with", "--all-task", run) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("asr_lm "))
    assert "test-clean-LM-hyp.ark" in line and line.endswith("corpus           wer_lm 12.35%")
    content = (tmp_path / "with" / "predict" / "asr_lm_public" / "predict.ark").read_bytes()
    assert content == (run / "asr" / "test-clean-LM-hyp.ark").read_bytes()


class TestFolds:
    """A joint model may be scored only on the fold that it did not train on."""

    def test_a_single_run_leaves_emotion_recognition_out(
        self, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert submit(tmp_path / "out", "--all-task", finished / "all_task") == 0
        assert "er (all five folds are needed, found er_fold1)" in capsys.readouterr().out
        assert not list((tmp_path / "out" / "predict").glob("er_*"))

    def test_fewer_than_five_named_folds_are_refused(
        self, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        named = [f"er_fold{fold}={finished / f'all_task_er_fold{fold}'}" for fold in (2, 3)]
        assert submit(tmp_path / "out", "--task", *named) == 2
        assert "er: all five folds must be given, found er_fold2, er_fold3" in capsys.readouterr().err
        assert submit(tmp_path / "out", "--all-task", finished / "all_task", "--task", *named) == 2
        assert "found er_fold1, er_fold2, er_fold3" in capsys.readouterr().err

    @pytest.mark.parametrize("inside", [False, True])
    def test_a_run_is_refused_for_a_fold_it_trained_on(
        self, sweep: Path, inside: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = sweep / "all_task_er_fold2"
        shutil.copy(sweep / "all_task_er_fold3" / "er" / "test_fold3_predict.txt", run / "er")
        named = f"er_fold3={run / 'er' if inside else run}"
        assert submit(tmp_path / "out", "--all-task", sweep, "--task", named) == 2
        err = capsys.readouterr().err
        assert "er_fold3 must come from a run that did not train on it, this one left out fold2 only" in err
        assert "; train one with config.superb.er.corpus.fold=fold3" in err

    def test_a_run_that_does_not_tell_its_fold_is_refused(
        self, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = sweep / "all_task_er_fold4"
        (run / "states-1.ckpt").unlink()
        assert submit(tmp_path / "one", "--all-task", sweep) == 0  # results.json tells too
        (run / "results.json").unlink()
        assert submit(tmp_path / "two", "--all-task", sweep) == 2
        error = (
            "er_fold4: neither states-*.ckpt nor results.json tells on which folds the run trained; restore one of them"
        )
        assert error in capsys.readouterr().err

    def test_stock_experiments_of_five_folds_pass(self, finished: Path, tmp_path: Path) -> None:
        folders = [finished / ("all_task" if fold == 1 else f"all_task_er_fold{fold}") / "er" for fold in range(1, 6)]
        named = []
        for fold, folder in enumerate(folders, 1):
            shutil.copytree(folder, tmp_path / f"fold{fold}")
            named.append(f"er_fold{fold}={tmp_path / f'fold{fold}'}")
        assert submit(tmp_path / "out", "--task", *named) == 0


def test_a_frozen_run_is_of_the_constrained_track(
    tiny_corpus: Path, hubert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joint(tmp_path / "run", tiny_corpus, hubert, ("ks",), 1, upstream_trainable=False)
    assert submit(tmp_path / "out", "--task", f"ks={tmp_path / 'run'}") == 0
    assert "track: constrained (frozen encoder) if the heads are SUPERB's" in capsys.readouterr().out


def test_a_run_that_learned_from_other_tasks_tests_is_marked(
    tiny_corpus: Path, hubert: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joint(tmp_path / "run", tiny_corpus, hubert, ("ks", "sid"), 1, leaky=True)
    assert submit(tmp_path / "out", "--all-task", tmp_path / "run") == 0
    assert "leaks: trained with exclude_other_tests: false" in capsys.readouterr().out
    assert submit(tmp_path / "clean", "--all-task", finished) == 0
    assert "leaks" not in capsys.readouterr().out


def test_a_submission_is_overwritten_by_force_only(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--task", f"sid={finished / 'all_task'}")
    assert submit(tmp_path / "out", *words) == 0
    before = (tmp_path / "out" / "predict.zip").read_bytes()
    assert submit(tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "exists already; choose another -o, or replace it with --force" in error
    assert submit(tmp_path / "out", *words, "--force") == 0
    assert (tmp_path / "out" / "predict.zip").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to submit; pass --all-task DIR, or --task NAME=DIR"),
        (("--task", "ks"), "--task takes NAME=DIR, found 'ks'; for example ks=result/ks"),
        (("--task", "kss=."), "unknown task 'kss' in --task; did you mean 'ks'"),
        (("--task", "er=."), "er is submitted as five folds; write er_fold1=DIR"),
        (("--task", "ks=.", "ks=."), "--task names 'ks' twice; give one folder for it"),
        (("--task", "ks=absent"), "--task ks=absent: there is no such folder; name the experiment's"),
        (("--all-task", "absent"), "--all-task absent: there is no such folder; name one that exists"),
        (("--all-task", "."), "--all-task . holds no prediction file of a test split; name a joint run's folder"),
        (("--task", "ks=.", "--corpus-root", "absent"), "--corpus-root absent: there is no such folder"),
        (("--task", "ks=."), "test_predict.txt: prediction file is missing; evaluate the test split"),
    ],
)  # fmt: skip
def test_what_cannot_be_submitted_is_told(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert submit(tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error and not (tmp_path / "out").exists()
