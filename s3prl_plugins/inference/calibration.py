"""Settings that are chosen on dev and then belong to a model: SD's threshold and filter, ASV's threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from s3prl_plugins.multitask.evaluation import CALIBRATED, Evaluator, saved_results
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.tasks import TaskData

__all__ = ["calibration", "saved_calibration"]


def calibration(joint: JointModel, tasks: Mapping[str, TaskData]) -> dict[str, dict[str, float]]:
    """SD: `threshold` and `median` as evaluation chooses them. ASV: `threshold`, where misses and false alarms are equal.

    :param tasks: their corpora; tasks that have nothing to choose are passed over.
    :raises CorpusError: a dev split cannot be read.
    """
    evaluator = Evaluator(joint, tasks)
    return {task: evaluator.settings(task) for task in tasks if task in CALIBRATED}


def saved_calibration(folder: Path, step: int) -> dict[str, dict[str, float]]:
    """The same as evaluation left it in a run's `results.json`; empty if that is of another step."""
    results = saved_results(folder)
    found: dict[str, dict[str, float]] = results.get("calibration", {}) if results.get("step") == step else {}
    return found
