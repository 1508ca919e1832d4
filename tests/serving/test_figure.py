"""The figure's places, and that no label can become markup."""

from __future__ import annotations

import math
import re
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.inference.answers import (
    Answers,
    Choice,
    Diarization,
    Intent,
    Label,
    Phones,
    Slot,
    SlotFilling,
    Stretch,
    Transcript,
    Verification,
)  # fmt: skip
from s3prl_plugins.serving.answers import bars, fault, heading, sentences, verdict
from s3prl_plugins.serving.figure import _extent, figure, lanes

EVIL = '<img src=x onerror="alert(1)">&\''
LABEL = Label(EVIL, 0.75, (Choice(EVIL, 0.75), Choice("other", 0.25)))
WAVE = torch.sin(torch.arange(32000) * 2 * math.pi * 200 / 16000)


def answers(**fields: object) -> Answers:
    return Answers("a.wav", 2.0, **fields)  # type: ignore[arg-type]


def test_turns_and_labels_stand_at_their_times() -> None:
    html = figure(
        WAVE,
        answers(
            sd=Diarization((Stretch("1", 0.0, 0.5), Stretch("2", 1.0, 2.0))),
            asr=Transcript("YES NO", (Stretch("YES", 0.5, 0.8), Stretch("NO", 1.98, 2.0))),
            pr=Phones("", ()),
        ),
    )
    assert re.findall(r"class=title>([^<]*)<", html) == ["", "Signal", "Speaker 1", "Speaker 2", "Words", "Phones"]
    assert 'left:0.000%;width:25.000%" title="speaker 1, 0.00 to 0.50 s"' in html
    assert 'left:50.000%;width:50.000%" title="speaker 2, 1.00 to 2.00 s"' in html
    assert 'left:25.000%;--lane:0" title="YES, 0.50 to 0.80 s">YES<' in html
    assert 'right:0;--lane:0" title="NO, 1.98 to 2.00 s">NO<' in html  # would stand out of the figure
    assert "<i>none heard</i>" in html


def test_only_tracks_with_an_answer_are_drawn() -> None:
    assert re.findall(r"class=title>([^<]*)<", figure(WAVE, answers())) == ["", "Signal"]
    assert "nobody speaks" in figure(WAVE, answers(sd=Diarization(())))


def test_the_waveform_reaches_the_edges_and_spans_the_figure() -> None:
    html = figure(torch.cat([0.25 * WAVE[:16000], WAVE[:16000]]), answers())
    [width] = re.findall(r'viewBox="0 0 (\d+) 100"', html)
    points = [tuple(map(float, point)) for point in re.findall(r"[ML](\d+) ([\d.]+)", html)]
    tops = points[: len(points) // 2]
    assert {x for x, _ in points} == set(range(int(width) + 1))
    assert min(y for _, y in points) == pytest.approx(2, abs=0.1)
    assert max(y for _, y in points) == pytest.approx(98, abs=0.1)
    assert min(y for _, y in tops[: len(tops) // 2 - 1]) == pytest.approx(38, abs=0.5)  # a quarter as loud


@pytest.mark.parametrize("seconds", [0.025, 0.3, 2.0, 60.0, 120.0])
def test_time_is_written_along_the_axis(seconds: float) -> None:
    html = figure(torch.ones(max(int(seconds * 16000), 1)), Answers("a", seconds))
    ticks = [float(text) for text in re.findall(r">([\d.]+) s</span>", html)]
    assert ticks[0] == 0 and len(ticks) in range(1, 121) and max(ticks) <= seconds
    assert seconds < 0.3 or len(ticks) >= 3


@given(
    st.lists(
        st.tuples(st.floats(0, 9.9), st.floats(0.02, 1), st.text(alphabet="ABC", min_size=1, max_size=12)), max_size=40
    )
)
def test_labels_of_one_line_never_overlap(found: list[tuple[float, float, str]]) -> None:
    parts = [Stretch(label, start, min(start + length, 10.0)) for start, length, label in sorted(found)]
    for (one, line), (two, other) in combinations(zip(parts, lanes(parts, 10.0)), 2):
        if line == other:
            assert _extent(one, 10.0)[1] <= _extent(two, 10.0)[0]


def test_no_text_of_a_model_or_a_file_becomes_markup() -> None:
    found = Answers(
        EVIL, 2.0, Transcript(EVIL, (Stretch(EVIL, 0, 1),)), Phones(EVIL, (Stretch(EVIL, 0, 1),)),
        SlotFilling(f"A {EVIL}", (Slot(EVIL, EVIL, 2, 2 + len(EVIL)),), ""), Diarization((Stretch(EVIL, 0, 1),)),
        LABEL, Intent({EVIL: LABEL}), LABEL, None, LABEL,
    )  # fmt: skip
    html = figure(WAVE, found) + sentences(found) + bars(found) + fault(EVIL) + heading(EVIL, {"size": EVIL})
    assert "<img" not in html and '"alert(' not in html
    assert html.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;&#x27;") >= 12


def test_slots_are_marked_in_the_text() -> None:
    answer = SlotFilling("PLAY THE BEATLES NOW", (Slot("artist", "THE BEATLES", 5, 16),), "")
    html = sentences(answers(sf=answer, asr=Transcript("", ())))
    assert "PLAY <mark>THE BEATLES<small>artist</small></mark> NOW" in html
    assert "<i>no words</i>" in html


def test_bars_are_as_long_as_probabilities() -> None:
    html = bars(answers(er=LABEL, ic=Intent({"action": LABEL})))
    assert re.findall(r"<h3>([^<]*)</h3>", html) == ["Emotion recognition", "Intent: action"]
    assert re.findall(r'<b style="width:([\d.]+)%">', html) == ["75.00", "25.00"] * 2
    assert bars(answers()) == ""


def test_the_verdict_needs_a_threshold() -> None:
    assert "The same speaker" in verdict(Verification(0.9, 0.6, True))
    assert "Two speakers" in verdict(Verification(0.1, 0.6, False))
    assert "No threshold" in verdict(Verification(0.1, None, None))


def test_the_page_says_what_the_model_cannot_know() -> None:
    assert "only knows synthetic speech" in heading("m", {"size": "mini"})
    assert "corpora of SUPERB" in heading("m", {"size": "paper"})
    assert "Nothing is recorded" in heading("m", {})
