"""Scores at random, degenerate cases too, against independent implementations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classification_cases import config
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.ark import write_ark
from s3prl_plugins.heads.contract import Prediction
from s3prl_plugins.heads.corpora.trials import Trial
from s3prl_plugins.heads.diarization_score import decisions, diarization_error_rate, frame_labels
from s3prl_plugins.heads.task import build_head
from s3prl_plugins.heads.verification import VerificationHead

WORDS = ["yes", "no", "up"]


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=1, max_size=20))
def test_accuracy_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import accuracy_score

    head = build_head(config("ks"), {"keyword": WORDS}, 4, 320)
    found = head.score([Prediction(str(n), said, truth) for n, (said, truth) in enumerate(pairs)], {})
    assert found == {"acc": pytest.approx(100 * accuracy_score([b for _, b in pairs], [a for a, _ in pairs]))}


@pytest.fixture(scope="module")
def verification() -> VerificationHead:
    built = build_head(config("asv"), ["a", "b"], 8, 320)
    assert isinstance(built, VerificationHead)
    return built


def trials(scored: list[tuple[float, bool]]) -> list[Prediction]:
    """One utterance against others at these cosine similarities."""
    others = [
        Prediction(f"o{n}", torch.tensor([score, (1 - score**2) ** 0.5], dtype=torch.float64), ())
        for n, (score, _) in enumerate(scored)
    ]
    label = tuple(Trial(n, f"o{n}", target) for n, (_, target) in enumerate(scored))
    return [Prediction("x", torch.tensor([1.0, 0.0], dtype=torch.float64), label), *others]


def crossing(scored: list[tuple[float, bool]]) -> float:
    """Where misses equal false alarms on the straight lines between the points of the ROC, by scikit-learn's points."""
    from sklearn.metrics import roc_curve

    false_alarms, hits, _ = roc_curve([target for _, target in scored], [score for score, _ in scored])
    for (x0, y0), (x1, y1) in pairwise(zip(false_alarms, hits)):
        before, after = 1 - y0 - x0, 1 - y1 - x1
        if before >= 0 >= after:
            part = before / (before - after) if before != after else 0.0
            return float(x0 + part * (x1 - x0))
    raise AssertionError("no crossing")


@given(st.lists(st.tuples(st.integers(-10, 10).map(lambda n: n / 10), st.booleans()), min_size=2, max_size=24))
def test_equal_error_rate_is_where_the_roc_crosses(verification: VerificationHead, scored: Any) -> None:
    if len({target for _, target in scored}) < 2:
        with pytest.raises(CorpusError, match="needs trials of both kinds"):
            verification.score(trials(scored), {})
        return
    found = verification.score(trials(scored), {})["eer"]
    assert found == pytest.approx(100 * crossing(scored), abs=1e-6)
    # Only the order of scores counts, and whoever swaps the two kinds and the sign changes nothing.
    squeezed = verification.score(trials([(score**3 / 2, target) for score, target in scored]), {})["eer"]
    mirrored = verification.score(trials([(-score, not target) for score, target in scored]), {})["eer"]
    assert squeezed == pytest.approx(found, abs=1e-6) and mirrored == pytest.approx(found, abs=1e-6)


@st.composite
def recordings(draw: st.DrawFn) -> list[tuple[Tensor, Tensor]]:
    """Per recording logits and truth (frames, 2), among them silent and full ones."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        frames = draw(st.integers(1, 12))
        random = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
        share = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
        made.append(
            (torch.randn(frames, 2, generator=random), (torch.rand(frames, 2, generator=random) < share).float())
        )
    return made


@pytest.mark.filterwarnings("ignore:kernel_size exceeds")
@given(recordings(), st.sampled_from([0.3, 0.5, 0.7]), st.sampled_from([1, 3]))
def test_diarization_error_is_pyannotes(made: list[tuple[Tensor, Tensor]], threshold: float, median: int) -> None:
    from pyannote.core import Annotation, Timeline
    from pyannote.core import Segment as Span
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(active: Any) -> Any:
        spoken = Annotation()
        for frame, speaker in zip(*np.nonzero(active)):
            spoken[Span(float(frame), float(frame + 1)), f"{frame}-{speaker}"] = str(speaker)
        return spoken

    outputs, truths = [output for output, _ in made], [truth for _, truth in made]
    if not any(truth.any() for truth in truths):
        with pytest.raises(CorpusError, match="needs speech, found none"):
            diarization_error_rate(outputs, truths, threshold, median)
        return
    oracle = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    for output, truth in made:
        whole = Timeline([Span(0.0, float(len(truth)))])
        oracle(annotation(truth.numpy()), annotation(decisions(output, threshold, median)), uem=whole)
    assert diarization_error_rate(outputs, truths, threshold, median) == pytest.approx(100 * abs(oracle))


turns = st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(0, 50)).map(
    lambda t: (t[0], t[1] / 50, t[2] / 50)
)


@given(st.lists(turns, max_size=6), st.integers(1, 60))
def test_frame_labels_are_the_union_of_turns(segments: list[tuple[str, float, float]], frames: int) -> None:
    labels = frame_labels(segments, frames, 320, 2)
    assert labels.shape == (frames, 2)
    for column, speaker in enumerate(sorted({name for name, _, _ in segments})):
        spoken = {
            f for name, start, stop in segments if name == speaker for f in range(round(start * 50), round(stop * 50))
        }
        assert set(labels[:, column].nonzero()[:, 0].tolist()) == {frame for frame in spoken if frame < frames}


@given(st.lists(st.tuples(st.from_regex(r"[\w-]{1,8}", fullmatch=True), st.text("ABC '", max_size=10)), max_size=5))
def test_an_ark_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    assume(all(name.isprintable() for name, _ in rows))
    path: Path = write_ark(tmp_path_factory.getbasetemp() / "ark" / "hypothesis.ark", rows)
    found = [line.split(" ", 1) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [tuple(row) for row in found] == rows
