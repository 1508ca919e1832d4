"""The parts of a submission: their files checked, a table of them, and what the leaderboard's rules make of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from s3prl_plugins.cli.submit_runs import Run, joint_runs, named_runs
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.submission import ER_FOLDS, SLOTS, Slot
from s3prl_plugins.superb.submission_check import check
from s3prl_plugins.superb.submission_expected import Expected, from_corpus, from_truth

__all__ = ["Parts", "collect"]

_HEAD = ["task", "file", "predictions", "checked against", "score"]


@dataclass
class Parts:
    """What is submitted."""

    runs: dict[str, Run]
    """Part -> the experiment it is taken from."""
    files: dict[str, Path] = field(default_factory=dict)
    """Path below `predict/` -> file."""
    rows: list[list[str]] = field(default_factory=lambda: [_HEAD])
    """A table."""
    problems: Problems = field(default_factory=lambda: Problems(gather=True))
    folds: list[str] = field(default_factory=list)
    """ER's folds that there are, too few of them being left out."""

    def remarks(self) -> list[str]:
        """The track by the leaderboard's rules, and what is left out."""
        trained = {run.finetuned for run in self.runs.values()}
        if True in trained:
            track = "unconstrained (the encoder was finetuned)"
        elif None in trained:
            track = "not known (a folder does not tell whether the encoder was finetuned: then unconstrained)"
        else:
            track = "constrained (frozen encoder) if the heads are SUPERB's and only learning rates tuned, else less-constrained"
        lines = [f"track: {track}"]
        if any(run.leaks for run in self.runs.values()):
            lines.append(
                "leaks: trained with exclude_other_tests: false, so on utterances that other tasks are tested on"
            )
        for source in sorted(
            {run.about["init_upstream"] for run in self.runs.values() if run.about.get("init_upstream")}
        ):
            lines.append(f"encoder: starts from the one finetuned in {source}; say so where you submit")
        if any(run.about.get("size") == "mini" for run in self.runs.values()):
            lines.append("mini-SUPERB: the leaderboard scores SUPERB's own test sets only")
        missing = [name for name in SLOTS if name not in self.runs and name not in ER_FOLDS]
        if "asr_lm" in missing:
            missing[missing.index("asr_lm")] = "asr_lm (needs asr's head.lm, an ARPA file, when test is evaluated)"
        if not set(ER_FOLDS) & set(self.runs):
            there = f", found {', '.join(self.folds)}" if self.folds else ""
            missing.append(f"er (all five folds are needed{there})")
        if missing:
            lines.append(f"left out: {', '.join(missing)}; a submission may be partial")
        return lines


def collect(all_task: Path | None, named: list[str], root: Path | None) -> Parts:
    """Find the files of a submission and check them; faults are in `problems`.

    :param all_task: a joint run's folder, or a sweep's.
    :param named: `NAME=DIR`, which go before it.
    :param root: corpora to check against; without it those that the runs were made with.
    """
    chosen = named_runs(named)
    parts = Parts({**joint_runs(all_task), **chosen} if all_task else dict(chosen))
    if not parts.runs:
        raise ConfigError("nothing to submit; pass --all-task DIR, or --task NAME=DIR ...")
    parts.folds = [name for name in ER_FOLDS if name in parts.runs]
    if 0 < len(parts.folds) < len(ER_FOLDS):
        if set(parts.folds) & set(chosen):
            rule = f"all five folds must be given, found {', '.join(parts.folds)}"
            parts.problems.add("er", rule, "give er_fold1 ... er_fold5, or none")
        else:
            parts.runs = {name: run for name, run in parts.runs.items() if name not in ER_FOLDS}
    for name in (name for name in SLOTS if name in parts.runs):
        _add(parts, SLOTS[name], parts.runs[name], root)
    return parts


def _add(parts: Parts, slot: Slot, run: Run, root: Path | None) -> None:
    found, place = run.files(slot), run.place(slot)
    if not found:
        parts.problems.add(place / slot.source, "prediction file is missing", "evaluate the test split")
        return
    _check_fold(slot, run, parts.problems)
    expected = _expected(slot, run, root, parts.problems)
    count = check(slot, place, expected, parts.problems)
    parts.files |= found
    parts.rows.append([slot.name, str(place / slot.source), str(count), expected.source, run.score(slot)])


def _check_fold(slot: Slot, run: Run, problems: Problems) -> None:
    """A joint model may be scored only on the fold of emotion recognition that it was not trained on."""
    if not slot.fold or not run.is_ours(slot) or run.trained_fold == slot.fold:
        return
    if run.trained_fold:
        rule = f"{slot.name} must come from a run that did not train on it, this one left out {run.trained_fold} only"
        cure = f"train one with config.superb.er.corpus.fold={slot.fold}"
    else:
        rule = f"{slot.name}: neither states-*.ckpt nor results.json tells on which folds the run trained"
        cure = "restore one of them"
    problems.add(run.folder, rule, cure)


def _expected(slot: Slot, run: Run, root: Path | None, problems: Problems) -> Expected:
    """The test split by the given corpus root, else by the run's own, else by the truth file."""
    place = root or run.corpus_root
    faults: list[Problems] = []
    if place is not None:
        for config in run.task_configs(slot):
            faults.append(Problems(gather=True))
            expected = from_corpus(slot, config, place, faults[-1])
            if not faults[-1].found:
                return expected
    if faults and root is not None:
        problems.found += faults[0].found[:3]
    expected = from_truth(slot, run.place(slot))
    reason = "corpus incomplete" if faults else "no corpus"
    return replace(expected, source=f"{expected.source or 'nothing'} ({reason})")
