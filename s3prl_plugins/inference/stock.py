"""Checkpoints of stock s3prl's runner (`states-*.ckpt`, `dev-best.ckpt`) as models, without the corpora of their experts."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.errors import CheckpointError, ConfigError, CorpusError
from s3prl_plugins.inference.portable import Portable, heads_config
from s3prl_plugins.inference.stock_labels import Labels, read_labels, stock_labels
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.init_heads import stock_head, stock_places
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.tasks import read_tasks

__all__ = ["from_stock"]

_TASKS = {
    "asr": "asr", "ctc": "", "diarization": "sd", "emotion": "er", "fluent_commands": "ic", "multitask": "",
    "speech_commands": "ks", "sv_voxceleb1": "asv", "voxceleb1": "sid",
}  # fmt: skip
"""s3prl's `-d` -> task."""
_CTC = {"libriphone": "pr", "snips": "sf"}
"""`corpus.name` of `-d ctc` -> task."""


def from_stock(content: Mapping[str, Any], place: Path, labels: Labels | None = None) -> Portable:
    """The model of a checkpoint's content: sizes from the weights, labels as `stock_labels` finds them.

    The encoder is the one that `-u` and `-k` of that run name, with the weights of `-f` if they are in the file; it sees
    padding as stock does. Covered are SUPERB's networks of the nine tasks, and `downstream/multitask/expert.py`.

    :param labels: of the head; of a joint expert a mapping from tasks to labels.
    :raises CheckpointError: no such expert, another network, or labels that cannot be found.
    """
    expert, args, config = _parts(content, place)
    if args.get("from_hf_hub"):
        raise CheckpointError(
            f"{place} has an encoder that is code on the Hugging Face Hub, which is not run; use another"
        )
    args = {**vars(stock_args()), **args, "init_ckpt": None, "past_exp": None, "upstream_refresh": False}
    if any(name.startswith("heads.") for name in expert):
        chosen = _joint(expert, config, labels, place)
    else:
        chosen = _single(content, args, config, labels, place)
    size, superb, found, heads = chosen
    weights = content.get("Featurizer", {}).get("weights")
    return Portable(
        place=str(place),
        config=heads_config({"size": size, "tasks": list(found), "superb": superb}),
        labels=found,
        featurizers={} if weights is None else {f"{task}.weights": weights for task in found},
        heads=heads,
        padding="batch",
        selection=args["upstream_feature_selection"],
        layer=args["upstream_layer_selection"],
        normalize=bool(args["upstream_feature_normalize"]),
        shared=True,
        args=args,
        upstream=content.get("Upstream"),
        about={"step": content.get("Step"), "seed": args["seed"], "upstream": args["upstream"], "size": size},
    )


_Chosen = tuple[str, dict[str, Any], dict[str, Any], dict[str, Tensor]]
"""Size, settings of the tasks, labels of the tasks, weights of the heads."""


def _parts(content: Mapping[str, Any], place: Path) -> tuple[dict[str, Tensor], dict[str, Any], Mapping[str, Any]]:
    expert, args, config = (content.get(name) for name in ("Downstream", "Args", "Config"))
    whole = isinstance(expert, dict) and isinstance(args, argparse.Namespace) and isinstance(config, Mapping)
    states = [expert, *(content.get(name) or {} for name in ("Featurizer", "Upstream"))]
    if not whole or not all(isinstance(state, dict) and _is_state(state) for state in states):
        raise CheckpointError(
            f"{place} must hold Downstream, Args and Config as s3prl's runner writes them, found {_kinds(content)}; use another"
        )
    return expert, vars(args), config  # type: ignore[return-value]


def _is_state(state: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items())


