"""Heads and layer weights that were trained alone, as the start of a joint run: from our runs and from stock s3prl's.

The code released with arXiv 2110.09930 starts its joint runs so: at their learning rate random heads hardly learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from s3prl_plugins.config import plain
from s3prl_plugins.errors import CheckpointError, ConfigError, nearest
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.er_folds import er_fold
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.untrusted import load_plain

__all__ = ["TrainedHead", "expert_state", "init_heads", "read_head", "stock_head", "stock_places"]

_UTTERANCE = {"projector": "network.hidden_layers.0", "model.post_net.linear": "network.final_proj"}
_LSTM = {"projector": "network.proj", "model.rnns": "network.rnns", "model.linear": "network.linear"}
_XVECTOR = {
    "connector": "network.projector",
    "model.framelevel_feature_extractor.module": "network.tdnns.module",
    "model.utterancelevel_feature_extractor": "network.affine",
    "objective": "objective",
}
_STOCK_NAMES: dict[str, dict[str, str]] = {
    "asr": _LSTM,
    "sf": _LSTM,
    "pr": {"projector": "network.hidden_layers.0", "model.linear": "network.final_proj"},
    "sd": {"model": "network"},
    "asv": _XVECTOR,
    **dict.fromkeys(("er", "ic", "ks", "sid"), _UTTERANCE),
}
"""Task -> where the parameters of s3prl's legacy expert stand in our head, by the beginning of their names."""


@dataclass(frozen=True)
class TrainedHead:
    """One task's head, read from a checkpoint."""

    head: dict[str, Tensor]
    """State of the head, by our names."""
    layers: Tensor | None
    """Weights of the hidden states before the softmax (states,); None where the upstream has a single state."""
    labels: Any = None
    """The label inventory; None in stock checkpoints, which hold none."""
    er_fold: str | None = None
    """The fold of ER that was kept out of training."""


def init_heads(model: JointModel, paths: Mapping[str, str | Path], shared: bool) -> None:
    """Put heads that were trained alone into `model`, and their layer weights where each task has its own.

    :param paths: task -> what `read_head` takes.
    :param shared: whether all tasks have one set of layer weights, which then stays as it is.
    :raises CheckpointError: a checkpoint holds no such head, or one of other sizes or labels.
    """
    for task, path in paths.items():
        if task not in model.heads:
            raise ConfigError(f"--init-heads names task {task!r}, which is not trained; {nearest(task, model.heads)}")
        trained = read_head(Path(path), task)
        if trained.labels is not None and plain(trained.labels) != plain(model.labels[task]):
            raise CheckpointError(f"the labels of the {task!r} head in {path} are not those of the corpus; use another")
        _load(model.heads[task], trained.head, f"the {task!r} head in {path}")
        if trained.layers is not None and not shared:
            _load(model.featurizers[task], {"weights": trained.layers}, f"the layer weights for {task!r} in {path}")


def read_head(path: Path, task: str) -> TrainedHead:
    """The head of `task` and its layer weights.

    :param path: folder or `states-<step>.ckpt` of one of our runs, or a checkpoint of s3prl's own runner.
    """
    if path.is_dir():
        return _ours(path, task)
    state = _states(path)
    if "Downstream" in state:
        return stock_head(state, path, task)
    return _ours(path, task)


def stock_head(state: Mapping[str, Any], path: Path, task: str) -> TrainedHead:
    """The head of `task` in the content of a checkpoint of s3prl's own runner."""
    places = stock_places(task, state["Downstream"])
    if not places:
        raise CheckpointError(f"{path} holds no head of {task!r} under the names of s3prl's expert; use another")
    fold = None
    if task == "er":
        given = getattr(state.get("Args"), "downstream_variant", None)
        data = state.get("Config", {}).get("downstream_expert", {}).get("datarc", {})
        fold = given or data.get("test_fold")
    head = {ours: state["Downstream"][theirs] for theirs, ours in places.items()}
    return TrainedHead(head, state.get("Featurizer", {}).get("weights"), None, fold)


def stock_places(task: str, names: Iterable[str]) -> dict[str, str]:
    """Parameter of s3prl's expert -> its name in our head; what our head lacks is left out."""
    return {
        name: ours + name.removeprefix(theirs)
        for name in names
        for theirs, ours in _STOCK_NAMES[task].items()
        if name.startswith(f"{theirs}.")
    }


def expert_state(task: str, head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of our head by the names of s3prl's expert."""
    return {
        theirs + name.removeprefix(ours): value
        for name, value in head.items()
        for theirs, ours in _STOCK_NAMES[task].items()
        if name.startswith(f"{ours}.")
    }


def _ours(path: Path, task: str) -> TrainedHead:
    newest, _ = checkpoint.newest_whole(path)
    model = checkpoint.load_tensors(newest, "model")
    head = _below(model["heads"], task)
    if not head:
        raise CheckpointError(f"{path} holds no head of {task!r}; {nearest(task, model['labels'])}")
    layers = model["featurizers"].get(f"{task}.weights")
    return TrainedHead(head, layers, model["labels"][task], er_fold(newest.config))


def _states(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], load_plain(path, "pass a run folder or a states-*.ckpt"))


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


def _load(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    try:
        module.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{what} does not fit ({detail}); use the task settings and upstream it was made with"
        ) from error
