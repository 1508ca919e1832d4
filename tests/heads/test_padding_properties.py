"""Utterances of random lengths together: every head answers, and learns, as for each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from classification_cases import config
from ctc_cases import LABELS, make_head
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.task import build_head

DIM = 12
SPEAKERS = ["a", "b", "c"]
TURNS = ((("a", 0.0, 0.1), ("b", 0.06, 0.2)), (("a", 0.02, 0.3),))
CHOICES: dict[str, Any] = {
    "asr": LABELS["asr"], "pr": LABELS["pr"], "sf": LABELS["sf"], "ks": ("yes", "no"), "sid": SPEAKERS, "asv": SPEAKERS,
    "ic": (("on", "lamp", "here"), ("off", "lamp", "here")), "sd": TURNS,
}  # fmt: skip
"""Task -> labels."""


@pytest.fixture(scope="module", params=CHOICES)
def case(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """Task and head."""
    task = request.param
    if task in LABELS:
        return task, make_head(task)
    labels = {
        "ks": {"keyword": ["yes", "no"]}, "sid": {"speaker": SPEAKERS}, "asv": SPEAKERS, "sd": None,
        "ic": {"action": ["on", "off"], "object": ["lamp"], "location": ["here"]},
    }[task]  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return task, build_head(config(task), labels, DIM, 320).eval()


@settings(max_examples=settings().max_examples // 3)
@given(lengths=st.lists(st.integers(20, 60), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_together_as_alone(case: tuple[str, Any], lengths: list[int], seed: int) -> None:
    task, head = case
    draw = torch.Generator().manual_seed(seed)
    features = [torch.randn(length, DIM, generator=draw) for length in lengths]
    labels = [CHOICES[task][int(torch.randint(len(CHOICES[task]), (), generator=draw))] for _ in lengths]
    examples = [Example(f"u{n}", None, length / 50, label) for n, (length, label) in enumerate(zip(lengths, labels))]  # type: ignore[arg-type]
    together = head.predict(features, examples)
    alone = [head.predict([feature], [example])[0] for feature, example in zip(features, examples)]
    assert [one.name for one in together] == [example.name for example in examples]
    for one, other in zip(together, alone):
        if isinstance(one.output, Tensor):
            torch.testing.assert_close(one.output, other.output, rtol=1e-4, atol=1e-5)
        else:
            assert one.output == other.output
    joined = head.loss(features, labels)
    parts = [head.loss([feature], [label]) for feature, label in zip(features, labels)]
    assert joined.count == sum(part.count for part in parts)
    torch.testing.assert_close(joined.total, torch.stack([part.total for part in parts]).sum(), rtol=1e-4, atol=1e-3)
