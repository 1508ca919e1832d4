"""ER's five folds: a model may be scored only on the fold that it was not trained on.

Fold N tests on IEMOCAP's session N and trains on the other four, so whatever was trained with another fold has seen
the test utterances of this one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.multitask import checkpoint

__all__ = ["FOLDS", "check_er_fold", "er_fold", "er_fold_of", "parse_folds"]

FOLDS = (1, 2, 3, 4, 5)


def er_fold(config: Mapping[str, Any]) -> str | None:
    """The fold (`fold1` ... `fold5`) that a resolved configuration keeps out of training; None where it has no ER.

    :param config: as `resolve` gives it and checkpoints keep it.
    """
    if "er" not in config["tasks"]:
        return None
    return str(config["superb"]["er"]["corpus"].get("fold", "fold1"))


def er_fold_of(run: Path) -> str | None:
    """The only fold that a run may be scored on, by its newest checkpoint; None where it was not trained on ER.

    :param run: a run folder, or a `states-<step>.ckpt` in one.
    :raises CheckpointError: there is no checkpoint.
    """
    return er_fold(checkpoint.newest_whole(run)[0].config)


def check_er_fold(trained: str | None, asked: str | None, where: Path | str) -> None:
    """Refuse to score ER on a fold that weights were trained on.

    :param trained: the fold that the weights' training kept out; None if it had no ER.
    :param asked: the fold to be scored; None if ER is not.
    :param where: what to call the weights in the error.
    :raises ConfigError: both are given and differ.
    """
    if trained is not None and asked is not None and trained != asked:
        raise ConfigError(
            f"ER's {asked} cannot be scored with {where}: it kept {trained} out of training and has seen {asked}'s test "
            f"session; use -v {trained}, or a run made for {asked} (finetune ... --er-folds)"
        )


def parse_folds(text: str) -> tuple[int, ...]:
    """`1-5` or `1,3` as fold numbers in order."""
    folds: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?", part, re.ASCII)
        if found is None:
            raise ConfigError(f"--er-folds must read like 1-5 or 1,3, found {text!r}")
        folds |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    if not folds or not folds <= set(FOLDS):
        raise ConfigError(f"--er-folds must lie in 1-5, found {text!r}")
    return tuple(sorted(folds))
