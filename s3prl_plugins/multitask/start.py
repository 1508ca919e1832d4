"""The weights a run starts from, or goes on with."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.er_folds import check_er_fold, er_fold, er_fold_of
from s3prl_plugins.multitask.init_heads import read_head
from s3prl_plugins.multitask.joint import JointModel

__all__ = ["check_start", "load_encoder", "load_model"]


def check_start(args: argparse.Namespace, config: Mapping[str, Any], given: checkpoint.Checkpoint | None) -> None:
    """Refuse weights that were trained on the test session of the run's ER fold.

    :param args: of `Experiment`.
    :param config: the run's, resolved.
    :param given: the checkpoint of `past_exp` or `init_ckpt`.
    """
    asked = er_fold(config)
    if given is not None:
        check_er_fold(er_fold(given.config), asked, given.path.parent)
    if asked is None or args.past_exp:
        return
    if source := getattr(args, "init_upstream", None):
        check_er_fold(er_fold_of(Path(source)), asked, source)
    if source := (getattr(args, "init_heads", None) or {}).get("er"):
        check_er_fold(read_head(Path(source), "er").er_fold, asked, source)


def load_encoder(model: JointModel, run: Path) -> None:
    """Load the finetuned encoder of another run.

    :raises CheckpointError: that run left its encoder untouched, or it is of another architecture.
    """
    found, _ = checkpoint.newest_whole(run)
    saved = checkpoint.load_tensors(found, "model")
    if "upstream" not in saved:
        raise CheckpointError(f"{run} did not finetune its encoder; use the folder of a joint run")
    try:
        model.trunk.upstream.load_state_dict(saved["upstream"])
    except RuntimeError as error:
        raise CheckpointError(f"the encoder of {run} is not of this upstream; pass the -u and -k it had") from error


def load_model(model: JointModel, saved: Mapping[str, Any]) -> None:
    """Load what a checkpoint of a run holds.

    :raises CheckpointError: it is of another architecture.
    """
    try:
        if "upstream" in saved:
            model.trunk.upstream.load_state_dict(saved["upstream"])
        model.featurizers.load_state_dict(saved["featurizers"])
        model.heads.load_state_dict(saved["heads"])
        if model.ssl is not None and "ssl" in saved:
            model.ssl.load_state_dict(saved["ssl"])
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"the checkpoint does not fit this model ({detail}); use the configuration and upstream it was made with"
        ) from error
