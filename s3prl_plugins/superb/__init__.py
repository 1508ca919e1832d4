"""The SUPERB tasks as data, and what is done with their scores and predictions."""

from s3prl_plugins.superb.cards import CARDS, FINETUNED_TASKS, Metric, TaskCard, card, task_names

__all__ = ["CARDS", "FINETUNED_TASKS", "Metric", "TaskCard", "card", "task_names"]
