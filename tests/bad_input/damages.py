# ruff: noqa: E501 (one line for each entry of a table)
"""Ways to damage a file, and what a reader owes for each: the same result, or one line that names it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile
import torch

from s3prl_plugins.cli import main
from s3prl_plugins.errors import UserError

__all__ = [
    "AUDIO",
    "BINARY",
    "FLIPPED",
    "FOLDER",
    "NO_UTF8",
    "PLACE",
    "TEXT",
    "Damage",
    "bounded",
    "fault",
    "one_line",
    "restored",
    "said_in_one_line",
]

Owed = Literal["same", "refused", "same or refused", "either"]
"""`either`: what is left may be whole in itself, such as a list of which the end is gone."""
Damage = tuple[Callable[[Path], None], Owed]


def one_line(command: list[str], capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    """A command fails with status 2 and one line on stderr that has all `parts`."""
    capsys.readouterr()
    with bounded():
        status = main(command)
    error = capsys.readouterr().err
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.strip() and "%|" not in line]
    assert (status, len(lines)) == (2, 1), (command, error)
    fault = said_in_one_line(lines[0], *parts)
    assert not fault, (command, fault)


def said_in_one_line(message: str, *parts: str) -> str:
    """What is wrong with an error message; empty if it is one line, with a cure or with a rule that is one, that has all `parts`."""
    if len(message.splitlines()) != 1 or len(message) > 1500:
        return f"not one short line: {message[:300]!r}"
    if ";" not in message and " must " not in message:
        return f"no cure: {message!r}"
    return "".join(f"{part!r} is not in {message!r}" for part in parts if part not in message)


def fault(owed: str, names: list[str], read: Callable[[], object], expected: object) -> str:
    """What is wrong with how a reader takes a damage; empty if nothing."""
    try:
        with bounded():
            found = read()
    except UserError as error:
        if owed == "same":
            return f"must work, found {str(error)[:300]!r}"
        named = any(name in str(error) for name in names)
        return said_in_one_line(str(error)) or ("" if named else f"{names[0]!r} is not in {error}")
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    if owed == "refused":
        return "was taken"
    return "differs from the undamaged" if owed in ("same", "same or refused") and found != expected else ""


@contextlib.contextmanager
def restored(path: Path) -> Iterator[None]:
    """Whatever is done to a file or folder within is undone."""
    kept = path.with_name(f"{path.name}.kept-{os.getpid()}").absolute()
    outside = path.parents[2] / kept.name  # where no reader looks
    shutil.move(path, outside)
    if outside.is_dir():
        shutil.copytree(outside, path, symlinks=True)
    else:
        shutil.copy2(outside, path)
    try:
        yield
    finally:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            path.chmod(0o755)
            shutil.rmtree(path)
        shutil.move(outside, path)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Permissions count for root, too: this thread gives up the right to pass over them."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    before, after = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    after[:] = before[:]
    after[0] &= ~0b110  # effective: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, after) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


def _content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        before = path.read_bytes()
        after = change(before)
        assert after != before
        path.unlink()  # may be a link
        path.write_bytes(after)

    return apply


def _instead(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        path.unlink()
        make(path)

    return apply


def _moved(make: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    """:param make: is given the path, now free, and where the file is."""

    def apply(path: Path) -> None:
        other = path.with_name(f".moved-{path.name}.bin")
        path.replace(other)
        make(path, other)

    return apply


PLACE: dict[str, Damage] = {
    "missing": (Path.unlink, "refused"),
    "a folder in its place": (_instead(Path.mkdir), "refused"),
    "a link to nothing": (_instead(lambda path: path.symlink_to("nowhere")), "refused"),
    "a link to itself": (_instead(lambda path: path.symlink_to(path.name)), "refused"),
    "not readable": (lambda path: path.chmod(0), "refused"),
    "a link to an empty device": (_instead(lambda path: path.symlink_to(os.devnull)), "refused"),
}
"""Of any file, where nothing can be read. A link to the file itself is in `TEXT` and `AUDIO`."""
_LINKED: dict[str, Damage] = {
    "a link to it": (_moved(lambda path, other: path.symlink_to(other.name)), "same"),
    "a hard link to it": (_moved(lambda path, other: path.hardlink_to(other)), "same"),
}


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    return _content(lambda content: b"\n".join(change(content.split(b"\n"))))


TEXT: dict[str, Damage] = {
    **PLACE,
    **_LINKED,
    "empty": (_content(lambda content: b""), "refused"),
    "spaces alone": (_content(lambda content: b"  \n\n \n"), "refused"),
    "zeros": (_content(lambda content: bytes(len(content))), "refused"),
    "random bytes": (_content(lambda content: np.random.default_rng(0).bytes(500)), "refused"),
    "no UTF-8": (_content(lambda content: content.replace(b"\n", b"\xe9\xff\n", 1) if b"\n" in content else content[:40] + b"\xff" + content[40:]), "refused"),
    "UTF-16": (_content(lambda content: content.decode().encode("utf-16")), "refused"),
    "byte order mark": (_content(lambda content: b"\xef\xbb\xbf" + content), "same"),
    "CRLF": (_content(lambda content: content.replace(b"\n", b"\r\n") + (b"" if b"\n" in content else b"\r\n")), "same"),
    "blank lines at the end": (_content(lambda content: content + b"\n\n  \n"), "same"),
    "no end of line at the end": (_content(lambda content: content.rstrip(b"\n") if content.endswith(b"\n") else content + b"\n"), "same"),
    "first half": (_content(lambda content: content[: len(content) // 2]), "either"),
    "first byte": (_content(lambda content: content[:1]), "refused"),
    "a line twice": (_lines(lambda lines: [*lines[:1], *lines[1:2], *lines[1:]] if len(lines) > 2 else lines * 2), "either"),
    "first lines swapped": (_lines(lambda lines: [*lines[1:2], *lines[:1], *lines[2:]] if len(lines) > 1 else [line[::-1] for line in lines]), "either"),
    "a line of 100,000 letters": (_content(lambda content: content + b"x" * 100_000 + b"\n"), "either"),
    "a zero byte": (_content(lambda content: content[: len(content) // 2] + b"\0" + content[len(content) // 2 :]), "either"),
    "a page of HTML": (_content(lambda content: b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"), "refused"),
}  # fmt: skip


def _sound(
    rate: int = 16000, change: Callable[[np.ndarray], np.ndarray] = lambda wave: wave, **options: object
) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        wave, _ = soundfile.read(str(path), dtype="float64")
        options.setdefault("subtype", "PCM_16")
        options.setdefault("format", path.suffix[1:].upper())
        soundfile.write(str(path), change(wave), rate, **options)

    return apply


def _with(value: float) -> Callable[[Path], None]:
    """In a wav file whatever the name says: flac has no such samples."""
    return _sound(
        change=lambda wave: np.where(np.arange(len(wave)) == len(wave) // 2, value, wave), format="WAV", subtype="FLOAT"
    )


AUDIO: dict[str, Damage] = {
    **PLACE,
    **_LINKED,
    "empty": (_content(lambda content: b""), "refused"),
    "text": (_content(lambda content: b"hello"), "refused"),
    "random bytes": (_content(lambda content: np.random.default_rng(0).bytes(5000)), "refused"),
    "zeros": (_content(lambda content: bytes(5000)), "refused"),
    "first 20 bytes": (_content(lambda content: content[:20]), "refused"),
    "first half": (_content(lambda content: content[: len(content) // 2]), "refused"),
    "last sample gone": (_content(lambda content: content[:-2]), "refused"),
    "first bytes gone": (_content(lambda content: content[7:]), "refused"),
    "no samples": (_sound(change=lambda wave: wave[:0]), "refused"),
    "NaN": (_with(float("nan")), "refused"),
    "infinite": (_with(float("inf")), "refused"),
    "minus infinite": (_with(-float("inf")), "refused"),
    "8 kHz": (_sound(8000), "refused"),
    "44.1 kHz": (_sound(44100), "refused"),
    "48 kHz": (_sound(48000), "refused"),
    "stereo": (_sound(change=lambda wave: np.stack([wave, wave], 1)), "refused"),
    "six channels": (_sound(change=lambda wave: np.stack([wave] * 6, 1)), "refused"),
    "24 bit": (_sound(subtype="PCM_24"), "same"),
    "32 bit": (_sound(format="WAV", subtype="PCM_32"), "same"),
    "float": (_sound(format="WAV", subtype="FLOAT"), "same"),
    "double": (_sound(format="WAV", subtype="DOUBLE"), "same"),
    "extensible header": (_sound(format="WAVEX"), "same"),
    "big-endian header": (_sound(format="WAV", endian="BIG"), "same"),
    "flac whatever its name": (_sound(format="FLAC"), "same"),
    "aiff whatever its name": (_sound(format="AIFF"), "same"),
    "sphere whatever its name": (_sound(format="NIST"), "same"),
}  # fmt: skip


def _flipped(part: int) -> Callable[[bytes], bytes]:
    """One bit, `part` eighths from the begin."""

    def change(content: bytes) -> bytes:
        place = len(content) * part // 8
        return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]

    return change


FLIPPED: dict[str, Damage] = {
    f"a bit {part}/8 from the begin": (_content(_flipped(part)), "same or refused") for part in range(1, 8)
}
"""In a file with a checksum; padding has none."""
BINARY: dict[str, Damage] = {
    **PLACE,
    **_LINKED,
    "empty": (_content(lambda content: b""), "refused"),
    "text": (_content(lambda content: b"hello\n"), "refused"),
    "zeros": (_content(lambda content: bytes(len(content))), "refused"),
    "random bytes": (_content(lambda content: np.random.default_rng(0).bytes(5000)), "refused"),
    "a page of HTML": TEXT["a page of HTML"],
    "byte order mark": (_content(lambda content: b"\xef\xbb\xbf" + content), "refused"),
    "line ends of Windows": (_content(lambda content: content.replace(b"\n", b"\r\n") + b"\r\n"), "refused"),
    "first byte": (_content(lambda content: content[:1]), "refused"),
    "first half": (_content(lambda content: content[: len(content) // 2]), "refused"),
    "last half": (_content(lambda content: content[len(content) // 2 :]), "refused"),
    "last byte gone": (_content(lambda content: content[:-1]), "refused"),
    "first bytes gone": (_content(lambda content: content[7:]), "refused"),
    "a block of zeros": (_content(lambda content: content[: len(content) // 3] + bytes(512) + content[len(content) // 3 + 512 :]), "same or refused"),
    **FLIPPED,
    "twice": (_content(lambda content: content * 2), "either"),
    "an empty archive": (_content(lambda content: b"PK\5\6" + bytes(18)), "refused"),
    "an archive of something else": (_content(lambda content: _archive()), "refused"),
    "a tensor alone": (_instead(lambda path: torch.save(torch.zeros(3), path)), "refused"),
    "a list": (_instead(lambda path: torch.save([1], path)), "refused"),
    "an empty mapping": (_instead(lambda path: torch.save({}, path)), "refused"),
}  # fmt: skip
"""Of files of tensors and arrays."""


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return buffer.getvalue()


def _gone(folder: Path) -> None:
    shutil.rmtree(folder)


def _folder(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        shutil.rmtree(folder)
        make(folder)

    return apply


NO_UTF8 = os.fsdecode(b"x\xff")
"""As a name."""


def _copied(folder: Path) -> None:
    """Some audio below the folder, once more beside it."""
    for path in sorted(folder.rglob("*.wav")) + sorted(folder.rglob("*.flac")):
        shutil.copy(path, path.with_name(f"{NO_UTF8}{path.suffix}"))
        return


FOLDER: dict[str, Damage] = {
    "missing": (_gone, "refused"),
    "empty": (_folder(Path.mkdir), "refused"),
    "a file in its place": (_folder(lambda folder: folder.write_text("x\n")), "refused"),
    "a link to nothing": (_folder(lambda folder: folder.symlink_to("nowhere")), "refused"),
    "a link to itself": (_folder(lambda folder: folder.symlink_to(folder.name)), "refused"),
    "not readable": (lambda folder: folder.chmod(0), "refused"),
    "a link within it to itself": (lambda folder: (folder / "loop").symlink_to("."), "same"),
    "a file that is no audio": (lambda folder: (folder / "Thumbs.db").write_bytes(b"\0\1"), "same"),
    "a folder whose name is no UTF-8": (lambda folder: (folder / NO_UTF8).mkdir(), "either"),
    "audio whose name is no UTF-8": (lambda folder: _copied(folder), "either"),
    "a hidden file that is no audio": (lambda folder: (folder / ".DS_Store").write_bytes(b"\0\1"), "same"),
}
