"""A run's folder belongs to one configuration, seed and set of speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from s3prl_plugins.config import load_yaml, plain
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.files import write_whole
from s3prl_plugins.pretrain.speech import Utterance

__all__ = ["claim"]


def claim(folder: Path, config: Any, seed: int, utterances: Sequence[Utterance]) -> None:
    """Note what a folder is for in its `pretraining.yaml`, and make it if need be.

    :raises CheckpointError: the folder holds a pretraining with another configuration, seed or speech.
    """
    asked = {
        "config": plain(config), "seed": seed, "files": len(utterances), "samples": sum(u.samples for u in utterances),
    }  # fmt: skip
    path = folder / "pretraining.yaml"
    if path.is_file():
        held = load_yaml(path)
        differing = [key for key in asked if held.get(key) != asked[key]]
        if differing:
            raise CheckpointError(
                f"{folder} holds a pretraining with another {' and '.join(differing)}; choose another folder with -p"
            )
        return
    write_whole(path, yaml.safe_dump(asked, sort_keys=False))
