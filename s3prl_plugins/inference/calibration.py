"""Settings that are chosen on dev and then belong to a model: SD's threshold and filter, ASV's threshold."""

from __future__ import annotations

from collections.abc import Mapping

from s3prl_plugins.heads.verification import scored_trials
from s3prl_plugins.multitask.evaluation import Evaluator
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.tasks import TaskData
from s3prl_plugins.superb.cards import card

__all__ = ["calibration"]


def calibration(joint: JointModel, tasks: Mapping[str, TaskData]) -> dict[str, dict[str, float]]:
    """SD: `threshold` and `median` as evaluation chooses them. ASV: `threshold`, where misses and false alarms are equal.

    :param tasks: their corpora; tasks that have nothing to choose are passed over.
    :raises CorpusError: a dev split cannot be read.
    """
    from s3prl.metric import compute_eer

    evaluator = Evaluator(joint, tasks)
    found = {}
    for task in tasks:
        if card(task).calibrated:
            predictions, _ = evaluator.answers(task, card(task).dev)
            found[task] = joint.head(task).calibrate(predictions)
        elif task == "asv":
            predictions, _ = evaluator.answers(task, card(task).dev)
            trials = list(scored_trials(predictions))
            labels, scores = [int(target) for _, target, _ in trials], [score for _, _, score in trials]
            found[task] = {"threshold": float(compute_eer(labels, scores)[1])}
    return found
