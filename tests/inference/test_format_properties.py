"""What is written of any answers, and what independent readers make of it."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from s3prl_plugins.inference.answers import Answers, Diarization, Phones, Stretch, Transcript
from s3prl_plugins.inference.formats import rttm, text, textgrid
from s3prl_plugins.superb.stdlist import rounded, write_stdlist

SECONDS = 20.0
times = st.integers(0, 2000).map(lambda hundredths: hundredths / 100)
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=6)
file_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)


@st.composite
def tracks(draw: st.DrawFn, labels: st.SearchStrategy[str]) -> tuple[Stretch, ...]:
    """Stretches one after the other, with and without pauses."""
    borders = sorted(draw(st.sets(times, max_size=8)))
    pairs = list(zip(borders[::2], borders[1::2]))
    return tuple(Stretch(draw(labels), start, stop) for start, stop in pairs)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Stretch, ...]:
    """Of two speakers, who may overlap."""
    both = [*draw(tracks(st.just("1"))), *draw(tracks(st.just("2")))]
    return tuple(sorted(both, key=lambda turn: (turn.start, turn.label)))


answers = st.builds(
    lambda name, said, phones, spoken: Answers(
        name, SECONDS, asr=Transcript(" ".join(w.label for w in said), said), pr=Phones("", phones), sd=Diarization(spoken)
    ),
    file_names, tracks(words), tracks(words), turns(),
)  # fmt: skip


@given(answers)
def test_rttm_is_what_pyannote_reads(tmp_path_factory: pytest.TempPathFactory, one: Answers) -> None:
    from pandas._libs.parsers import STR_NA_VALUES
    from pyannote.database.util import load_rttm

    assume(Path(one.name).stem not in STR_NA_VALUES)  # which it reads as no name
    path = tmp_path_factory.getbasetemp() / "answers.rttm"
    path.write_text(rttm(one), encoding="utf-8")
    assert one.sd is not None
    assert all(len(line.split()) == 10 for line in path.read_text(encoding="utf-8").split("\n")[:-1])
    loaded = load_rttm(path)
    assert len(loaded) == (1 if one.sd.turns else 0)
    found = sorted(
        (seg.start, seg.end, who) for each in loaded.values() for seg, _, who in each.itertracks(yield_label=True)
    )
    wanted = sorted((turn.start, turn.stop, f"speaker{turn.label}") for turn in one.sd.turns)
    assert [who for *_, who in found] == [who for *_, who in wanted]
    for left, right in zip(found, wanted):
        assert left[:2] == pytest.approx(right[:2], abs=2e-3)


def read_textgrid(written: str) -> dict[str, list[tuple[float, float, str]]]:
    """Praat's own way: names are decoration, only the free-standing numbers and quoted texts count, in their order."""
    tokens = re.findall(r'"((?:[^"]|"")*)"|(?<=[ ])(-?\d+(?:\.\d+)?)(?=\s)|(<exists>)', written)
    values = iter(
        [quoted.replace('""', '"') if not number else float(number) for quoted, number, flag in tokens if not flag]
    )
    assert [next(values), next(values)] == ["ooTextFile", "TextGrid"]
    assert [next(values), next(values)] == [0.0, SECONDS]
    tiers = {}
    for _ in range(int(float(next(values)))):
        kind, name, *span = (next(values) for _ in range(4))
        assert kind == "IntervalTier" and span == [0.0, SECONDS]
        count = int(float(next(values)))
        tiers[str(name)] = [(float(next(values)), float(next(values)), str(next(values))) for _ in range(count)]
    assert next(values, None) is None
    return tiers


@given(answers)
def test_a_textgrid_has_every_stretch_and_no_gap(one: Answers) -> None:
    tiers = read_textgrid(textgrid(one))
    assert one.asr is not None and one.pr is not None and one.sd is not None
    wanted = {"words": one.asr.words, "phones": one.pr.phones}
    for turn in one.sd.turns:
        wanted[f"speaker{turn.label}"] = (*wanted.get(f"speaker{turn.label}", ()), turn)
    assert tiers.keys() == wanted.keys()
    for name, intervals in tiers.items():
        assert intervals[0][0] == 0.0 and intervals[-1][1] == SECONDS
        assert all(left[1] == right[0] and left[0] < left[1] for left, right in pairwise(intervals))
        spoken = [interval for interval in intervals if interval[2]]
        assert spoken == [(part.start, part.stop, part.label) for part in wanted[name] if part.label]


@given(answers)
def test_json_and_text(one: Answers) -> None:
    found = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert one.asr is not None and found["name"] == one.name and found["asr"]["text"] == one.asr.text
    assert [(w["label"], w["start"], w["stop"]) for w in found["asr"]["words"]] == [
        (w.label, w.start, w.stop) for w in one.asr.words
    ]
    assert len(text(one).split("\n")) == 5  # the name, three tasks, the end


@given(st.dictionaries(words, st.dictionaries(words, st.floats(-10, 10), max_size=3), max_size=3))
def test_an_stdlist_is_xml_of_the_same_scores(
    tmp_path_factory: pytest.TempPathFactory, detections: dict[str, dict[str, float]]
) -> None:
    path: Path = write_stdlist(tmp_path_factory.getbasetemp() / "list.xml", detections)
    found = {
        query.attrib["termid"]: {term.attrib["file"]: float(term.attrib["score"]) for term in query.iter("term")}
        for query in ElementTree.parse(path).getroot().iter("detected_termlist")
    }
    assert found == {query: {name: rounded(score) for name, score in own.items()} for query, own in detections.items()}
