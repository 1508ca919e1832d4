"""The form of `results.json`: what a run scored, and of what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s3prl_plugins.errors import nearest
from s3prl_plugins.superb.cards import CARDS

__all__ = ["checked_results"]


def checked_results(content: Any) -> dict[str, Any]:
    """`content` if it has the form: `step`, a whole number; `about`, a mapping whose `tasks` are names; `scores`, task ->
    split -> metric -> number; `calibration`, task -> setting -> number. What is missing is not missed.

    :raises ValueError: it has another form.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it must be a mapping, found {type(content).__name__}")
    step = content.get("step", 0)
    if type(step) is not int or step < 0:
        raise ValueError(f"step must be a whole number of at least 0, found {step!r}")
    about = content.get("about", {})
    if not isinstance(about, Mapping):
        raise ValueError(f"about must be a mapping, found {about!r}")
    tasks = about.get("tasks", [])
    if not isinstance(tasks, list) or not all(isinstance(name, str) for name in tasks):
        raise ValueError(f"about.tasks must be a list of names, found {tasks!r}")
    scores = content.get("scores", {})
    _check(scores, "scores", 3)
    if unknown := [task for task in scores if task not in CARDS]:
        raise ValueError(f"scores are of unknown task {unknown[0]!r}; {nearest(unknown[0], CARDS)}")
    _check(content.get("calibration", {}), "calibration", 2)
    return content


def _check(value: Any, where: str, depth: int) -> None:
    """Mappings of mappings, so many deep, of numbers."""
    if not depth:
        if not isinstance(value, int | float):
            raise ValueError(f"{where} must be a number, found {value!r}")
        return
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping, found {value!r}")
    for name, inner in value.items():
        _check(inner, f"{where}.{name}", depth - 1)
