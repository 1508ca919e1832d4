"""One task of a model as a checkpoint of s3prl's own runner and expert: `inference/stock.py` the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from s3prl_plugins.convert.stock_settings import ASV_WIDTH, NAMES, Place, expert_settings, label_files
from s3prl_plugins.errors import CheckpointError, ConfigError, nearest
from s3prl_plugins.files import save_whole, write_whole
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.inference.loading import read
from s3prl_plugins.inference.portable import Portable
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.init_heads import expert_state
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.upstream.hubert.checkpoint import write_checkpoint

__all__ = ["to_stock", "write_stock"]

_SPEAKERS = 1251
"""Outputs of s3prl's SID expert, whatever the corpus: id10001 to id11251."""
_NEVER = -1e4
"""Logit of a class that was not trained: its probability is 0, and every loss stays finite."""
_BEST = {"asr": 100.0, "asv": 100.0, "pr": 2.0**31}
"""Score of the best checkpoint before the first one, where it is not 0."""


def to_stock(source: Path, task: str, folder: Path, corpus_root: Path | None = None) -> dict[str, str]:
    """`write_stock` of a model by its place.

    :param source: what `inference.loading.load` takes.
    :param corpus_root: None takes that of the run.
    :raises ConfigError: there is no corpus root.
    """
    model = read(source)
    return write_stock(model, task, folder, corpus_root or _corpus_root(source))


def write_stock(model: Portable, task: str, folder: Path, corpus_root: Path) -> dict[str, str]:
    """Write `states-<step>.ckpt` for `python -m s3prl.run_downstream -m evaluate -e FOLDER`, and what it names.

    These are the encoder if the model holds a HuBERT, else the run's `-u` and `-k` stay as they are; and the label files
    of CTC experts. Paths are absolute. ASR is decoded greedily; SD is scored as s3prl's expert scores it, frame by frame.
    With padding `none` utterances are evaluated one by one, which gives the same features; with `batch` s3prl puts
    others together than we do. There is no state of an optimizer: ours has that of all tasks.

    :param corpus_root: folder that the task's relative corpus paths start from.
    :returns: corpus files that are not there: setting below `downstream_expert` -> path.
    :raises CheckpointError: the model has no such head, or one that s3prl's expert cannot hold.
    """
    if task not in model.labels:
        raise CheckpointError(f"{model.place} has no head of task {task!r}; {nearest(task, model.labels)}")
    config, step, folder = task_configs(model.config)[task], model.about.get("step") or 0, folder.absolute()
    place = Place(corpus_root, folder, 1 if model.padding == "none" else config.eval_batch.size)
    settings = expert_settings(config, place)
    weights = model.featurizers.get(f"{task}.weights")
    content = {
        "Downstream": _expert(task, model, corpus_root / config.corpus.path if task == "asv" else None),
        "Featurizer": {} if weights is None else {"weights": weights},
        "Step": step,
        "Epoch": 0,
        "Args": stock_args(**_args(task, model, folder)),
        "Config": {"downstream_expert": settings, **_recipe(config, step)},
    }
    if model.hubert is not None:
        write_checkpoint(folder / "hubert.pt", model.hubert)
    elif model.upstream is not None:
        content["Upstream"] = model.upstream
    for name, text in label_files(task, model.labels[task]).items():
        write_whole(folder / name, text)
    save_whole(folder / f"states-{step}.ckpt", content)
    return {name: path for name, path in _paths(settings) if not Path(path).exists()}


def _corpus_root(source: Path) -> Path:
    try:
        return Path(checkpoints.newest_whole(source)[0].config["corpus_root"])
    except (CheckpointError, KeyError) as error:
        raise ConfigError(f"{source} does not say where its corpora are; pass --corpus-root DIR") from error


