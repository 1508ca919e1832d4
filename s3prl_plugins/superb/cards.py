"""The ten SUPERB tasks as data (SUPERB: arXiv 2105.01051). No other module knows these facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from s3prl_plugins.errors import ConfigError, nearest

__all__ = ["CARDS", "FINETUNED_TASKS", "Metric", "TaskCard", "card", "task_names"]


@dataclass(frozen=True)
class Metric:
    """One score of a task."""

    name: str
    """As in results.json and in log names."""
    higher_is_better: bool
    column: str = ""
    """Column of the paper's Table 1 (arXiv 2110.09930) that shows it; empty where the table has none."""
    unit: Literal["%", ""] = "%"
    """All scores are in percent except QbE's MTWV, which is a value of at most 1."""


@dataclass(frozen=True)
class TaskCard:
    """What is fixed about one task of SUPERB."""

    name: str
    title: str
    aspect: Literal["content", "speaker", "semantics", "paralinguistics"]
    layout: str
    """Name of the corpus layout: the reader that finds its utterances (`heads/corpora`)."""
    head: str
    """Name of the kind of head; empty for QbE, which needs no training."""
    metrics: tuple[Metric, ...]
    """The first one chooses the best checkpoint."""
    train: str
    dev: str
    test: str
    """Names of the three splits, as `-t TASK:SPLIT` and the prediction files write them."""
    extra_splits: tuple[str, ...] = ()
    predictions: tuple[str, ...] = ()
    """Prediction files, `{split}` and `{fold}` filled in; the first one is what the leaderboard takes."""
    calibrated: bool = False
    """Whether scoring needs settings that are chosen on the dev split (SD: threshold and median window)."""

    pooled: bool = False
    """Whether the head sees an utterance's mean over time only: linear layer, mean, linear layer."""

    open_set: bool = False
    """Whether dev and test hold classes that training lacks (ASV's speakers), so that the training loss has no value there."""

    @property
    def splits(self) -> tuple[str, ...]:
        return (self.train, self.dev, self.test, *self.extra_splits)

    @property
    def best_metric(self) -> Metric:
        return self.metrics[0]

    def split(self, name: str) -> str:
        """The task's own name of a split given by that name or by its role (`train`, `dev`, `test`)."""
        roles = {"train": self.train, "dev": self.dev, "test": self.test}
        resolved = roles.get(name, name)
        if resolved not in self.splits:
            raise ConfigError(f"task {self.name!r} has no split {name!r}; {nearest(name, self.splits)}")
        return resolved


_ACCURACY_FILES = ("{split}_predict.txt", "{split}_truth.txt")
_ARK_FILES = ("{split}-hyp.ark", "{split}-ref.ark")


def _accuracy(column: str) -> tuple[Metric, ...]:
    return (Metric("acc", higher_is_better=True, column=column),)


# fmt: off
CARDS: dict[str, TaskCard] = {
    entry.name: entry
    for entry in (
        TaskCard(
            "asr", "Automatic speech recognition", "content", "librispeech", "ctc",
            (Metric("wer", False, "asr_wer"), Metric("cer", False)),
            "train", "dev-clean", "test-clean", ("dev-other", "test-other"),
            ("{split}-noLM-hyp.ark", "{split}-noLM-ref.ark"),
        ),
        TaskCard(
            "pr", "Phoneme recognition", "content", "librispeech", "ctc",
            (Metric("per", False, "pr_per"),), "train", "dev", "test", (), _ARK_FILES,
        ),
        TaskCard(
            "sf", "Slot filling", "semantics", "snips", "ctc",
            (
                Metric("slot_type_f1", True, "sf_f1"), Metric("slot_value_cer", False, "sf_cer"),
                Metric("slot_value_wer", False), Metric("slot_edit_f1_full", True),
                Metric("slot_edit_f1_part", True), Metric("wer", False), Metric("cer", False),
            ),
            "train", "dev", "test", (), _ARK_FILES,
        ),
        TaskCard(
            "sd", "Speaker diarization", "speaker", "kaldi", "diarization",
            (Metric("der", False, "sd_der"), Metric("frame_acc", True), Metric("der_batch_mean", False)),
            "train", "dev", "test", (), ("scoring/predictions/{recording}.h5",), calibrated=True,
        ),
        TaskCard(
            "er", "Emotion recognition", "paralinguistics", "iemocap", "classification", _accuracy("er_acc"),
            "train", "dev", "test", (), ("{split}_{fold}_predict.txt", "{split}_{fold}_truth.txt"), pooled=True,
        ),
        TaskCard(
            "ic", "Intent classification", "semantics", "fluent_speech_commands", "classification",
            _accuracy("ic_acc"), "train", "dev", "test", (), ("{split}_predict.csv", "{split}_truth.csv"), pooled=True,
        ),
        TaskCard(
            "ks", "Keyword spotting", "content", "speech_commands", "classification", _accuracy("ks_acc"),
            "train", "dev", "test", (), _ACCURACY_FILES, pooled=True,
        ),
        TaskCard(
            "asv", "Automatic speaker verification", "speaker", "voxceleb1", "verification",
            (Metric("eer", False, "asv_eer"),), "train", "dev", "test", (), _ACCURACY_FILES, open_set=True,
        ),
        TaskCard(
            "sid", "Speaker identification", "speaker", "voxceleb1", "classification", _accuracy("sid_acc"),
            "train", "dev", "test", (), _ACCURACY_FILES, pooled=True,
        ),
        TaskCard(
            "qbe", "Query by example", "content", "quesst14", "",
            (Metric("mtwv", True, unit=""),), "train", "dev", "test", (), ("benchmark.stdlist.xml",),
        ),
    )
}
# fmt: on
"""Every task by name, in the order of the paper's Table 1; QbE, which the table lacks, last."""

FINETUNED_TASKS: tuple[str, ...] = tuple(name for name, entry in CARDS.items() if entry.head)
"""The nine tasks with a head to train."""


def card(name: str) -> TaskCard:
    """The card of a task, or a `ConfigError` that names the nearest known one."""
    if name not in CARDS:
        raise ConfigError(f"unknown task {name!r}; {nearest(name, CARDS)}")
    return CARDS[name]


def task_names(names: Iterable[str]) -> tuple[str, ...]:
    """Check a list of tasks to train: each known, trainable and named once."""
    chosen = tuple(names)
    if not chosen:
        raise ConfigError(f"config.tasks is empty; name at least one task. Known: {', '.join(FINETUNED_TASKS)}")
    for name in chosen:
        if not card(name).head:
            raise ConfigError(f"task {name!r} has no head to train; {nearest(name, FINETUNED_TASKS)}")
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"config.tasks names a task twice: {', '.join(chosen)}; name each once")
    return chosen
