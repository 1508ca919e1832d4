"""Every file of text that the package reads beside corpora and configurations, spoilt at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoiling import check_line, odd_json, one_line_at_most, spoilt

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.corpora.manifest import read as read_manifest
from s3prl_plugins.features.contents import holdings
from s3prl_plugins.features.lines import seal
from s3prl_plugins.heads.corpora.lexicon import Lexicon
from s3prl_plugins.inference.model_folder import read_folder
from s3prl_plugins.inference.stock_labels import stock_labels
from s3prl_plugins.logs import RunLogger, logged_scores, read_metrics
from s3prl_plugins.multitask.evaluation import saved_results, update_results
from s3prl_plugins.pretext.alignments import read_alignments
from s3prl_plugins.problems import Problems
from s3prl_plugins.report.page import write_page
from s3prl_plugins.report.papertable import paper_table
from s3prl_plugins.report.provenance import provenance, seed_notes
from s3prl_plugins.report.reading import read_table
from s3prl_plugins.report.superb_s import read_reference
from s3prl_plugins.report.sweep import read_sweep, score_table
from s3prl_plugins.superb.stdlist import write_stdlist
from s3prl_plugins.superb.submission import SLOTS
from s3prl_plugins.superb.submission_check import check
from s3prl_plugins.superb.submission_expected import Expected
from s3prl_plugins.sweep.lr_search import recorded_rate
from s3prl_plugins.sweep.run_state import is_finished

RESULTS = {
    "step": 5,
    "about": {"tasks": ["asr", "ks"], "size": "mini", "seed": 1, "upstream": "hubert_tiny", "finetuned": True},
    "scores": {
        "asr": {"test-clean": {"wer": 12.5, "cer": 3.0, "loss": 1.5}, "dev-clean": {"wer": 13.0}},
        "ks": {"test": {"acc": 90.0}},
    },
    "calibration": {"sd": {"threshold": 0.5, "median": 11.0}},
}
METRICS = "".join(
    json.dumps({"step": step, "train/asr/loss": 1.5, "dev/ks/acc": 50.0, "dev/asr/wer": 99.0, "layers/asr/0": 0.5})
    + "\n"
    for step in (0, 5)
)
SEARCH = {
    "metric": "acc",
    "split": "dev",
    "steps": 2,
    "tried": [{"lr": 1e-3, "score": 5.0, "loss": None}],
    "chosen": 1e-3,
}
TABLE = Path(__file__).parents[1].joinpath("report/table1.csv").read_bytes()
LABELS = {"action": ["on", "off"], "object": ["lamp"], "location": ["none"]}
ALIGNED = b'84-121123-0000 ",GO,,DO," "0.490,0.890,1.270,1.380,1.49"\n84-121123-0001 "HI" "0.5"\n'
SHARD = seal(json.dumps({"format": 1, "identity": "ab", "kind": "int8"})) + seal(f"{'0' * 32} 0 8 1 1 1 0")


def expected(task: str) -> Expected:
    labels = {"ic": LABELS, "sf": {"slots": ["artist"]}}.get(task, {"class": ["yes"]})
    return Expected("corpus", names=("a", "b"), labels=labels, seconds={}, documents=("d1", "d2"))


@dataclass(frozen=True)
class Read:
    """A file and what reads it."""

    name: str
    whole: bytes
    read: Callable[[Path], Any]
    """Takes the folder."""


def page(folder: Path) -> None:
    write_page(folder, folder / "page.html").unlink()


def sweep(folder: Path) -> None:
    found = read_sweep(folder)
    paper_table(score_table([found, found]), "mini")
    provenance([found])
    seed_notes([found])


def logger(folder: Path) -> None:
    kept = (folder / "metrics.jsonl").read_bytes()
    try:
        RunLogger(folder, 5).close()
    finally:
        (folder / "metrics.jsonl").write_bytes(kept)


def results(folder: Path) -> None:
    kept = (folder / "results.json").read_bytes()
    is_finished(folder, {"runner": {"total_steps": 5}}, [("ks", "test")])
    saved_results(folder)
    try:
        update_results(folder, 5, {("ks", "dev"): {"acc": 1.0}}, {})
    finally:
        (folder / "results.json").write_bytes(kept)


def lexicon(folder: Path) -> None:
    problems = Problems(gather=True)
    Lexicon([folder / "lexicon.txt"], problems).phones(["HELLO", "A"], "utterance", problems)
    for problem in problems.found:
        check_line(str(problem))


def predictions(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        problems = Problems(gather=True)
        check(SLOTS[name], folder, expected(SLOTS[name].task), problems)
        for problem in problems.found:
            check_line(str(problem))

    return read


def detections() -> bytes:
    place = Path(__file__).with_name("unused.xml")
    write_stdlist(place, {"q1": {"d1": 2.5, "d2": -1.0}, "q2": {"d1": 0.0, "d2": 0.25}})
    try:
        return place.read_bytes()
    finally:
        place.unlink()


def labels_of(task: str, outputs: int, name: str) -> Callable[[Path], Any]:
    return lambda folder: stock_labels(task, outputs, folder / name, {}, folder, folder / "states.ckpt")


LINES = {
    "asr": b"a HELLO WORLD\nb IT'S\n", "pr": b"a HH AH0 L OW1\nb <unk>\n", "sf": b"a PLAY B-artist ME E-artist\nb \n",
    "ks": b"a yes\nb yes\n", "sid": b"a yes\nb yes\n", "er_fold1": b"a yes\nb yes\n", "asv": b"a 0.5\nb -1e-3\n",
    "ic": b"a,on,lamp,none\nb,off,lamp,none\n",
}  # fmt: skip
READS = {
    "a run's results on a page": Read("results.json", json.dumps(RESULTS).encode(), page),
    "a run's results added to": Read("results.json", json.dumps(RESULTS).encode(), results),
    "a sweep's results": Read("all_task/results.json", json.dumps(RESULTS).encode(), sweep),
    "a sweep's search": Read("ssl/ks/lr_search.json", json.dumps(SEARCH).encode(), sweep),
    "a log on a page": Read("metrics.jsonl", METRICS.encode(), page),
    "a log continued": Read("metrics.jsonl", METRICS.encode(), logger),
    "a log's scores": Read("metrics.jsonl", METRICS.encode(), lambda folder: (read_metrics(folder), logged_scores(folder, 5))),
    "a learning rate": Read("lr_search.json", json.dumps(SEARCH).encode(), recorded_rate),
    "a manifest": Read("manifest.json", b'{"name": "mini-SUPERB", "size": "tiny", "sha256": "00"}', read_manifest),
    "a table": Read("table.csv", TABLE, lambda folder: read_table(folder / "table.csv")),
    "references of superb_s": Read(
        "reference.yaml", b"source: here\nsize: mini\nfbank: {ks_acc: 1}\nbest: {ks_acc: 90.5}\n",
        lambda folder: read_reference(folder / "reference.yaml"),
    ),
    "alignments": Read("a.alignment.txt", ALIGNED, read_alignments),
    "a lexicon": Read("lexicon.txt", b"HELLO HH AH0 L OW1\nA AH0\n", lexicon),
    "labels in JSON": Read("labels.json", json.dumps(LABELS).encode(), labels_of("ic", 4, "labels.json")),
    "labels in a csv": Read("l.csv", b"path,action,object,location\na,on,lamp,x\nb,off,lamp,x\n", labels_of("ic", 4, "l.csv")),
    "labels in lines": Read("slots.txt", b"O\nartist\nalbum\n", labels_of("sf", 35, "slots.txt")),
    "labels of ks": Read("labels.txt", b"yes\nno\n", labels_of("ks", 2, "labels.txt")),
    "a shard": Read("0123456789abcdef/int8/1-a.idx", SHARD, lambda folder: holdings(folder, check=True)),
    "a model folder": Read(
        "config.json", b'{"model_type": "s3prl_plugins", "answers": {"tasks": ["ks"]}}', read_folder
    ),
    "detections": Read(SLOTS["qbe"].source, detections(), predictions("qbe")),
    **{f"predictions of {name}": Read(SLOTS[name].source, whole, predictions(name)) for name, whole in LINES.items()},
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every file is whole."""
    from safetensors.torch import save

    root = tmp_path_factory.mktemp("files")
    for case, one in READS.items():
        path = root / case / one.name
        path.parent.mkdir(parents=True)
        path.write_bytes(one.whole)
    for case in ("a log on a page", "a sweep's search"):
        target = root / case / ("results.json" if "log" in case else "ssl/ks/results.json")
        target.write_text(json.dumps(RESULTS))
    (root / "a model folder/model.safetensors").write_bytes(save({}))
    (root / "a shard/0123456789abcdef/int8/1-a.bin").write_bytes(b"12345678")
    return root


@pytest.mark.parametrize("case", READS)
def test_what_is_whole_is_read(case: str, place: Path) -> None:
    READS[case].read(place / case)


@pytest.mark.parametrize("case", READS)
@given(data=st.data())
def test_a_spoilt_file(case: str, place: Path, data: st.DataObject) -> None:
    one = READS[case]
    changed = spoilt(one.whole)
    if one.name.endswith(".json"):
        changed |= odd_json(json.loads(one.whole))
    if one.name.endswith(".jsonl"):
        changed |= odd_json(json.loads(one.whole.splitlines()[0])).map(lambda line: line + b"\n")
    (place / case / one.name).write_bytes(data.draw(changed))
    with one_line_at_most():
        one.read(place / case)
