# ruff: noqa: E501 (one line for each entry of a table)
"""What is read besides corpora: a damaged file is as good as before, or one line names it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from damages import FLIPPED, TEXT, bounded, fault, restored

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.cli.submit_runs import Run
from s3prl_plugins.config import load_yaml, plain
from s3prl_plugins.corpora import build as corpora
from s3prl_plugins.corpora.manifest import MINI_SUPERB, VERSION, Kind
from s3prl_plugins.files import write_checked
from s3prl_plugins.inference.exporting import export_folder
from s3prl_plugins.inference.loading import read as read_model
from s3prl_plugins.inference.stock_labels import stock_labels
from s3prl_plugins.logs import read_metrics
from s3prl_plugins.multitask.config import find_config
from s3prl_plugins.multitask.evaluation import saved_results
from s3prl_plugins.pretext.alignments import read_alignments
from s3prl_plugins.pretrain.config import find_pretrain_config
from s3prl_plugins.qbe import evaluation as qbe
from s3prl_plugins.qbe.config import qbe_config, qbe_mapping
from s3prl_plugins.report.page import read_results
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.superb_s import read_reference
from s3prl_plugins.sweep.lr_search import recorded_rate

ALIGNED = (
    '84-121123-0000 ",GO,,DO," "0.490,0.890,1.270,1.380,1.49"\n84-121123-0001 ",NO," "0.2,0.8,1.0"\n84-2-0 "A" "1"\n'
)
LOGGED = "".join(f'{{"step": {step}, "train/ks/loss": {1 / step}}}\n' for step in (1, 2, 3))
RESULTS = {"step": 5, "about": {"tasks": ["ks"]}, "scores": {"ks": {"test": {"acc": 90.0}}}}
LABELS = {"action": ["on", "off"], "object": ["lamp"], "location": ["none"]}
KIND = Kind(MINI_SUPERB, {"size": "tiny"})
TABLE = Path(__file__).parents[1] / "report" / "table1.csv"
MANIFEST = {"name": MINI_SUPERB, "size": "tiny", "version": VERSION}


Write = str | Callable[[Path], object]


def checked(content: Mapping[str, Any]) -> Callable[[Path], None]:
    return lambda path: write_checked(path, content)


def kept(path: Path) -> Any:
    """Dev scores of layers, from which `s3prl-plugins qbe` goes on."""
    encoder: Any = SimpleNamespace(made_from={"seed": 1}, trunk=SimpleNamespace(padding="none", selection="x"))
    return qbe._Kept(path, encoder, qbe_config(qbe_mapping("qbe_mini")))


def layers(path: Path) -> None:
    for layer, score in enumerate((0.1, 0.2, 0.3)):
        kept(path).add(layer, score)


def labels(task: str, outputs: int) -> Callable[[Path], Any]:
    return lambda path: stock_labels(task, outputs, path, {}, path.parent, path.parent / "states.ckpt")


@dataclasses.dataclass(frozen=True)
class Case:
    """A file."""

    write: Write
    """What it holds whole, or what writes it."""
    read: Callable[[Path], Any]
    either: tuple[str, ...] = ()
    """Damages after which it is another matter than the table says."""
    sealed: bool = False
    """It has a checksum."""


ABSENT = ("missing", "a folder in its place", "a link to nothing", "a link to itself", "a link to an empty device")
"""No such file, or none."""
_NOTHING = ("empty", "spaces alone")
CASES = {
    "a configuration": ("configuration.yaml", Case(find_config("all_task_mini").read_text(encoding="utf-8"), load_yaml, _NOTHING)),
    "a pretraining's configuration": ("pase.yaml", Case("workers:\n  lim: 0.5\n  gim: 0.25\n  spc: 0.25\n", find_pretrain_config, _NOTHING)),
    "a table": ("table.csv", Case(TABLE.read_text(encoding="utf-8"), read_table, (*_NOTHING, "random bytes"))),
    "alignments": ("84.alignment.txt", Case(ALIGNED, lambda path: read_alignments(path.parent), ("missing",))),
    # A run that has not logged yet, or that was cut off in its last line.
    "a log": ("metrics.jsonl", Case(LOGGED, lambda path: read_metrics(path.parent), (
        *ABSENT, *_NOTHING, "byte order mark", "first byte", "zeros", "a page of HTML", "random bytes", "UTF-16",
    ))),
    "results": ("results.json", Case(checked(RESULTS), lambda path: saved_results(path.parent), ABSENT, True)),
    "results on a page": ("results.json", Case(checked(RESULTS), lambda path: read_results(path.parent), (), True)),
    "a search": ("lr_search.json", Case(checked({"tried": [{"lr": 0.1}], "chosen": 0.1}), lambda path: recorded_rate(path.parent), ABSENT, True)),
    "a manifest": ("manifest.json", Case(checked(MANIFEST), lambda path: corpora._kept(path.parent, KIND), (), True)),
    "references": ("reference.yaml", Case("source: here\nsize: mini\nfbank: {ks_acc: 1}\nbest: {ks_acc: 90.5}\n", lambda path: plain(read_reference(path)))),
    "a model's configuration": ("config.json", Case(lambda path: export_folder("superb_tiny", path.parent), lambda path: plain(read_model(path.parent).entry()["labels"]), (), True)),
    "labels in JSON": ("labels.json", Case(json.dumps(LABELS, indent=1) + "\n", labels("ic", 4))),
    "labels in a csv": ("train.csv", Case("path,action,object,location\na,on,lamp,x\nb,off,lamp,x\n", labels("ic", 4))),
    "labels in lines": ("slots.txt", Case("O\nartist\nalbum\n", labels("sf", 35), ("a page of HTML",))),  # two names, too
    "labels of keywords": ("labels.txt", Case("yes\nno\nup\n", labels("ks", 3))),
}  # fmt: skip
STEPPED_OVER = {
    "scores of layers": ("layers.json", Case(layers, lambda path: kept(path).scores), {}),
    "results that only tell of a submission": (
        "results.json", Case(checked(RESULTS), lambda path: Run(path.parent).results), {},
    ),
}  # fmt: skip
"""What is computed again, or done without: what it gives then."""


def placed(name: str, case: Case, root: Path) -> Path:
    path = root / "a b" / "f\u00fcr" / name
    path.parent.mkdir(parents=True)
    (path.parent / "another").write_text("x")
    if isinstance(case.write, str):
        path.write_text(case.write, encoding="utf-8")
    else:
        case.write(path)
    return path


@pytest.mark.parametrize("what", CASES)
def test_damages(what: str, tmp_path: Path) -> None:
    name, case = CASES[what]
    path = placed(name, case, tmp_path)
    expected, faults = case.read(path), []
    for kind, (make, owed) in (TEXT | FLIPPED if case.sealed else TEXT).items():
        with restored(path):
            make(path)
            said = fault(
                "either" if kind in case.either else owed, [name, path.parent.name], lambda: case.read(path), expected
            )
        if said:
            faults.append(f"{kind}: {said}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("what", STEPPED_OVER)
def test_what_is_stepped_over(what: str, tmp_path: Path) -> None:
    name, case, nothing = STEPPED_OVER[what]
    path = placed(name, case, tmp_path)
    expected, faults = case.read(path), []
    for kind, (make, owed) in (TEXT | FLIPPED).items():
        with restored(path):
            make(path)
            with bounded():
                found = case.read(path)
        if found not in {"same": (expected,), "refused": (nothing,)}.get(owed, (expected, nothing)):
            faults.append(f"{kind}: {found}")
    assert not faults, "\n".join(faults)
