"""`s3prl_plugins.load`: a model by its name, the folder of a run, or a checkpoint file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from s3prl_plugins.errors import CheckpointError, ConfigError, nearest
from s3prl_plugins.inference.hub import download, is_repository
from s3prl_plugins.inference.model import Model
from s3prl_plugins.inference.model_folder import is_model_folder, read_folder
from s3prl_plugins.inference.portable import Portable, from_content, from_run
from s3prl_plugins.inference.stock import from_stock
from s3prl_plugins.inference.stock_labels import Labels
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.upstream import choose_device
from s3prl_plugins.upstream.mtl_hubert.hubconf import SUPERB_TINY

__all__ = ["NAMES", "load"]

NAMES: dict[str, Path] = {"superb_tiny": SUPERB_TINY}
"""Models that come with this package."""


def load(
    model: str | Path,
    device: str = "auto",
    *,
    labels: Labels | None = None,
    upstream_ckpt: str | Path | None = None,
    revision: str | None = None,
) -> Model:
    """A model that answers for recordings; no corpus is needed.

    :param model: `superb_tiny`; the folder of a joint or single-task run, or one of its `states-*.ckpt`; a file of
        `s3prl-plugins export --with-heads` or a folder of `export --to-folder`; a checkpoint of stock s3prl's own experts;
        or, where nothing of that name is here, a repository `org/name` of the Hugging Face Hub. A run that finetuned a
        HuBERT stands alone; any other run's encoder is built as s3prl's `-u` and `-k` of that run say.
    :param device: `cpu`, `cuda`, `cuda:N`; `auto` is `cuda` where a GPU is visible.
    :param labels: of a stock checkpoint, which holds none, where `stock_labels` does not find them.
    :param upstream_ckpt: takes the place of the run's `-k`, for instance where that file was moved.
    :param revision: branch, tag or commit of a repository of the Hub.
    :raises CheckpointError: there is no such model, it is damaged, or it is of a network that is not SUPERB's.
    :raises ConfigError: no such device; labels that cannot be read.
    """
    portable = read(model, labels, revision)
    if upstream_ckpt is not None:
        if portable.hubert is not None:
            raise ConfigError(
                f"{model} holds its encoder, found another one's checkpoint {upstream_ckpt}; leave -k out"
            )
        portable = replace(portable, args={**portable.args, "upstream_ckpt": str(upstream_ckpt)})
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    joint = portable.build(choose_device(chosen))
    return Model(joint, task_configs(portable.config), portable.calibration, portable.about)


def read(model: str | Path, labels: Labels | None = None, revision: str | None = None) -> Portable:
    """What `load` builds."""
    path = NAMES.get(str(model), Path(model))
    if not path.exists() and is_repository(str(model)):
        path = download(str(model), revision)
    elif revision is not None:
        raise ConfigError(f"a revision is of a repository org/name on the Hub, found {model} here; leave it out")
    if is_model_folder(path):
        return from_content(read_folder(path), str(path))
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
        return from_stock(content, path, labels)
    return from_content(content, str(path))
