# ruff: noqa: E501 (one line for each entry of a table)
"""Every command and every flag: exit status 2, one line, nothing made."""

from __future__ import annotations

import argparse
import importlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from damages import one_line

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli import COMMANDS, _Parser, main
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

NUMBERS = ("many", "", "nan", "inf", "-1", "1.5.2", "0x", "1e400", "10" * 40)
"""No whole number from 0 on, and no number above 0 that a flag could mean."""


def parsers() -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """The words of each command, and its parser."""
    for name, (module, _) in COMMANDS.items():
        parser = _Parser(prog=f"s3prl-plugins {name}")
        importlib.import_module(module).add_arguments(parser)
        yield from _with_nested((name,), parser)


def _with_nested(
    words: tuple[str, ...], parser: argparse.ArgumentParser
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not nested:
        yield words, parser
    for action in nested:
        for name, inner in action.choices.items():
            yield from _with_nested((*words, name), inner)


PARSERS = dict(parsers())


def late(number: int, frame: object) -> NoReturn:
    raise TimeoutError("this command should have been refused")


def said(command: list[str], capsys: pytest.CaptureFixture[str], *parts: str) -> str:
    """What is wrong with how a command fails."""
    signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    try:
        one_line(command, capsys, *parts)
    except BaseException as error:
        return f"{' '.join(command)}: {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return ""


@pytest.mark.parametrize("words", PARSERS, ids=" ".join)
def test_flags(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """What argparse refuses: an unknown flag, one without its value, a number that is none, a choice that is none."""
    found = [said([*words, "--no-such-flag", "x"], capsys, "s3prl-plugins", "--help")]
    for action in PARSERS[words]._actions:
        if not action.option_strings or isinstance(action, argparse._HelpAction):
            continue
        flag = action.option_strings[-1]
        if action.nargs == 0:
            found.append(said([*words, f"{flag}=x"], capsys, flag, "'x'"))
            continue
        found.append(said([*words, flag], capsys, flag, "expected"))
        if action.choices is not None:
            found.append(said([*words, flag, "nonsense"], capsys, flag, "'nonsense'"))
        elif action.type not in (None, Path):
            whole = flag.endswith("selection") or flag == "--layers"  # counted from the end, too
            found += [
                said([*words, f"{flag}={text}"], capsys, flag)
                for text in NUMBERS
                if not (whole and text in ("-1", NUMBERS[-1]))
            ]
    faults = [fault for fault in found if fault]
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="module")
def places(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Names for the tables below."""
    root = tmp_path_factory.mktemp("places")
    (root / "empty").write_bytes(b"")
    (root / "text.pt").write_text("no checkpoint\n")
    (root / "list.yaml").write_text("- 1\n")
    (root / "torn.yaml").write_text("a: [1\n")
    (root / "latin.yaml").write_bytes(b"a: \xe9\n")
    (root / "unknown.yaml").write_text("no_such_key: 1\n")
    (root / "folder").mkdir()
    (root / "folder" / "note").write_text("mine")
    (root / "loop").symlink_to("loop")
    (root / "nothing").symlink_to("nowhere")
    (root / "locked").write_text("a: 1\n")
    (root / "locked").chmod(0)
    (root / "closed").mkdir()
    (root / "closed").chmod(0)
    write_checkpoint(root / "hubert.pt", random_checkpoint("tiny", 0))
    torch.save(torch.zeros(3), root / "tensor.pt")
    names = (
        "empty",
        "text.pt",
        "list.yaml",
        "torn.yaml",
        "latin.yaml",
        "unknown.yaml",
        "folder",
        "loop",
        "nothing",
        "locked",
    )
    return {
        **{name.split(".")[0]: str(root / name) for name in (*names, "closed", "hubert.pt", "tensor.pt")},
        "none": str(root / "no" / "such"), "corpus": str(tiny_corpus), "out": str(root / "out"),
        "table": str(Path(__file__).parents[1] / "report" / "table1.csv"), "root": str(root),
        "wav": str(next(tiny_corpus.glob("fluent_speech_commands/wavs/*/*/*.wav"))),
    }  # fmt: skip


FILES = ("none", "empty", "folder", "loop", "nothing", "locked", "closed", "text")
"""In the place of a file that a command reads."""
YAMLS = (*FILES, "list", "torn", "latin", "unknown")
UNKNOWN = dict.fromkeys(("finetune -c", "corpus check", "features build -c"), "config.size is None") | {
    "select-pretext -c": "unknown.yaml"
}
"""Commands that miss what a file with an unknown key alone lacks, and say so first."""
READS: dict[str, tuple[tuple[str, ...], str]] = {
    "finetune -c": (YAMLS, "finetune all-task -p {out} -c X"),
    "finetune -k": ((*FILES, "tensor"), "finetune all-task -p {out} -u hubert_local -k X -o config.corpus_root={corpus} --tasks ic --device cpu"),
    "finetune -i": ((*FILES, "tensor", "hubert"), "finetune all-task -p {out} -u fbank --frozen -i X -o config.corpus_root={corpus} --tasks ic --device cpu"),
    "finetune --init-heads": (FILES, "finetune all-task -p {out} -u fbank --frozen --init-heads ic=X -o config.corpus_root={corpus} --tasks ic --device cpu"),
    "finetune --lr-from": (FILES, "finetune ssl -p {out} -u fbank --lr-from X -o config.corpus_root={corpus} --tasks ic --device cpu"),
    "pretrain -c": (YAMLS, "pretrain hubert -p {out} -c X"),
    "pretrain --speech": (("none", "empty", "folder", "loop", "nothing", "closed"), "pretrain hubert -p {out} -c hubert_tiny --speech X --device cpu"),
    "corpus check": (YAMLS, "corpus check X"),
    "qbe -c": (YAMLS, "qbe -u fbank -p {out} -c X --device cpu"),
    "qbe --run": (FILES, "qbe --run X --device cpu"),
    "qbe -k": (FILES, "qbe -u hubert_local -k X -p {out} --corpus-root {corpus} --device cpu"),
    "choose": (FILES, "choose X --rule mean"),
    "export": ((*FILES, "tensor"), "export X -o {out}"),
    "convert export": ((*FILES, "tensor"), "convert export X --to safetensors -o {out}"),
    "convert fairseq": ((*FILES, "tensor", "hubert"), "convert fairseq X -o {out}"),
    "predict": ((*FILES, "tensor"), "predict X {wav} --device cpu"),
    "report": (("empty", "folder", "loop", "nothing", "locked", "none", "closed"), "report X -o {out}"),
    "report --table": (FILES, "report --table X -o {out}"),
    "report --superb-s-reference": (YAMLS, "report --table {table} --superb-s-reference X -o {out}"),
    "submit": (("none", "empty", "loop", "nothing", "locked", "text"), "submit --task ic=X -o {out}"),
    "submit --all-task": (FILES, "submit --all-task X -o {out}"),
    "select-pretext -c": (YAMLS, "select-pretext --task ic -p {out} -c X"),
    "select-pretext --alignments": (("none", "empty", "folder", "loop", "closed"), "select-pretext --task asr -p {out} --corpus-root {corpus} --alignments X"),
    "features build -c": (YAMLS, "features build --feature-store {out} -c X"),
    "features info": (("none", "empty", "loop", "nothing", "closed"), "features info X"),
    "features drop": (("none", "empty", "loop", "nothing", "closed"), "features drop X --all"),
    "corpus make, in the place of a folder": (("folder", "empty", "closed"), "corpus make X --size tiny"),
    "upstream init, in the place of a file": (("folder", "closed"), "upstream init X"),
}  # fmt: skip
"""What is read, what is given in its place, and the command."""


@pytest.mark.parametrize("case", READS)
def test_paths(case: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds, command = READS[case]
    places = {**places, "out": str(tmp_path / "out")}
    found = []
    for kind in kinds:
        words = [
            word.replace("X", places[kind]) if word in ("X", "ic=X") else word.format(**places)
            for word in command.split()
        ]
        fault = said(words, capsys, UNKNOWN.get(case, "no_such_key") if kind == "unknown" else Path(places[kind]).name)
        found += [f"{kind}: {fault}"] if fault else []
        found += [f"{kind}: left something"] if Path(places["out"]).exists() else []
    assert not found, "\n".join(found)


VALUES: dict[str, tuple[str, tuple[str, ...]]] = {
    "no command": ("", ("the following arguments are required", "--help")),
    "an unknown command": ("finetine", ("'finetine'", "finetune")),
    "no nested command": ("corpus", ("arguments are required: make",)),
    "an unknown nested command": ("corpus mak x", ("'mak'",)),
    "finetune, an unknown scenario": ("finetune al-task -p {out}", ("'al-task'",)),
    "finetune, no folder": ("finetune all-task", ("-p/--expdir",)),
    "finetune, an unknown task": ("finetune all-task -p {out} --tasks assr", ("'assr'", "did you mean 'asr'")),
    "finetune, a task twice": ("finetune all-task -p {out} --tasks ks ks", ("names a task twice",)),
    "finetune, an unknown upstream": ("finetune all-task -p {out} -u hubertt -o config.corpus_root={corpus}", ("'hubertt'", "did you mean 'hubert'")),
    "finetune, an unknown device": ("finetune all-task -p {out} --device gpu -o config.corpus_root={corpus}", ("--device 'gpu'", "cpu, cuda")),
    "finetune, a negative device": ("finetune all-task -p {out} --device cuda:-1 -o config.corpus_root={corpus}", ("--device 'cuda:-1'",)),
    "finetune, an unknown split": ("finetune all-task -p {out} -u fbank --frozen --tasks ic -t tset -o config.corpus_root={corpus} --device cpu", ("'tset'", "did you mean 'test'")),
    "finetune, a fold of no kind": ("finetune all-task -p {out} --er-folds 6 -o config.corpus_root={corpus}", ("6",)),
    "finetune, a layer behind the last": ("finetune all-task -p {out} -u hubert_local -k {hubert} -l 7 --tasks ic -o config.corpus_root={corpus} --device cpu", ("7",)),
    "finetune, a budget without unit": ("finetune ssl -p {out} --feature-budget 50 -o config.corpus_root={corpus}", ("'50'", "50GB")),
    "finetune, heads of an unknown task": ("finetune all-task -p {out} --init-heads icc={hubert} -o config.corpus_root={corpus}", ("icc",)),
    "finetune, heads of no form": ("finetune all-task -p {out} --init-heads ic -o config.corpus_root={corpus}", ("KEY=VALUE",)),
    "finetune, an option of no form": ("finetune all-task -p {out} --cluster slurm --launcher submitit -o config.corpus_root={corpus}", ("KEY=VALUE",)),
    "finetune, an override of no form": ("finetune all-task -p {out} -o seed=1", ("config.KEY=VALUE",)),
    "finetune, no corpus": ("finetune all-task -p {out} -u fbank --frozen -o config.corpus_root={none} --device cpu", ("no/such",)),
    "pretrain, an unknown name": ("pretrain hubrt -c hubert_tiny -p {out}", ("'hubrt'", "did you mean 'hubert'")),
    "pretrain, an unknown configuration": ("pretrain hubert -c hubert_tine -p {out}", ("'hubert_tine'", "did you mean 'hubert_tiny'")),
    "pretrain, the configuration of another": ("pretrain hubert -c pase_tiny -p {out}", ("unknown key config.",)),
    "pretrain, an override of another type": ("pretrain hubert -c hubert_tiny -p {out} -o config.mask_length=ten", ("config.mask_length", "'ten'")),
    "pretrain, a negative step": ("pretrain pase -c pase_tiny -p {out} -o config.train.steps=-3", ("config.train.steps", "-3")),
    "corpus check, an unknown task": ("corpus check all_task_mini --tasks assr", ("'assr'",)),
    "corpus make, an unknown size": ("corpus make {out} --size big", ("'big'",)),
    "qbe, an unknown upstream": ("qbe -u hubertt -p {out} --corpus-root {corpus} --device cpu", ("'hubertt'",)),
    "qbe, no folder": ("qbe -u fbank --corpus-root {corpus}", ("-p",)),
    "qbe, a layer that is not there": ("qbe -u fbank -p {out} --corpus-root {corpus} --layers 9 --device cpu", ("9",)),
    "qbe, no corpus": ("qbe -u fbank -p {out} --corpus-root {none} --device cpu", ("no/such",)),
    "choose, an unknown rule": ("choose {folder} --rule best", ("'best'",)),
    "choose, a soup of nothing": ("choose {folder} --rule soup:0", ("soup",)),
    "predict, an unknown model": ("predict superb_tinny {wav}", ("'superb_tinny'", "did you mean 'superb_tiny'")),
    "predict, an unknown task": ("predict superb_tiny {wav} --tasks assr --device cpu", ("'assr'",)),
    "predict, no recordings": ("predict superb_tiny", ("FILE",)),
    "select-pretext, an unknown task": ("select-pretext --task sd -p {out}", ("sd",)),
    "select-pretext, an unknown label": ("select-pretext --task ic -p {out} --labels pich --corpus-root {corpus}", ("'pich'",)),
    "select-pretext, no corpus": ("select-pretext --task ic -p {out} --corpus-root {none}", ("no/such",)),
    "features build, an unknown kind": ("features build --feature-store {out} --kind int2 -o config.corpus_root={corpus} --device cpu", ("int2",)),
    "features build, a budget that is no size": ("features build --feature-store {out} --feature-budget lots -o config.corpus_root={corpus} --device cpu", ("'lots'",)),
    "features drop, nothing named": ("features drop {folder}", ("--all",)),
    "submit, nothing to submit": ("submit -o {out}", ("--all-task",)),
    "submit, a task of no form": ("submit -o {out} --task ic", ("NAME=DIR",)),
    "submit, an unknown task": ("submit -o {out} --task icc={folder}", ("icc",)),
    "serve, an unknown model": ("serve superb_tinny --port 0 --no-browser", ("'superb_tinny'",)),
    "demo, an override of no form": ("demo --dir {out} -o x", ("config.KEY=VALUE",)),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_values(case: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, parts = VALUES[case]
    places = {**places, "out": str(tmp_path / "out")}
    fault = said([word.format(**places) for word in command.split()], capsys, *parts)
    assert not fault, fault
    assert not Path(places["out"]).exists()


def test_debug_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "all-task", "-p", "x", "-c", "no_such_config", "--debug"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Traceback") and "ConfigError" in error
    assert "s3prl-plugins finetune: no config file" in error.splitlines()[-1]
