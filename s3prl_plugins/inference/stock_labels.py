"""What the outputs of a stock expert's head are called, which its checkpoint does not say."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.files import parse_json
from s3prl_plugins.heads.corpora.fluent_speech_commands import SLOTS
from s3prl_plugins.heads.corpora.speech_commands import CLASSES
from s3prl_plugins.superb.units import CHARACTERS, LETTERS, PHONES

__all__ = ["Labels", "read_labels", "stock_labels"]

Labels = str | Path | Sequence[str] | Mapping[str, Any]
"""Labels as a caller gives them: a JSON file (a list of names; {slot: names} for IC; {"slots": names} for SF), a text file of
one name a line such as SNIPS's slots.txt, Fluent Speech Commands' train_data.csv, or such a list or mapping itself."""
_EMOTIONS = ("neu", "hap", "ang", "sad")
"""As s3prl's preparation of IEMOCAP numbers them."""
_NAMES = {"ks": "keyword", "er": "emotion", "sid": "speaker"}
_SPECIAL = {"asr": 4, "pr": 3, "sf": 3}
"""Symbols that the CTC heads put before their labels."""
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error)
"""Of label files that are no such files."""
_HINTS = {
    "ic": "train_data.csv of Fluent Speech Commands, or JSON of action, object, location",
    "sf": "slots.txt of SNIPS, or JSON of slots",
}


def stock_labels(
    task: str, outputs: int, given: Labels | None, config: Mapping[str, Any], folder: Path, place: Path
) -> Any:
    """The label inventory of a task's head, as its corpus reader gives it.

    Without `given`: KS, SID and SD have one meaning only; ER, ASR and PR that of the file the configuration names where it
    is there, and of s3prl's own where not; IC and SF need the file of their corpus, by the configuration's path or beside
    the checkpoint.

    :param outputs: of the head's last layer.
    :param config: `downstream_expert` of the checkpoint.
    :param folder: of the checkpoint.
    :raises CheckpointError: a file is missing, or has another number of labels than the head has outputs.
    :raises ConfigError: `given` cannot be read.
    """
    if task == "sd":
        return None
    if task == "asv":  # no answer names a training speaker
        return [str(number) for number in range(outputs)]
    hint = _HINTS.get(task, "one name a line, or a JSON list")
    cure = f"pass them with load(..., labels=FILE) or --labels FILE ({hint})"
    source = f"labels {given}" if isinstance(given, str | Path) else "labels"
    found: Any
    if given is not None:
        found = _named(task, read_labels(task, given), source)
    else:
        try:
            found = _sought(task, outputs, config, folder)
        except _BROKEN as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"a file of the labels of {place} cannot be read ({reason}); {cure}") from error
    if found is None:
        raise CheckpointError(
            f"{place} holds no labels of its {task!r} head, and those of its corpus are not here; {cure}"
        )
    count = _outputs(task, found)
    if count != outputs:
        raise CheckpointError(f"the {task!r} head of {place} has {outputs} outputs, its {source} make {count}; {cure}")
    return found


def _outputs(task: str, labels: Any) -> int:
    if task == "sf":
        return _SPECIAL[task] + len(labels["characters"]) + 2 * len(labels["slots"])
    return _SPECIAL[task] + len(labels) if task in _SPECIAL else sum(map(len, labels.values()))


def read_labels(task: str, given: Labels) -> Any:
    """What a file holds; anything else as it is.

    :raises ConfigError: it cannot be read.
    """
    if not isinstance(given, str | Path):
        return given
    path = Path(given)
    try:
        if path.suffix == ".json":
            return parse_json(path.read_text(encoding="utf-8"))
        return _intents(path) if path.suffix == ".csv" else _lines(path)
    except _BROKEN as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"labels {path} of task {task!r} cannot be read ({reason}); mend or replace the file"
        ) from error


def _named(task: str, given: Any, source: str) -> Any:
    """In the form of the corpus reader.

    :param source: what errors call them.
    """
    if task in _NAMES and isinstance(given, Mapping) and list(given) == [_NAMES[task]]:
        given = given[_NAMES[task]]
    if task == "ic":
        names = {slot: given[slot] for slot in SLOTS} if isinstance(given, Mapping) and set(given) == set(SLOTS) else {}
    elif task == "sf":
        parts: Mapping[str, Any] = given if isinstance(given, Mapping) else {"slots": given}
        slots, characters = parts.get("slots", ()), parts.get("characters", CHARACTERS)
        # The first line of slots.txt stands for no slot.
        names = {"characters": characters, "slots": slots[1:] if _is_names(slots) and slots[:1] == ["O"] else slots}
    else:
        names = {_NAMES.get(task, "symbol"): given}
    if not names or not all(map(_is_names, names.values())):
        form = "map action, object and location to lists" if task == "ic" else "be a list"
        raise ConfigError(
            f"{source} of task {task!r} must {form} of different names, found {str(given)[:60]!r}; mend them"
        )
    plain = {name: list(values) for name, values in names.items()}
    return plain["symbol"] if task in ("asr", "pr") else plain


def _is_names(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    )


def _found(named: Any, folder: Path, inside: str = "") -> Path | None:
    """The file a configuration names (in the folder it names, with `inside`), or one of its name beside the checkpoint."""
    named = named if isinstance(named, str) else ""
    beside = folder / Path(inside or named).name
    return next((place for place in (Path(named) / inside, beside) if place.is_file()), None)


def _lines(path: Path) -> list[str]:
    """Not stripped: a space is a character."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line for line in lines if line.strip() or line == " "]


def _intents(path: Path) -> dict[str, list[str]]:
    """Values in the order in which they come first, as s3prl numbers them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if any(str(cell or "").strip() for cell in row.values())]
    return {slot: list(dict.fromkeys(row[slot] for row in rows)) for slot in SLOTS}


def _of(config: Mapping[str, Any], part: str, key: str) -> Any:
    inner = config.get(part)
    return inner.get(key) if isinstance(inner, Mapping) else None


def _sought(task: str, outputs: int, config: Mapping[str, Any], folder: Path) -> Any:
    """The labels that s3prl's expert has by itself, or reads from a file that is here; None where there is no such file."""
    if task == "ks":
        return {"keyword": list(CLASSES)}
    if task == "sid":
        return {"speaker": [f"id{10001 + number}" for number in range(outputs)]}
    if task == "er":
        fold = str(_of(config, "datarc", "test_fold") or "fold1").replace("fold", "Session")
        path = _found(_of(config, "datarc", "meta_data"), folder, f"{fold}/train_meta_data.json")
        numbers = parse_json(path.read_text(encoding="utf-8"))["labels"] if path else {}
        return {"emotion": sorted(numbers, key=numbers.__getitem__) or list(_EMOTIONS)}
    if task == "ic":
        path = _found(_of(config, "datarc", "file_path"), folder, "data/train_data.csv")
        return _intents(path) if path else None
    if task == "asr":
        path = _found(_of(config, "datarc", "dict_path"), folder)
        return [line.rsplit(" ", 1)[0] for line in _lines(path)] if path else list(LETTERS)
    symbols = _found(_of(config, "text", "vocab_file"), folder)
    if task == "pr":
        return _lines(symbols) if symbols else list(PHONES)
    slots = _found(_of(config, "text", "slots_file"), folder) or _found(str(folder / "slots.txt"), folder)
    characters = _lines(symbols) if symbols else list(CHARACTERS)
    return {"characters": characters, "slots": _lines(slots)[1:]} if slots else None
