"""QUESST 2014's reader: what the lists and the ground truth say, any sample rate, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.problems import Problems

SECOND = np.sin(np.arange(8000) / 10) / 4
SCORING = "scoring/groundtruth_quesst14_dev"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two English documents and one Czech one, one query of each language, in 8 kHz as the real corpus."""
    root = tmp_path / "quesst14/quesst14Database"
    folders = {"utterances": "Audio", "dev": "dev_queries", "eval": "eval_queries"}
    for part, folder in folders.items():
        (root / folder).mkdir(parents=True)
        names = [f"{part}_1", f"{part}_2", f"{part}_3"] if part == "utterances" else [f"{part}_1", f"{part}_3"]
        (root / "scoring").mkdir(exist_ok=True)
        lines = [
            f"quesst14Database/{folder}/{name}.wav {'czech' if name.endswith('3') else 'nnenglish'}" for name in names
        ]
        (root / "scoring" / f"language_key_{part}.lst").write_text("\n".join(lines) + "\n")
        for name in names:
            soundfile.write(root / folder / f"{name}.wav", SECOND, 8000)
        if part == "utterances":
            continue
        truth = root / "scoring" / f"groundtruth_quesst14_{part}"
        truth.mkdir()
        excerpts = "".join(f'<excerpt audio_filename="utterances_{n}"/>' for n in (1, 2, 3))
        (truth / "quesst14.ecf.xml").write_text(f'<?xml version="1.0"?><ecf>{excerpts}</ecf>')
        terms = "".join(f'<term termid="{name}"><termtext>x</termtext></term>' for name in names)
        (truth / "a.tlist.xml").write_text(f"<termlist>{terms}</termlist>")
        hits = [("utterances_2", f"{part}_1"), ("utterances_2", f"{part}_1"), ("utterances_3", f"{part}_3")]
        rttm = [f"LEXEME {document} 1 0.000 1.000 {query} lex <NA> <NA>" for document, query in hits]
        (truth / "a.rttm").write_text("\n".join(["SPEAKER utterances_1 1 0 1 <NA> <NA> s <NA>", *rttm]) + "\n")
    return root


def reader(database: Path, languages: tuple[str, ...] = ("nnenglish",)) -> QbeReader:
    return QbeReader(QbeReader.Config(languages=languages), database.parents[1])


def faults(database: Path) -> list[str]:
    problems = Problems(gather=True)
    found = reader(database)
    found.labels(problems)
    for split in ("train", "dev", "test"):
        found.examples(split, problems)
    return [str(problem) for problem in dict.fromkeys(problems.found)]


def test_lists_choose_the_language_and_the_ground_truth_has_all(database: Path) -> None:
    names = {
        split: [e.name for e in reader(database).examples(split, Problems())] for split in ("train", "dev", "test")
    }
    assert names == {"train": ["utterances_1", "utterances_2"], "dev": ["dev_1"], "test": ["eval_1"]}
    both = reader(database, ("czech", "nnenglish")).examples("dev", Problems())
    assert [(e.name, e.seconds) for e in both] == [("dev_1", 1.0), ("dev_3", 1.0)]
    truth = reader(database).truth("test", Problems())
    assert truth.documents == {"utterances_1", "utterances_2", "utterances_3"}
    assert truth.targets == {"eval_1": {"utterances_2"}, "eval_3": {"utterances_3"}}
    assert faults(database) == []


def test_audio_becomes_16_khz_and_3_db_quieter(database: Path) -> None:
    found = reader(database)
    example = found.examples("dev", Problems())[0]
    wave = found.waveform(example, None)
    assert wave.shape == (16000,) and wave.dtype == torch.float32
    expected = torch.sin(torch.arange(16000) / 20) / 4 * 10 ** (-3 / 20)
    assert torch.allclose(wave[100:-100], expected[100:-100], atol=1e-3)
    stereo = np.stack([SECOND, -SECOND], 1)
    soundfile.write(example.path, stereo, 8000)
    assert found.waveform(example, None).abs().max() < 1e-4


def test_every_fault_is_named(database: Path) -> None:
    (database / "Audio/utterances_1.wav").unlink()
    (database / "dev_queries/dev_1.wav").write_text("no audio")
    eval_list = database / "scoring/language_key_eval.lst"
    eval_list.write_text("quesst14Database/eval_queries/eval_1.wav nnenglish\n" * 2 + "one\n")
    with (database / SCORING / "a.rttm").open("a") as file:
        file.write("LEXEME utterances_9 1 0 1 dev_1 lex <NA> <NA>\n")
    (database / "scoring/groundtruth_quesst14_eval/b.rttm").write_text("")
    terms = database / "scoring/groundtruth_quesst14_eval/a.tlist.xml"
    terms.write_text(terms.read_text().replace("eval_1", "eval_7"))
    found = faults(database)
    for said in (
        "utterances_1.wav: audio file is missing",
        "dev_1.wav: audio cannot be read",
        "language_key_dev.lst: no usable utterance of nnenglish was found",
        "language_key_eval.lst: utterance ids must be unique, found 'eval_1' twice",
        "language_key_eval.lst:3: a line must hold 2 fields, found 'one'",
        "a.rttm: a LEXEME line must name a document of the ecf and a query of the tlist, found utterances_9 dev_1",
        "groundtruth_quesst14_eval: the ground truth needs one .rttm file, found 2",
        "groundtruth_quesst14_eval: what the lists name must be in the ground truth, found eval_1 of test missing",
    ):
        assert sum(said in fault for fault in found) == 1, (said, found)
    assert len(found) == 8


@pytest.mark.parametrize("content", ["<ecf>", "<ecf><excerpt/></ecf>", "<ecf></ecf>"])
def test_damaged_xml_is_named(content: str, database: Path) -> None:
    (database / SCORING / "quesst14.ecf.xml").write_text(content)
    with pytest.raises(CorpusError, match=r"quesst14\.ecf\.xml: file must (be XML whose|have) <excerpt> elements"):
        reader(database).truth("dev", Problems())


def test_absence_and_silent_faults_are_errors(database: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="corpus folder is missing; unpack"):
        reader(tmp_path / "no/quesst14/quesst14Database").examples("dev", Problems())
    example = reader(database).examples("dev", Problems())[0]
    soundfile.write(example.path, np.where(np.arange(8000) == 9, np.nan, SECOND), 8000, subtype="FLOAT")
    with pytest.raises(CorpusError, match=r"dev_1\.wav: audio holds NaN"):
        reader(database).waveform(example, None)
    with pytest.raises(ConfigError, match="languages must name at least one"):
        QbeReader.Config(languages=())
