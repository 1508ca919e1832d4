"""Where numbers go while training: one JSON line per entry, and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from s3prl_plugins.errors import UserError
from s3prl_plugins.files import parse_json, write_whole

__all__ = ["MetricLogger", "RunLogger", "SilentLogger", "logged_scores", "read_metrics", "task_metric"]

_FILE = "metrics.jsonl"


def task_metric(split: str, task: str, name: str) -> str:
    """The one form of a task's log names: `train/asr/loss`, `dev/ks/acc`."""
    return f"{split}/{task}/{name}"


class MetricLogger(Protocol):
    """Takes named numbers at a step."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class SilentLogger:
    """Of a process that leaves the log to another one."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class RunLogger:
    """Writes `metrics.jsonl` and TensorBoard events into a run's folder.

    Entries after `step` (written by a run that was cut off after its last checkpoint) are dropped on resume.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = folder / _FILE
        kept = [entry for entry in read_metrics(folder) if int(entry["step"]) <= step] if step else []
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(json.dumps(entry) + "\n" for entry in kept))
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        self._board.close()


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The entries of a run's `metrics.jsonl`, oldest first; a half-written last line is left out."""
    path = folder / _FILE
    if not path.is_file():
        return []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give yourself the right to read it") from error
    entries = []
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.strip():
            continue
        try:
            entries.append(_entry(line))
        except ValueError as error:
            if line.endswith(b"\n"):
                raise UserError(f"{path}, line {number} is not JSON of numbers ({error}); remove that line") from error
    return entries


def _entry(line: bytes) -> dict[str, float]:
    entry = parse_json(line.decode())
    if not isinstance(entry, dict) or type(entry.get("step")) is not int or entry["step"] < 0:
        raise ValueError("it must be a mapping with a step of at least 0")
    for name, value in entry.items():
        if not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, found {value!r}")
    return entry


def logged_scores(folder: Path, step: int) -> dict[tuple[str, str], dict[str, float]]:
    """What was logged of every (task, split) at a step; step 0 is the evaluation before training."""
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for entry in read_metrics(folder):
        for name, value in entry.items():
            if entry["step"] == step and name.count("/") == 2:
                split, task, metric = name.split("/")
                scores.setdefault((task, split), {})[metric] = value
    return scores
