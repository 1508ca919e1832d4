"""Sizes as people write them, and what a budget is spent on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.features.budget import Wanted, format_size, parse_size, plan, used


@pytest.mark.parametrize(
    ("text", "size"),
    [("50GB", 50 * 10**9), ("800MB", 8 * 10**8), ("1.5 TB", 15 * 10**11), ("3kB", 3000), ("12B", 12), ("0", 0), (0, 0)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["50", "GB", "-1GB", "5 apples", "", "1e3GB", 7])
def test_sizes_without_a_unit_or_number_are_refused(text: str | int) -> None:
    with pytest.raises(ConfigError, match="a size must be a number with kB, MB, GB or TB such as 50GB, or 0, found"):
        parse_size(text)


@given(st.integers(1, 10**14))
def test_what_is_written_for_people_is_right_to_half_a_percent(size: int) -> None:
    text = format_size(size)
    assert parse_size(text) == pytest.approx(size, rel=0.0051)
    assert len(text) <= 8 or size >= 10**15


TASKS = [
    Wanted("asr", "float16", 3600.0, 3000, 10),
    Wanted("ks", "pooled", 1800.0, 10, 10),
    Wanted("sd", "float16", 3600.0, 3000, 5),
    Wanted("sid", "pooled", 360.0, 10, 1),
]


def test_what_saves_most_per_byte_comes_first_and_the_rest_is_told() -> None:
    found = plan(TASKS, 4000)
    assert found.rooms == {"asr": 3000, "ks": 10, "sd": 990, "sid": 0}
    assert found.note == (
        "feature store: 4.00 kB for asr (float16), ks (pooled), 33% of sd (float16); beyond the budget of 4.00 kB and "
        "computed each time: sd (2.01 kB); heard once: sid"
    )


def test_no_budget_keeps_nothing() -> None:
    found = plan(TASKS, 0)
    assert not any(found.rooms.values())
    assert found.note.startswith("feature store: 0 B for nothing; beyond the budget of 0 B")


def test_enough_keeps_all_that_is_heard_again() -> None:
    assert plan(TASKS[:3], 10**6).note == "feature store: 6.01 kB for asr (float16), ks (pooled), sd (float16)"


def test_what_is_there_already_needs_nothing() -> None:
    assert plan([Wanted("ks", "pooled", 0.0, 0, 9)], 0).note == "feature store: nothing is missing"


wanted = st.builds(
    Wanted, st.text("abc", min_size=1), st.just("int8"), st.floats(0, 1e5), st.integers(1, 10**6), st.integers(0, 50)
)


@given(st.lists(wanted, unique_by=lambda one: one.task), st.integers(0, 10**6))
def test_the_budget_is_kept_to_and_nothing_better_is_possible(tasks: list[Wanted], budget: int) -> None:
    found = plan(tasks, budget)
    assert sum(found.rooms.values()) <= budget
    assert all(0 <= found.rooms[one.task] <= one.bytes for one in tasks)
    worth = [(one, one.saved / one.bytes) for one in tasks if one.saved > 0]
    for one, value in worth:
        for other, value_of_other in worth:
            if value > value_of_other and found.rooms[other.task]:
                assert found.rooms[one.task] == one.bytes, "room went to what saves less"
    if any(found.rooms[one.task] < one.bytes for one, _ in worth):
        assert sum(found.rooms.values()) == budget


def test_used_counts_files(tmp_path: Path) -> None:
    assert used(tmp_path / "none") == 0
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(10))
    (tmp_path / "c").write_bytes(bytes(5))
    assert used(tmp_path) == 15
