"""Files and values spoilt at random, and the one way in which what reads them may fail."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

from s3prl_plugins.errors import UserError

LONGEST = 5.0
"""Seconds of processor time for one file."""

SCRAPS = (
    b"", b" ", b"\n", b"\r\n", b"\0", b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[31m", b"\x85",
    "\u2028".encode(), "\u00e9\u0301".encode(), b"\"", b"'", b",", b",,", b":", b"=", b"-", b"..", b"/", b"../../x", b"|",
    b"#", b"&a", b"*a", b"!!python/name:os.system", b"null", b"true", b"[]", b"{}", b"[null]", b"nan", b"inf", b"-1", b"0",
    b"1", b"0.5", b"1e999", b"1e-999", b"9" * 30, b"9" * 5000, b"0x" + b"F" * 5000, b"1_0", "\u0663\u00b2".encode(), b"[" * 3000,
    b"<a>", b"</", b"&#0;", b"asr", b"test", b"soup:3", b"config", b"all_task",
)  # fmt: skip
"""What goes into files that were whole."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 10**30, 0.5, -0.5, 1e308, float("nan"), float("inf"), "", "x", "nan", "1e-3", "asr", "a\nb",
    "../..", [], [[]], [None], ["asr"], ["asr", "asr"], [1, 2], {}, {"x": 1}, {"asr": None}, {"asr": {}}, {1: 2},
)  # fmt: skip
"""What goes in the place of values."""

_TOKEN = re.compile(rb"[\w.-]+|\s+|[^\w\s]")

_PLACE = st.integers(0, 10_000)
_edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "drop", "repeat", "line", "token", "swap"]),
        _PLACE,
        _PLACE,
        st.sampled_from(SCRAPS) | st.binary(max_size=4) | st.text(max_size=3).map(str.encode),
    ),
    min_size=1,
    max_size=4,
)


def spoilt(whole: bytes) -> st.SearchStrategy[bytes]:
    """Bytes: any, or `whole` after flips, cuts, insertions, and lines or words lost, repeated and exchanged."""
    return _edits.map(lambda edits: _edited(whole, edits)) | st.binary(max_size=60) | st.text(max_size=40).map(_encoded)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _edited(whole: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
    data = whole
    for kind, first, second, scrap in edits:
        start = first % (len(data) + 1)
        stop = min(len(data), start + second % 40)
        if kind == "flip":
            data = data[:start] + bytes(byte ^ 1 << second % 8 for byte in data[start : start + 1]) + data[start + 1 :]
        elif kind == "cut":
            data = data[:start]
        elif kind == "insert":
            data = data[:start] + scrap + data[start:]
        elif kind == "drop":
            data = data[:start] + data[stop:]
        elif kind == "repeat":
            data = data[:stop] + data[start:stop] * (1 + second % 3) + data[stop:]
        else:
            data = _exchanged(data, kind, first, second, scrap)
    return data


def _exchanged(data: bytes, kind: str, first: int, second: int, scrap: bytes) -> bytes:
    """A line doubled elsewhere, two words swapped, or one word replaced."""
    parts = data.splitlines(keepends=True) if kind == "line" else _TOKEN.findall(data)
    if not parts:
        return data
    one, other = first % len(parts), second % len(parts)
    if kind == "line":
        parts.insert(one, parts[other])
    elif kind == "swap":
        parts[one], parts[other] = parts[other], parts[one]
    else:
        parts[one] = scrap
    return b"".join(parts)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand in nested mappings and lists, itself included."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*place, key))


def with_value(whole: Any, place: tuple[Any, ...], value: Any) -> Any:
    """`whole` with another value at a place."""
    if not place:
        return value
    copy = list(whole) if isinstance(whole, list) else dict(whole)
    copy[place[0]] = with_value(whole[place[0]], place[1:], value)
    return copy


def odd_json(whole: Any) -> st.SearchStrategy[bytes]:
    """JSON of `whole` with one to three values replaced by values of other types and sizes."""
    return st.lists(st.tuples(_PLACE, st.sampled_from(ODD)), min_size=1, max_size=3).map(
        lambda edits: _odd(whole, edits)
    )


def _odd(whole: Any, edits: list[tuple[int, Any]]) -> bytes:
    for number, value in edits:
        known = list(places(whole))
        whole = with_value(whole, known[number % len(known)], value)
    return json.dumps(whole).encode()


@contextmanager
def one_line_at_most() -> Iterator[None]:
    """Within, nothing but a `UserError` of one printable line is raised, and soon."""
    start = time.process_time()
    try:
        yield
    except UserError as error:
        check_line(str(error))
        assert len(str(error)) <= 1005
    assert time.process_time() - start < LONGEST


def check_line(text: str) -> None:
    assert text.strip() and text.isprintable(), repr(text)


def quietly(read: Callable[[], Any]) -> Any:
    """What it gives, None after a `UserError`."""
    with one_line_at_most():
        return read()
    return None
