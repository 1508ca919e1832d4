"""Whether prediction files are what the leaderboard can score; every fault is reported, like ones in one line."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.submission import Slot
from s3prl_plugins.superb.submission_expected import Expected
from s3prl_plugins.superb.units import CHARACTERS, LETTERS, PHONES

__all__ = ["check"]

_AGAIN = "evaluate the test split again"
_EXAMPLES = 3
_SPEAKERS = 2
_SAMPLE_RATE = 16000

Report = Callable[[str, str], None]
"""Takes a rule and one thing that breaks it."""


def check(slot: Slot, place: Path, expected: Expected, problems: Problems) -> int:
    """Check the files of one part of a submission, which are there; returns how many predictions they hold.

    :param place: the experiment's folder.
    """
    found: dict[str, list[str]] = defaultdict(list)

    def report(rule: str, fault: str) -> None:
        found[rule].append(fault)

    where = place / slot.source
    if slot.task == "sd":
        where = where.parent
        names = _diarization(where, place / "frame_shift", expected, report)
    elif slot.task == "qbe":
        names = _detections(where, expected, report)
    else:
        names = _lines(slot, where, expected, report)
    _compare(names, expected.names, report)
    for rule, faults in found.items():
        shown = ", ".join(faults[:_EXAMPLES]) + (", ..." if len(faults) > _EXAMPLES else "")
        problems.add(where, f"{rule} ({len(faults)} {'fault' if len(faults) == 1 else 'faults'}: {shown})", _AGAIN)
    return len(names)


def _compare(names: Sequence[str], expected: Sequence[str] | None, report: Report) -> None:
    """Each expected name must be there as often as it is expected; without a list, no name twice."""
    found = Counter(names)
    wanted = Counter(found.keys()) if expected is None else Counter(expected)
    if not found:
        report("a file must hold predictions", "an empty one")
    for name in wanted if found else ():
        if name not in found:
            report("every test utterance must be there", f"{name!r} missing")
    for name, count in found.items():
        if name not in wanted:
            report("only test utterances may be there", repr(name))
        elif count != wanted[name]:
            report("every test utterance must be there once", f"{name!r} {count} times")


def _lines(slot: Slot, path: Path, expected: Expected, report: Report) -> list[str]:
    """`NAME TEXT` lines of an ark, `NAME LABEL` lines, `NAME,VALUE,..` rows, or `TRIAL SCORE` lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        report("a prediction file must be readable UTF-8 text", str(error))
        return []
    valid = _answers(slot.task, expected)
    names = []
    for number, line in enumerate(lines, 1):
        if path.suffix == ".ark":
            name, *answer = line.split(" ", 1)
        else:
            name, *answer = line.split("," if path.suffix == ".csv" else " ")
        if not name or (not answer and path.suffix != ".ark"):
            report("a line must hold a name and its prediction", f"line {number} {line[:60]!r}")
            continue
        names.append(name)
        if not valid(answer):
            report(_RULES[slot.task], f"line {number} {line[:60]!r}")
    return names


_RULES = {
    "asr": "transcripts must be spelled with A-Z and '",
    "pr": "answers must be phones of SUPERB's inventory",
    "sf": "answers must be A-Z and ' with B- and E- marks of the corpus's slots",
    "ks": "a line must be NAME CLASS, the class being one of the corpus's",
    "sid": "a line must be NAME SPEAKER, the speaker being one of the training speakers",
    "er": "a line must be NAME EMOTION, the emotion being one of the corpus's",
    "ic": "a row must be NAME,ACTION,OBJECT,LOCATION with values of the corpus",
    "asv": "a line must be TRIAL SCORE, the score being a finite number",
}


def _answers(task: str, expected: Expected) -> Callable[[list[str]], bool]:
    """What a line may hold beside its name."""
    if task == "asv":
        return lambda answer: len(answer) == 1 and _finite(answer[0])
    if task == "pr":
        phones = {*PHONES, "<unk>"}
        return lambda answer: all(phone in phones for text in answer if text for phone in text.split(" "))
    if task in ("asr", "sf"):
        pattern = _spelling(task, expected.labels.get("slots"))
        return lambda answer: all(pattern.fullmatch(text) for text in answer)
    inventory = [set(values) for values in expected.labels.values()]
    columns = 3 if task == "ic" else 1
    return lambda answer: (
        len(answer) == columns
        and all(answer)
        and all(value in values for value, values in zip(answer, inventory, strict=False))
    )


