# ruff: noqa: E501 (one line for each entry of a table)
"""What a list says, damaged in the ways that its form allows: the same result, or one line with the value found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from damages import restored, said_in_one_line
from datasets import DATASETS, heard

from s3prl_plugins.errors import UserError

SAME = ("same",)
"""What is owed: the result of the undamaged list."""
TAKEN = ("taken",)
"""Another result, of a list that is as good as the undamaged."""


@dataclass
class Cell:
    """A damage: dataset, file, what is done to its text, and the parts of the line that says so."""

    dataset: str
    file: str
    change: Callable[[str], str]
    owed: tuple[str, ...]


def put(old: str, new: str, count: int = 1) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, count)


def add(line: str) -> Callable[[str], str]:
    return lambda text: f"{text.rstrip()}\n{line}\n"


def first(change: Callable[[str], str]) -> Callable[[str], str]:
    """:param change: of the first line."""

    def apply(text: str) -> str:
        line, rest = text.split("\n", 1)
        return f"{change(line)}\n{rest}"

    return apply


def second(change: Callable[[str], str]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        before, line, rest = text.split("\n", 2)
        return f"{before}\n{change(line)}\n{rest}"

    return apply


def again(text: str) -> str:
    """The second line twice."""
    return second(lambda line: f"{line}\n{line}")(text)


TRANS = "dev-clean/198/77575/198-77575.trans.txt"
SNIPS = "all.iob.snips.txt"
ER = "meta_data/Session1/test_meta_data.json"
SCORING = "scoring/groundtruth_quesst14_dev"
CELLS: dict[str, Cell] = {
    "asr, transcript of no words": Cell("asr", TRANS, first(lambda line: line.split()[0]), ("must have words", "0000.flac")),
    "asr, small letters": Cell("asr", TRANS, lambda text: text.lower(), SAME),
    "asr, a digit": Cell("asr", TRANS, first(lambda line: f"{line} 42"), ("A-Z and ', found '2'", TRANS)),
    "asr, a letter with an accent": Cell("asr", TRANS, first(lambda line: f"{line} CAFÉ"), ("found 'É'", TRANS)),
    "asr, a hyphen": Cell("asr", TRANS, first(lambda line: f"{line} WELL-KNOWN"), ("found '-'", TRANS)),
    "asr, tabs and many spaces": Cell("asr", TRANS, lambda text: text.replace(" ", " \t  "), SAME),
    "asr, an id twice": Cell("asr", TRANS, lambda text: text + text.split("\n", 1)[0] + " TOO\n", ("one transcript, '198-77575-0000' has two", TRANS)),
    "asr, an id that has no audio": Cell("asr", TRANS, add("198-77575-0099 HELLO"), ("0099.flac: audio file is missing",)),
    "asr, an id of another chapter": Cell("asr", TRANS, add("1-1-0000 HELLO"), ("1-1-0000.flac: audio file is missing",)),
    "pr, a word outside the lexicon": Cell("pr", TRANS, first(lambda line: f"{line} ZYZZYVA"), ("lexicon.txt", "'ZYZZYVA'", "add a line")),
    "pr, a phone nobody knows": Cell("pr", "lexicon.txt", put("AH0", "AH7", -1), ("lexicon.txt", "found 'AH7'")),
    "pr, a word without phones": Cell("pr", "lexicon.txt", lambda text: "\n".join(line.split()[0] for line in text.splitlines()), ("lexicon.txt", "every word")),
    "pr, a word twice": Cell("pr", "lexicon.txt", lambda text: text + text.replace("AH0", "AH1"), SAME),
    "pr, words in small letters": Cell("pr", "lexicon.txt", lambda text: "\n".join(" ".join([line.split()[0].lower(), *line.split()[1:]]) for line in text.splitlines()), SAME),
    "sf, fewer tags than words": Cell("sf", SNIPS, lambda text: "\n".join(line.rsplit(" ", 2)[0] for line in text.splitlines()), (SNIPS, "as many words as tags")),
    "sf, no tab": Cell("sf", SNIPS, put("\t", " ", -1), (SNIPS, "as many words as tags")),
    "sf, a slot nobody knows": Cell("sf", "slots.txt", lambda text: "O\nnothing\n", (SNIPS, "slots must be in slots.txt, found", "add it")),
    "sf, a transcript of no words": Cell("sf", SNIPS, lambda text: "\n".join(f"{line.split()[0]} BOS EOS\tO X" for line in text.splitlines()), (SNIPS, "at least one, found 0 and 0")),
    "sf, an id alone": Cell("sf", SNIPS, lambda text: "\n".join(line.split()[0] for line in text.splitlines()), (SNIPS, "found 0 and 0")),
    "sf, an id twice": Cell("sf", SNIPS, lambda text: text + text, (SNIPS, "twice")),
    "sf, spaces after slots": Cell("sf", "slots.txt", lambda text: text.replace("\n", "  \n"), SAME),
    "sd, a negative time": Cell("sd", "dev/segments", put(" 0.160 ", " -0.160 "), ("dev/segments", "found '-0.160'")),
    "sd, a time that is no number": Cell("sd", "dev/segments", put(" 0.160 ", " soon "), ("dev/segments", "found 'soon'")),
    "sd, NaN as a time": Cell("sd", "dev/segments", put(" 0.160 ", " nan "), ("dev/segments", "found 'nan'")),
    "sd, an infinite time": Cell("sd", "dev/segments", put(" 2.335", " inf"), ("dev/segments", "found 'inf'")),
    "sd, an end before its start": Cell("sd", "dev/segments", put(" 0.160 2.335", " 2.335 0.160"), ("dev/segments", "must end after it starts")),
    "sd, an end long after the recording's": Cell("sd", "dev/segments", put(" 2.335", " 99999"), ("dev/segments", "ends at 99999")),
    "sd, a segment twice": Cell("sd", "dev/segments", again, ("dev/segments", "twice")),
    "sd, a segment of no recording": Cell("sd", "dev/segments", first(lambda line: " ".join([line.split()[0], "nowhere", *line.split()[2:]])), ("dev/segments", "'nowhere'")),
    "sd, a column less": Cell("sd", "dev/segments", first(lambda line: line.rsplit(" ", 1)[0]), ("dev/segments:1", "must hold 4 fields")),
    "sd, a column more": Cell("sd", "dev/segments", first(lambda line: f"{line} more"), ("dev/segments", "more")),
    "sd, a segment without speaker": Cell("sd", "dev/utt2spk", lambda text: text.split("\n", 1)[1], ("utt2spk", "has no speaker")),
    "sd, speakers of other names": Cell("sd", "dev/utt2spk", lambda text: "\n".join(f"{line.split()[0]} s{number}" for number, line in enumerate(text.splitlines())), TAKEN),
    "sd, a recording twice": Cell("sd", "dev/wav.scp", again, ("twice",)),
    "sd, a recording that is a command": Cell("sd", "dev/wav.scp", first(lambda line: f"{line} |"), ("dev/wav.scp", "found the command", "run the command once")),
    "sd, a recording named after a folder": Cell("sd", "dev/wav.scp", first(lambda line: f"../../evil {line.split(' ', 1)[1]}"), ("dev/wav.scp", "without '/'")),
    "sd, a negative duration": Cell("sd", "dev/reco2dur", first(lambda line: f"{line.split()[0]} -2"), ("reco2dur", "found '-2'")),
    "sd, a duration of zero": Cell("sd", "dev/reco2dur", first(lambda line: f"{line.split()[0]} 0"), ("reco2dur", "found '0'")),
    "sd, NaN as a duration": Cell("sd", "dev/reco2dur", first(lambda line: f"{line.split()[0]} nan"), ("reco2dur", "found 'nan'")),
    "sd, a recording without duration": Cell("sd", "dev/reco2dur", lambda text: text.split("\n", 1)[1], ("reco2dur", "has no duration")),
    "er, an emotion nobody knows": Cell("er", ER, put('"label": "neu"', '"label": "xxx"'), (ER, "found 'xxx'")),
    "er, a label that is a number": Cell("er", ER, put('"label": "neu"', '"label": 3'), (ER, "must be texts")),
    "er, a row that is a text": Cell("er", ER, put('"meta_data": [', '"meta_data": ["x", '), (ER, "TypeError")),
    "er, no path": Cell("er", ER, put('"path"', '"pth"'), (ER, "KeyError: 'path'")),
    "er, no meta_data": Cell("er", ER, put('"meta_data"', '"meta"'), (ER, "KeyError: 'meta_data'")),
    "er, no labels": Cell("er", ER, put('"labels"', '"label"'), (ER, "KeyError: 'labels'")),
    "er, labels that are a number": Cell("er", ER, lambda text: '{"labels": 4, "meta_data": []}', (ER, "AttributeError")),
    "er, a list at the top": Cell("er", ER, lambda text: f"[{text}]", (ER, "TypeError")),
    "er, two emotions of one number": Cell("er", ER, put('"hap": 1', '"hap": 0'), (ER, "numbered from 0, each once")),
    "er, a number left out": Cell("er", ER, put('"sad": 3', '"sad": 4'), (ER, "numbered from 0, each once")),
    "er, an utterance twice": Cell("er", ER, lambda text: text.replace('"meta_data": [', '"meta_data": [' + text.split('"meta_data": [')[1].split("}")[0] + "}, "), ("twice",)),
    "er, no rows": Cell("er", ER, lambda text: text.split('"meta_data": [')[0] + '"meta_data": []}', ("no usable utterance",)),
    "er, indented": Cell("er", ER, lambda text: text.replace(", ", ",\n  "), SAME),
    "ic, an intent unseen in training": Cell("ic", "data/valid_data.csv", put("activate", "explode"), ("valid_data.csv", "found 'explode'", "remove the row")),
    "ic, a column less": Cell("ic", "data/valid_data.csv", put("location", "place"), ("valid_data.csv", "'location' is missing")),
    "ic, a column more": Cell("ic", "data/valid_data.csv", lambda text: "\n".join(line + ",x" for line in text.splitlines()), SAME),
    "ic, other order of columns": Cell("ic", "data/valid_data.csv", lambda text: "\n".join(",".join([*line.split(",")[3:], *line.split(",")[:3]]) for line in text.splitlines()), SAME),
    "ic, an empty intent": Cell("ic", "data/valid_data.csv", second(lambda line: line.rsplit(",", 1)[0] + ","), ("valid_data.csv", "lack a path or an intent")),
    "ic, a short row": Cell("ic", "data/valid_data.csv", second(lambda line: line.rsplit(",", 2)[0]), ("valid_data.csv", "lack a path or an intent")),
    "ic, an utterance twice": Cell("ic", "data/valid_data.csv", again, ("twice",)),
    "ic, semicolons": Cell("ic", "data/valid_data.csv", put(",", ";", -1), ("valid_data.csv", "columns path")),
    "ic, quoted": Cell("ic", "data/valid_data.csv", lambda text: "\n".join(",".join(f'"{part}"' for part in line.split(",")) for line in text.splitlines()), SAME),
    "ic, a quote that does not end": Cell("ic", "data/valid_data.csv", second(lambda line: line.replace("wavs", '"wavs')), ("valid_data.csv",)),
    "ic, a path out of the corpus": Cell("ic", "data/valid_data.csv", put("wavs/", "../nowhere/"), ("nowhere", "audio file is missing")),
    "ic, no rows": Cell("ic", "data/valid_data.csv", lambda text: text.split("\n", 1)[0], ("no usable utterance",)),
    "asv, a label outside 0 and 1": Cell("asv", "voxceleb1_test_v2.txt", first(lambda line: f"2{line[1:]}"), ("voxceleb1_test_v2.txt", "found '2'")),
    "asv, a trial of one file": Cell("asv", "voxceleb1_test_v2.txt", first(lambda line: line.rsplit(" ", 1)[0]), ("voxceleb1_test_v2.txt:1", "must hold 3 fields")),
    "asv, a trial of three files": Cell("asv", "voxceleb1_test_v2.txt", first(lambda line: f"{line} x"), (".wav x",)),
    "asv, a speaker nobody knows": Cell("asv", "voxceleb1_test_v2.txt", put("id10005", "id99999"), ("id99999", "audio file is missing")),
    "asv, a file of no name": Cell("asv", "voxceleb1_test_v2.txt", add("1 . ."), ("voxceleb1_test_v2.txt", "found '.'")),
    "asv, a file that is a root": Cell("asv", "voxceleb1_test_v2.txt", add("1 / /"), ("voxceleb1_test_v2.txt", "found '/'")),
    "asv, a trial twice": Cell("asv", "voxceleb1_test_v2.txt", again, TAKEN),
    "asv, targets alone": Cell("asv", "voxceleb1_test_v2.txt", lambda text: "\n".join(f"1{line[1:]}" for line in text.splitlines()), ("voxceleb1_test_v2.txt", "of both kinds")),
    "sid, a part outside 1 to 3": Cell("sid", "veri_test_class.txt", first(lambda line: f"4{line[1:]}"), ("veri_test_class.txt", "found '4'")),
    "sid, a negative part": Cell("sid", "veri_test_class.txt", first(lambda line: f"-{line}"), ("veri_test_class.txt", "found '-1'")),
    "sid, one field": Cell("sid", "veri_test_class.txt", first(lambda line: line.split()[1]), ("veri_test_class.txt:1", "must hold 2 fields")),
    "sid, a speaker without folder": Cell("sid", "veri_test_class.txt", put("id10001", "id99999"), ("id99999", "audio file is missing")),
    "sid, a file without speaker": Cell("sid", "veri_test_class.txt", add("1 ."), ("veri_test_class.txt", "found '.'")),
    "sid, an utterance twice": Cell("sid", "veri_test_class.txt", again, ("twice",)),
    "qbe, a language nobody asked for": Cell("qbe", "scoring/language_key_dev.lst", put("nnenglish", "basque", -1), ("language_key_dev.lst", "no usable utterance of nnenglish")),
    "qbe, a query without truth": Cell("qbe", f"{SCORING}/quesst14_dev.tlist.xml", put("quesst14_dev_0002", "quesst14_dev_0009"), ("quesst14_dev_0002",)),
    "qbe, a document without truth": Cell("qbe", f"{SCORING}/quesst14.ecf.xml", put("quesst14_00001", "quesst14_09999"), ("quesst14_00001",)),
    "qbe, XML that does not end": Cell("qbe", f"{SCORING}/quesst14.ecf.xml", put("</ecf>", ""), ("quesst14.ecf.xml", "must be XML")),
    "qbe, an element without its attribute": Cell("qbe", f"{SCORING}/quesst14.ecf.xml", put("audio_filename", "file"), ("quesst14.ecf.xml", "audio_filename")),
    "qbe, a query twice": Cell("qbe", "scoring/language_key_dev.lst", again, ("twice",)),
    "qbe, a target of no document": Cell("qbe", f"{SCORING}/quesst14_dev.rttm", put("quesst14_00002 1", "nowhere 1"), ("quesst14_dev.rttm", "found nowhere")),
    "qbe, other lines in the rttm": Cell("qbe", f"{SCORING}/quesst14_dev.rttm", add("SPKR-INFO quesst14_00002 1 <NA> <NA> <NA> unknown x <NA>"), SAME),
    "qbe, a short line in the rttm": Cell("qbe", f"{SCORING}/quesst14_dev.rttm", add("LEXEME quesst14_00002"), ("quesst14_dev.rttm:3", "6 fields")),
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lists") / "corpus"
    shutil.copytree(tiny_corpus, root)
    return root


@pytest.mark.parametrize("name", sorted({cell.dataset for cell in CELLS.values()}))
def test_lists(name: str, corpus: Path) -> None:
    dataset = DATASETS[name]
    expected, faults = heard(dataset, corpus), []
    for case, cell in CELLS.items():
        if cell.dataset != name:
            continue
        path = corpus / dataset.folder / cell.file
        before = path.read_text()
        after = cell.change(before)
        assert after != before, case
        with restored(path):
            path.write_text(after, encoding="utf-8")
            try:
                found = heard(dataset, corpus)
                said = "" if cell.owed == TAKEN or (cell.owed == SAME and found == expected) else "was taken"
            except UserError as error:
                said = f"said {error}" if cell.owed in (SAME, TAKEN) else said_in_one_line(str(error), *cell.owed)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
        if said:
            faults.append(f"{case}: {said}")
    assert not faults, "\n".join(faults)
