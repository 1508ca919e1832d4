"""The finetuned shared encoder of a joint run as a checkpoint that s3prl loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.hubert_config import hubert_config
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.upstream import build_upstream
from s3prl_plugins.upstream.hubert.checkpoint import write_checkpoint

__all__ = ["encoder_content", "export_upstream"]


def export_upstream(run_folder: Path, target: Path, half: bool = False) -> Path:
    """Write `encoder_content` of a run; returns `target`.

    :param half: float16 on disk, half the size; both loaders give float32.
    :raises CheckpointError: as there.
    """
    write_checkpoint(target, encoder_content(run_folder), half)
    return target


def encoder_content(run_folder: Path) -> dict[str, Any]:
    """The encoder of a run's newest whole checkpoint in s3prl's converted HuBERT format.

    Stock `-u hubert_local -k FILE` and `-u mtl_hubert_local -k FILE` both load it. Beside s3prl's keys it holds `mtl`:
    padding (the mode the run was trained in, which mtl_hubert_local goes on with), tasks, step, seed, upstream.

    :param run_folder: of a joint run, or one of its `states-<step>.ckpt`.
    :raises CheckpointError: the run has no whole checkpoint, its encoder was frozen, or is no HuBERT.
    """
    found, _ = checkpoints.newest_whole(run_folder)
    name = found.args["upstream"]
    if not found.args["upstream_trainable"]:
        raise CheckpointError(
            f"{run_folder} trained heads on the frozen upstream {name!r}; export a run that finetuned its encoder (-f)"
        )
    saved = checkpoints.load_tensors(found, "model")
    parts = saved.get("hubert") or hubert_config(build_upstream(stock_args(**found.args)))
    if parts is None:
        raise CheckpointError(f"only HuBERT runs can be exported, {run_folder} has the upstream {name!r}")
    prefix = "model."
    weights = {key.removeprefix(prefix): value for key, value in saved["upstream"].items() if key.startswith(prefix)}
    _check(parts, weights, run_folder)
    about = {
        "padding": found.config["encoder"]["padding"],
        "tasks": list(found.config["tasks"]),
        "step": found.step,
        "seed": found.args["seed"],
        "upstream": name,
    }
    return {**parts, "model_weight": weights, "mtl": about}


def _check(parts: Mapping[str, Any], weights: Mapping[str, Tensor], run_folder: Path) -> None:
    """:raises CheckpointError: the configuration does not build the model the weights are of."""
    from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig

    configs = HubertConfig(**parts["model_cfg"]), HubertPretrainingConfig(**parts["task_cfg"])
    try:
        with torch.random.fork_rng(devices=[]):
            HubertModel(*configs, parts["dictionaries_symbols"]).load_state_dict(dict(weights))
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"the encoder of {run_folder} does not fit its configuration ({detail}); "
            "was the upstream's checkpoint (-k) replaced since the run?"
        ) from error