def _spelling(task: str, slots: Sequence[str] | None) -> re.Pattern[str]:
    """The texts that a head's symbols can make."""
    characters = {*LETTERS, " "} - {"|"} if task == "asr" else set(CHARACTERS)
    symbols = [f"[{re.escape(''.join(sorted(characters)))}]", "<unk>"]
    if task == "asr":
        symbols.append("<pad>")
    elif slots is None:
        symbols.append(r"[BE]-[A-Za-z]\S*")
    else:
        symbols += [f"[BE]-{re.escape(name)}" for name in slots]
    return re.compile(f"(?:{'|'.join(symbols)})*")


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _diarization(folder: Path, shift_file: Path, expected: Expected, report: Report) -> list[str]:
    """`T_hat` (frames, 2), probabilities, in one file for each recording; lengths within 0.1 s or five frames."""
    text = shift_file.read_text(encoding="utf-8", errors="replace").strip() if shift_file.is_file() else ""
    shift = int(text) if text.isascii() and text.isdigit() else 0
    if shift < 1:
        report("frame_shift must hold the samples of a frame", repr(text) if shift_file.is_file() else "no such file")
    names = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix != ".h5" or path.parent != folder:
            report("the folder must hold one RECORDING.h5 for each recording and nothing else", path.name)
            continue
        names.append(path.stem)
        frames = _frames(path, report)
        seconds = expected.seconds.get(path.stem)
        stretch = shift / _SAMPLE_RATE
        if frames and shift and seconds is not None and abs(frames * stretch - seconds) > max(0.1, 5 * stretch):
            report("frames times frame_shift must be a recording's length", f"{path.name} {frames} for {seconds:.2f} s")
    return names


def _frames(path: Path, report: Report) -> int:
    """Number of frames of one recording's probabilities; 0 where they are not as they must be."""
    import h5py

    rule = f"a recording's T_hat must be probabilities (frames, {_SPEAKERS})"
    try:
        with h5py.File(path, "r") as file:
            if "T_hat" not in file:
                report(rule, f"{path.name} without T_hat")
                return 0
            values = file["T_hat"][()]
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError) as error:
        report(rule, f"{path.name} unreadable ({error})")
        return 0
    shape = tuple(getattr(values, "shape", ()))
    if len(shape) != 2 or shape[1] != _SPEAKERS or not shape[0] or values.dtype.kind != "f":
        report(rule, f"{path.name} of shape {shape}")
        return 0
    if not ((values >= 0) & (values <= 1)).all():  # false for NaN too
        report(rule, f"{path.name} outside 0..1")
    return int(shape[0])


def _detections(path: Path, expected: Expected, report: Report) -> list[str]:
    """The queries of an stdlist; each must have a score for every document, read one query at a time."""
    names: list[str] = []
    documents = None if expected.documents is None else Counter(expected.documents)
    try:
        for query, terms in _queries(path):
            names.append(query)
            found = Counter(term.get("file", "") for term in terms)
            documents = found if documents is None else documents
            if found != documents:
                odd = sorted((found - documents) + (documents - found))
                report("every query must have each document once", f"{query!r} with {odd[0]!r} {found[odd[0]]} times")
            for term in terms:
                if not _finite(term.get("score", "")) or term.get("decision") not in ("YES", "NO"):
                    rule = "a term must have a finite score and the decision YES or NO"
                    report(rule, f"{term.get('file')!r} of {query!r}")
                    break
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        report("the file must be well-formed XML with the root stdlist", str(error))
    return names


def _queries(path: Path) -> Iterator[tuple[str, Iterable[ElementTree.Element]]]:
    """Query and its terms; what was read is dropped, since QUESST's eval list has millions of terms."""
    root = None
    for event, element in ElementTree.iterparse(path, events=("start", "end")):
        if root is None:
            root = element
            if root.tag != "stdlist":
                raise ElementTree.ParseError(f"the root is {root.tag}")
        elif event == "end" and element.tag == "detected_termlist":
            yield element.get("termid", ""), list(element.iter("term"))
            root.clear()
