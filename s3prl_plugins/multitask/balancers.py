"""How several tasks' losses become one update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from s3prl_plugins import balancers
from s3prl_plugins.multitask.ssl_config import SSL
from s3prl_plugins.superb.cards import FINETUNED_TASKS

__all__ = ["build_balancer"]


def build_balancer(config: Mapping[str, Any], tasks: Sequence[str], seed: int = 0) -> balancers.Balancer:
    """The balancer a configuration names; tasks that the run does not train may have a weight, too.

    :param config: `{"name": "fixed", "weights": {...}}`; names and their options: `balancers.BALANCERS`.
    :param seed: of what it draws.
    :raises ConfigError: an unknown balancer, option or task, or a weight that cannot be.
    """
    return balancers.build_balancer(config, tasks, (*FINETUNED_TASKS, SSL), "task", seed, balancers.BALANCERS)