def _args(task: str, model: Portable, folder: Path) -> dict[str, Any]:
    known = vars(stock_args())
    args = {name: value for name, value in model.args.items() if name in known}
    for name in ("upstream_ckpt", "upstream_model_config"):
        if args.get(name) and Path(args[name]).exists():
            args[name] = str(Path(args[name]).absolute())
    if model.hubert is not None:
        args |= {"upstream": "hubert_local", "upstream_ckpt": str(folder / "hubert.pt"), "upstream_model_config": None}
    own = {
        "downstream": NAMES[task], "downstream_variant": None, "expdir": str(folder), "config": None,
        "past_exp": None, "init_ckpt": None, "local_rank": None, "upstream_feature_selection": model.selection,
        "upstream_layer_selection": model.layer, "upstream_feature_normalize": model.normalize,
    }  # fmt: skip
    return {**args, **own}


def _recipe(config: TaskConfig, step: int) -> dict[str, Any]:
    """Of the head alone, as many steps from here."""
    recipe = config.recipe
    runner = {
        "total_steps": step + recipe.steps, "gradient_clipping": recipe.clip, "gradient_accumulate_steps": recipe.accumulate,
        "log_step": 100, "eval_step": 1000, "save_step": 1000, "max_keep": 1, "eval_dataloaders": [config.card.dev],
    }  # fmt: skip
    optimizer = {"name": "TorchOptim", "torch_optim_name": recipe.optimizer, "lr": recipe.lr}
    parts: dict[str, Any] = {"runner": runner, "optimizer": optimizer}
    return parts if config.specaug is None else {**parts, "specaug": dict(config.specaug)}


def _expert(task: str, model: Portable, vox: Path | None) -> dict[str, Tensor]:
    """State of the expert.

    :param vox: VoxCeleb1, every training speaker of which has a place in the ASV expert's loss.
    """
    prefix = f"{task}."
    head = {name.removeprefix(prefix): value for name, value in model.heads.items() if name.startswith(prefix)}
    state = expert_state(task, head)
    if len(state) != len(head):
        raise CheckpointError(f"{model.place} has a head that s3prl's expert of {task!r} cannot hold; use another")
    if task == "sid":
        places = [_number(name, model.place) for name in model.labels[task]["speaker"]]
        weight, bias = "model.post_net.linear.weight", "model.post_net.linear.bias"
        state[weight] = _spread(state[weight], places, _SPEAKERS, 0.0)
        state[bias] = _spread(state[bias], places, _SPEAKERS, _NEVER)
    elif task == "asv":
        state = _widened(state)
        if vox is not None and (vox / "dev" / "wav").is_dir():
            names = model.labels[task]
            known = sorted({*names, *(path.name for path in (vox / "dev" / "wav").iterdir() if path.is_dir())})
            places = [known.index(name) for name in names]
            state["objective.W"] = _spread(state["objective.W"].T, places, len(known), 0.0).T.contiguous()
    return {**state, "best_score": torch.full((1,), _BEST.get(task, 0.0))}


def _widened(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ASV's projection and embedding with zeros to the width of s3prl's expert, which change no cosine."""
    wide, kernel = dict(state), "model.framelevel_feature_extractor.module.0.kernel.weight"
    narrow = len(state["connector.bias"])
    framed = state[kernel].view(len(state[kernel]), -1, narrow)
    wide[kernel] = F.pad(framed, (0, ASV_WIDTH - narrow)).flatten(1)
    second = "model.utterancelevel_feature_extractor.linear2.weight"
    wide[second] = F.pad(state[second], (0, ASV_WIDTH - state[second].shape[1]))
    for name in state:
        if name.startswith(("connector.", "model.utterancelevel_feature_extractor.", "objective.")):
            wide[name] = _spread(wide[name], list(range(len(wide[name]))), ASV_WIDTH, 0.0)
    return wide


def _number(speaker: str, place: str) -> int:
    number = int(speaker[2:]) - 10001 if re.fullmatch(r"id\d{5}", speaker) else -1
    if not 0 <= number < _SPEAKERS:
        raise CheckpointError(
            f"s3prl's expert of 'sid' knows speakers id10001 to id{10000 + _SPEAKERS}, found {speaker!r} in {place}; "
            "it cannot hold this head"
        )
    return number


def _spread(rows: Tensor, places: list[int], count: int, fill: float) -> Tensor:
    """(count, ...): the rows at their places, `fill` elsewhere."""
    spread = rows.new_full((count, *rows.shape[1:]), fill)
    spread[places] = rows
    return spread


def _paths(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one.startswith("/"):
                yield prefix + name, one
