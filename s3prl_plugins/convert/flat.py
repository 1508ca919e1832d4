"""A HuBERT as plain files: fairseq's checkpoint, or safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3prl_plugins.convert.sources import without_weight
from s3prl_plugins.files import save_whole, whole_file

__all__ = ["to_fairseq", "to_safetensors"]


def to_fairseq(content: Mapping[str, Any], target: Path) -> None:
    """Write a checkpoint of fairseq's HuBERT in its `cfg` form, of plain containers.

    fairseq's `load_model_ensemble_and_task` reads it without arguments; so do `convert fairseq` and torch with
    `weights_only`. Dictionaries are lists of symbols: models ask only for their length. To go on training there, pass
    fairseq its own data and label folders.

    :param content: s3prl's converted HuBERT format.
    """
    task = {"_name": "hubert_pretraining", "data": ".", "labels": ["km"], **content["task_cfg"]}
    cfg = {"model": {"_name": "hubert", **content["model_cfg"]}, "task": task}
    history = {"criterion_name": "HubertCriterion", "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}
    state = {
        "args": None,
        "cfg": cfg,
        "model": dict(content["model_weight"]),
        "criterion": {},
        "optimizer_history": [{**history, "num_updates": 0}],
        "task_state": {"dictionaries": content["dictionaries_symbols"]},
        "extra_state": {"train_iterator": {"epoch": 1}},
        "last_optimizer_state": None,
    }
    save_whole(target, state)


def to_safetensors(content: Mapping[str, Any], target: Path) -> None:
    """Write the weights by s3prl's names; all else is JSON in the metadata, entry `s3prl`."""
    from safetensors.torch import save

    weights = {name: tensor.contiguous().clone() for name, tensor in content["model_weight"].items()}
    about = json.dumps(without_weight(dict(content)))
    with whole_file(target) as file:
        file.write(save(weights, {"format": "pt", "s3prl": about}))
