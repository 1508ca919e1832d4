"""`s3prl_plugins.load`: a model by its name, the folder of a run, or a checkpoint file."""

from __future__ import annotations

from pathlib import Path

import torch

from s3prl_plugins.errors import CheckpointError, nearest
from s3prl_plugins.inference.model import Model
from s3prl_plugins.inference.portable import Portable, from_content, from_run
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.upstream import choose_device
from s3prl_plugins.upstream.mtl_hubert.hubconf import SUPERB_TINY

__all__ = ["NAMES", "load"]

NAMES: dict[str, Path] = {"superb_tiny": SUPERB_TINY}
"""Models that come with this package."""


def load(model: str | Path, device: str = "auto") -> Model:
    """A model that answers for recordings; no corpus is needed.

    :param model: `superb_tiny`; the folder of a joint or single-task run, or one of its `states-*.ckpt`; or a file of
        `s3prl-plugins export --with-heads`. A run that finetuned a HuBERT stands alone; any other run's encoder is
        built as s3prl's `-u` and `-k` of that run say.
    :param device: `cpu`, `cuda`, `cuda:N`; `auto` is `cuda` where a GPU is visible.
    :raises CheckpointError: there is no such model, or it is damaged.
    :raises ConfigError: no such device.
    """
    portable = read(model)
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    joint = portable.build(choose_device(chosen))
    return Model(joint, task_configs(portable.config), portable.calibration, portable.about)


def read(model: str | Path) -> Portable:
    """What `load` builds."""
    path = NAMES.get(str(model), Path(model))
    if path.is_dir():
        return from_run(checkpoints.newest_whole(path)[0])
    if not path.is_file():
        raise CheckpointError(f"no model {str(model)!r}: no such file or folder; {nearest(str(model), NAMES)}")
    content = checkpoints.load_file(path)
    if isinstance(content, dict) and "Checksums" in content:
        found = checkpoints.read(path)
        if damage := found.damage():
            raise CheckpointError(f"{path} is damaged ({damage}); use another checkpoint of the run")
        return from_run(found)
    if isinstance(content, dict) and "Downstream" in content:
        raise CheckpointError(
            f"{path} is a checkpoint of stock s3prl, which holds neither labels nor sizes of its head; start a run of "
            "ours from it (finetune --init-heads TASK=PATH) and load that"
        )
    return from_content(content, str(path))
