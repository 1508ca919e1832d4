"""Everything that would stop a run later: faults of the chosen tasks' corpora, and leaks between the tasks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from s3prl_plugins.corpora.check_audio import decode
from s3prl_plugins.heads.audio import SAMPLE_RATE, SHORTEST
from s3prl_plugins.heads.contract import Example, Reader
from s3prl_plugins.heads.leaks import Leak, find_leaks, leaked_names
from s3prl_plugins.heads.task import TaskConfig, build_reader
from s3prl_plugins.problems import Problem, Problems
from s3prl_plugins.superb.cards import card

__all__ = ["Report", "TaskReport", "check", "check_readers"]


@dataclass
class TaskReport:
    """What was found for one task."""

    task: str
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """Train, dev and test by the task's own names -> usable utterances."""
    problems: list[Problem] = field(default_factory=list)
    """Each fault once."""
    missing: list[Path] = field(default_factory=list)
    """Folders and index files that are not there, the topmost ones only; each is one of `problems` too."""

    @property
    def sizes(self) -> dict[str, tuple[int, float]]:
        """Split -> usable utterances, and their minutes of audio."""
        return {split: (len(found), sum(e.seconds for e in found) / 60) for split, found in self.examples.items()}

    @property
    def incomplete(self) -> bool:
        """Whether anything of the corpus is not there."""
        return bool(self.missing) or any("missing" in problem.rule for problem in self.problems)


@dataclass(frozen=True)
class Report:
    """What was found for all tasks of a run."""

    tasks: dict[str, TaskReport]
    leaks: list[Leak]
    """Between one task's training and another's dev or test, among usable utterances."""

    @property
    def faults(self) -> int:
        return sum(len(report.problems) for report in self.tasks.values())

    @property
    def leaked(self) -> dict[str, set[str]]:
        """Task -> training utterances that `config.exclude_other_tests` leaves out."""
        return leaked_names(self.leaks)

    @property
    def emptied(self) -> dict[str, tuple[int, int]]:
        """Classification task -> classes that are then left without a training utterance, and classes before."""
        found = {}
        for task, names in self.leaked.items():
            training = self.tasks[task].examples[card(task).train]
            before = {example.label for example in training if card(task).head == "classification"}
            after = {example.label for example in training if example.name not in names}
            if before - after:
                found[task] = (len(before - after), len(before))
        return found


def check(configs: Mapping[str, TaskConfig], root: Path, audio: bool = True, jobs: int | None = None) -> Report:
    """`check_readers` for the tasks of a joint run.

    :param root: folder that relative corpus paths start from.
    """
    return check_readers({name: build_reader(config, root) for name, config in configs.items()}, audio, jobs)


def check_readers(readers: Mapping[str, Reader], audio: bool = True, jobs: int | None = None) -> Report:
    """Read every index and header of the tasks' train, dev and test, then decode every audio file once.

    :param audio: decode; without it only headers are read, so that damaged samples and NaN go unseen.
    :param jobs: processes that decode; None is one a core.
    """
    progress = tqdm(readers.items(), desc="reading indexes", unit="task", leave=False)
    tasks = {name: _read(reader) for name, reader in progress}
    if audio:
        _decode(tasks.values(), jobs)
    cards = {name: reader.card for name, reader in readers.items()}
    training = {name: report.examples[cards[name].train] for name, report in tasks.items()}
    held_out = {
        name: {split: report.examples[split] for split in (cards[name].dev, cards[name].test)}
        for name, report in tasks.items()
    }
    return Report(tasks, find_leaks(training, held_out))


def _read(reader: Reader) -> TaskReport:
    problems, report = Problems(gather=True), TaskReport(reader.card.name)
    reader.labels(problems)
    for split in (reader.card.train, reader.card.dev, reader.card.test):
        report.examples[split] = reader.examples(split, problems)
        for example in report.examples[split]:
            samples = round(example.seconds * SAMPLE_RATE)
            if samples < SHORTEST:
                rule = f"an utterance must have {SHORTEST} samples, found {samples} in {example.name}"
                problems.add(example.path, rule, "remove it from the corpus")
    # Not every file of `files` is used by these splits (ASR's *-other): only what the reader fell over counts.
    absent = {_topmost(path) for path in reader.files() if not path.exists()}
    report.problems, report.missing = _collapsed(dict.fromkeys(problems.found), absent)
    return report


def _topmost(path: Path) -> Path:
    """The first folder on the way to a missing `path` that is missing itself."""
    return next((folder for folder in reversed(path.parents) if not folder.exists()), path)


def _collapsed(found: Iterable[Problem], absent: Iterable[Path]) -> tuple[list[Problem], list[Path]]:
    """Faults with those that follow from a missing folder or index put together, and what is missing."""
    kept: list[Problem] = []
    behind: dict[Path, int] = defaultdict(int)
    for problem in found:
        cause = next((path for path in absent if _below(problem.where, path)), None)
        if cause is None:
            kept.append(problem)
        else:
            behind[cause] += 1
    if behind:
        kept = [problem for problem in kept if not problem.where.startswith("split ")]
    missing = sorted(behind)
    cure = "put it there, or mend corpus_root or the task's corpus settings in the config"
    return [Problem(str(path), "file or folder is missing", cure) for path in missing] + kept, missing


def _below(where: str, path: Path) -> bool:
    return where == str(path) or where.startswith((f"{path}{os.sep}", f"{path}:"))


def _decode(reports: Iterable[TaskReport], jobs: int | None) -> None:
    """Decode each file once, for all tasks that use it, and add its fault to theirs."""
    users: dict[str, list[TaskReport]] = defaultdict(list)
    for report in reports:
        for path in {str(example.path) for examples in report.examples.values() for example in examples}:
            users[path].append(report)
    found = []
    with closing(decode(sorted(users), jobs)) as answers:
        for path, fault in tqdm(answers, total=len(users), desc="decoding audio", unit="file", leave=False):
            if fault is not None:
                found.append(Problem(path, *fault))
    for problem in sorted(found, key=lambda problem: problem.where):
        for report in users[problem.where]:
            report.problems.append(problem)