def _kinds(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {type(value).__name__}" for name, value in content.items())[:120]


def _joint(expert: Mapping[str, Tensor], config: Mapping[str, Any], labels: Labels | None, place: Path) -> _Chosen:
    """Of our own expert, whose configuration says everything but the labels."""
    try:
        size, superb = config["size"], config.get("superb") or {}
        configs = task_configs({"size": size, "tasks": config["tasks"], "superb": superb})
        root = Path(config["corpus_root"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{place} lacks {error} in its configuration; use another") from error
    given = read_labels("multitask", labels) if labels is not None else {}
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"labels of {place} must map its tasks to their labels, found {type(given).__name__}; mend them"
        )
    found = {}
    for task, data in read_tasks(configs, root).items():
        try:
            found[task] = given[task] if task in given else data.labels()
        except CorpusError as error:
            raise CheckpointError(
                f"{place} holds no labels of its {task!r} head ({error}); pass them with labels={{TASK: LABELS}}, "
                "or --labels FILE.json"
            ) from error
    heads = {name.removeprefix("heads."): value for name, value in expert.items() if name.startswith("heads.")}
    return size, {task: superb.get(task) or {} for task in found}, found, heads


def _single(
    content: Mapping[str, Any], args: Mapping[str, Any], config: Mapping[str, Any], labels: Labels | None, place: Path
) -> _Chosen:
    chosen = config.get("downstream_expert")
    chosen = chosen if isinstance(chosen, Mapping) else {}
    task = _task(args, chosen, place)
    expert = content["Downstream"]
    trained = stock_head(content, place, task)
    if spare := sorted(set(expert) - set(stock_places(task, expert)) - {"best_score"}):
        raise CheckpointError(f"{place} has a network that is not SUPERB's of task {task!r} ({spare[0]}); use another")
    if task in ("asr", "sf"):
        _check_recurrent(chosen.get("modelrc") or chosen.get("model"), place)
    try:
        outputs, sizes = _sizes(task, trained.head)
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{place} has a network that is not SUPERB's of task {task!r} (no {error}); use another"
        ) from error
    if task == "sd":
        sizes["frame_shift"] = (chosen.get("datarc") or {}).get("frame_shift")
    inventory = stock_labels(task, outputs, labels, chosen, place.parent, place)
    heads = {f"{task}.{name}": value for name, value in trained.head.items()}
    return "paper", {task: {"head": sizes}}, {task: inventory}, heads


def _task(args: Mapping[str, Any], config: Mapping[str, Any], place: Path) -> str:
    name = str(args.get("downstream"))
    task = _TASKS.get(name, "")
    if name == "ctc":
        corpus = config.get("corpus") or {}
        name = f"ctc with corpus.name {corpus.get('name')}"
        task = _CTC.get(str(corpus.get("name")).lower(), "")
    if not task:
        known = ", ".join(
            [*(key for key, value in _TASKS.items() if value), *(f"ctc with corpus.name {key}" for key in _CTC)]
        )
        raise CheckpointError(f"{place} was trained with -d {name}, which has no head here; known: {known}")
    return task


def _check_recurrent(model: Any, place: Path) -> None:
    """Whatever of s3prl's RNNs leaves no trace in the shapes of the weights."""
    model = model if isinstance(model, Mapping) else {}
    network = model.get("RNNs") if model.get("select") == "RNNs" else None
    network = network if isinstance(network, Mapping) else {}
    rates, total = network.get("sample_rate"), network.get("total_rate", 320)
    every_frame = total == -1 or network.get("sample_style") == "concat"  # else the LSTM's input would be wider
    if str(network.get("module")).upper() != "LSTM" or not every_frame or any(rate != 1 for rate in rates or [0]):
        raise CheckpointError(
            f"{place} must have select RNNs with module LSTM, sample_rate 1 and total_rate -1, found select "
            f"{model.get('select')}, {network.get('module')}, {rates}, {total}; use another"
        )


def _sizes(task: str, head: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
    """Outputs, and the head's configuration."""
    shapes = {name.removeprefix("network."): tuple(value.shape) for name, value in head.items()}
    if task in ("asr", "sf"):
        layers = sum(name.endswith("layer.weight_hh_l0") for name in shapes)
        widths = [shapes[f"rnns.{number}.layer.weight_hh_l0"][1] for number in range(layers)]
        return shapes["linear.weight"][0], {"project_dim": shapes["proj.weight"][0], "hidden_dims": widths}
    if task == "sd":
        layers = sum(name.startswith("rnn.weight_hh_l") for name in shapes)
        speakers = shapes["linear.weight"][0]
        width = {"hidden_size": shapes["rnn.weight_hh_l0"][1]} if layers else {}
        return speakers, {"rnn_layers": layers, "num_speakers": speakers, **width}
    if task == "asv":
        sizes = {
            "embedding_size": shapes["affine.linear1.weight"][0],
            "hidden_size": shapes["projector.weight"][0],
            "aggregation_size": shapes["tdnns.module.4.kernel.weight"][0],
        }
        return shapes["objective.W"][1], sizes
    key = "project_dim" if task == "pr" else "hidden_size"
    return shapes["final_proj.weight"][0], {key: shapes["hidden_layers.0.weight"][0]}
