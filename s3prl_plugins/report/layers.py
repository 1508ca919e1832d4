"""The layer weights that a run learned for its tasks."""

from __future__ import annotations

from pathlib import Path

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.untrusted import load_plain

__all__ = ["layer_weights"]


def layer_weights(folder: Path, step: int) -> dict[str, list[float]]:
    """Task -> the softmax of its layer weights, which sum to 1, from the checkpoint of a step (else the newest one).

    Empty where the folder has no readable checkpoint, or the encoder only one hidden state. The tensors are mapped, not
    read: of a checkpoint of HuBERT Base only the few bytes of the weights leave the disk. So checksums are not verified.
    """
    paths = {int(path.stem.removeprefix("states-")): path for path in checkpoint.find(folder)}
    if not paths:
        return {}
    try:
        tensors = checkpoint.read(paths.get(step, paths[max(paths)])).folder / "model.pt"
        state = load_plain(tensors, "use another", mmap=True)["featurizers"]
    except (CheckpointError, KeyError):
        return {}
    weights = {name.removesuffix(".weights"): value for name, value in state.items() if name.endswith(".weights")}
    return {task: value.float().softmax(dim=-1).tolist() for task, value in weights.items()}
