"""A corpus check as text for people and as data for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.corpora.check import Report, TaskReport
from s3prl_plugins.corpora.sources import SOURCES, Source
from s3prl_plugins.heads.leaks import Leak
from s3prl_plugins.problems import Problem

__all__ = ["as_data", "as_text"]


@dataclass(frozen=True)
class _Kind:
    """Faults that break one rule."""

    rule: str
    problems: list[Problem]


def as_text(report: Report, root: Path, mini: bool, excluded: bool, most: int) -> str:
    """The whole report.

    :param mini: the configuration is one for mini-SUPERB, which can be made here.
    :param excluded: whether `config.exclude_other_tests` is on.
    :param most: examples shown of each kind of fault and of each leak.
    """
    if root.is_dir():
        lines = [line for task in report.tasks.values() for line in _task_lines(task, most)]
    else:
        lines = [f"{root}: the folder config.corpus_root is missing; put the corpora there or set it, e.g. with -o"]
    lines += _source_lines(report, root, mini)
    lines += ["", *_leak_lines(report, excluded, most), "", _verdict(report)]
    return "\n".join(lines)


def as_data(report: Report, excluded: bool, most: int) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "faults": report.faults,
        "tasks": {name: _task_data(task, most) for name, task in report.tasks.items()},
        "sources": {
            source.name: {"page": source.page, "steps": list(source.steps)} for source in _sources_needed(report)
        },
        "leaks": [_leak_data(leak, most) for leak in report.leaks],
        "exclude_other_tests": {
            "on": excluded,
            "drops": {task: len(names) for task, names in report.leaked.items()},
            "classes_left_empty": {task: gone for task, (gone, _) in report.emptied.items()},
        },
    }


def _task_lines(task: TaskReport, most: int) -> Iterator[str]:
    sizes = ", ".join(f"{split} {count} ({minutes:.1f} min)" for split, (count, minutes) in task.sizes.items())
    faults = len(task.problems)
    yield f"{task.task:4} {sizes}: {'ok' if not faults else _counted(faults, 'fault')}"
    for kind in _kinds(task.problems):
        yield f"  {len(kind.problems)} x {kind.rule}"
        for problem in kind.problems[:most]:
            yield f"      {problem.where}" + ("" if problem.rule == kind.rule else f": {problem.rule}")
        if len(kind.problems) > most:
            yield f"      ... and {len(kind.problems) - most} more (--max shows more)"
        yield f"    cure: {kind.problems[0].cure}"


def _source_lines(report: Report, root: Path, mini: bool) -> Iterator[str]:
    sources = _sources_needed(report)
    if sources:
        yield "\nWhere the real corpora come from (folders below corpus_root):"
    for source in sources:
        yield f"  {source.name} ({', '.join(source.tasks)}): {source.page}"
        yield from (f"    {number}. {step}" for number, step in enumerate(source.steps, 1))
    if sources and mini:
        yield f"This configuration is for mini-SUPERB, which is made here: s3prl-plugins corpus make {root}"


def _leak_lines(report: Report, excluded: bool, most: int) -> Iterator[str]:
    if not report.leaks:
        yield "No utterance or speaker is in one task's training and in another's dev or test."
        return
    yield "In one task's training and in another's dev or test:"
    for leak in report.leaks:
        parts = [
            _counted(len(found), noun) + f" ({_few(found, most)})"
            for noun, found in (("utterance", leak.utterances), ("speaker", leak.speakers))
            if found
        ]
        yield f"  {leak.train_task} train, {leak.held_task} {leak.held_split}: {', '.join(parts)}"
    drops = ", ".join(
        f"{len(names)} of {next(iter(report.tasks[task].sizes.values()))[0]} of {task}"
        for task, names in report.leaked.items()
    )
    verb = "is on and leaves out of training" if excluded else "is off; it would leave out of training"
    yield f"  config.exclude_other_tests {verb}: {drops or 'nothing, as only speakers are shared'}"
    for task, (gone, before) in report.emptied.items():
        yield f"  {task} then has no training utterance left of {gone} of its {before} classes"


def _verdict(report: Report) -> str:
    if not report.faults:
        return "No fault found."
    broken = [name for name, task in report.tasks.items() if task.problems]
    return f"{_counted(report.faults, 'fault')} found, in {', '.join(broken)}."


def _task_data(task: TaskReport, most: int) -> dict[str, Any]:
    return {
        "splits": {name: {"utterances": n, "minutes": round(m, 3)} for name, (n, m) in task.sizes.items()},
        "missing": [str(path) for path in task.missing],
        "faults": [
            {
                "rule": kind.rule,
                "count": len(kind.problems),
                "cure": kind.problems[0].cure,
                "examples": [{"where": problem.where, "found": problem.rule} for problem in kind.problems[:most]],
            }
            for kind in _kinds(task.problems)
        ],
    }


def _leak_data(leak: Leak, most: int) -> dict[str, Any]:
    found = {"utterances": leak.utterances, "speakers": leak.speakers}
    return {
        "train": leak.train_task,
        "held_out": f"{leak.held_task}:{leak.held_split}",
        **{name: {"count": len(items), "examples": list(items[:most])} for name, items in found.items()},
    }


def _sources_needed(report: Report) -> list[Source]:
    incomplete = {name for name, task in report.tasks.items() if task.incomplete}
    return [source for source in SOURCES if incomplete & set(source.tasks)]


def _kinds(problems: Iterable[Problem]) -> list[_Kind]:
    kinds: dict[str, _Kind] = {}
    for problem in problems:
        rule = _rule(problem.rule)
        kinds.setdefault(rule, _Kind(rule, [])).problems.append(problem)
    return list(kinds.values())


def _rule(text: str) -> str:
    """A fault's rule without the value found: `sample rate must be 16000 Hz, found 8000` up to the comma."""
    text = text.split(", found")[0]
    return re.sub(r"'[^']*'", "...", re.sub(r" \(.*\)", "", text))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _few(items: Sequence[str], most: int) -> str:
    return ", ".join(items[:most]) + (", ..." if len(items) > most else "")
