"""What a submission must hold: the test utterances and label inventory of a task, from its corpus or a truth file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.heads.corpora.speech_commands import CLASSES
from s3prl_plugins.heads.task import TaskConfig, build_reader
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.submission import Slot

__all__ = ["Expected", "from_corpus", "from_truth"]


@dataclass(frozen=True)
class Expected:
    """The test split of one task; whatever is not known is None."""

    source: str
    """Where this comes from, for the table."""
    names: Sequence[str] | None = None
    """Names as the prediction file writes them: utterances, ASV's trials (one may be listed twice), QbE's queries."""
    documents: Sequence[str] | None = None
    """Of QbE: what is searched for each query."""
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Slot -> its values: classes of KS, SID, IC, ER; of SF `slots`. Empty where no corpus tells them."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Lengths of SD's recordings."""


def from_corpus(slot: Slot, config: TaskConfig | None, root: Path, problems: Problems) -> Expected:
    """Read a task's test split.

    :param config: of the task (for ER: of the slot's fold); QbE has none.
    :param root: the corpus root.
    :param problems: gathers what is wrong with the corpus.
    """
    if config is None:
        quesst = QbeReader(QbeReader.Config(), root)
        documents, queries = (quesst.examples(split, problems) for split in (slot.card.train, slot.card.test))
        return Expected("corpus", [example.name for example in queries], [example.name for example in documents])
    reader = build_reader(config, root)
    examples = reader.examples(slot.card.test, problems)
    labels: Any = reader.labels(problems)
    return Expected(
        source="corpus",
        names=_trials(examples) if slot.task == "asv" else [example.name for example in examples],
        labels=labels if isinstance(labels, Mapping) else {},
        seconds={example.name: example.seconds for example in examples},
    )


def from_truth(slot: Slot, place: Path) -> Expected:
    """The names in the truth or reference file beside a prediction file; s3prl leaves ASV's empty."""
    labels = {"keyword": CLASSES} if slot.task == "ks" else {}
    path = place / slot.truth
    if not slot.truth or not path.is_file():
        return Expected("", labels=labels)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    between = "," if path.suffix == ".csv" else " "
    names = [line.partition(between)[0] for line in lines]
    return Expected(path.name if names else "", names or None, labels=labels)


def _trials(examples: Sequence[Example]) -> list[str]:
    return [f"{example.name}_{trial.other}" for example in examples for trial in example.label]
