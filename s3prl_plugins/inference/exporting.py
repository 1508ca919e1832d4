"""A run's encoder and heads in one file, and its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from s3prl_plugins.files import write_whole
from s3prl_plugins.inference.calibration import calibration
from s3prl_plugins.inference.card import model_card
from s3prl_plugins.inference.portable import ENTRY, from_content, from_run
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.export import encoder_content
from s3prl_plugins.multitask.tasks import read_tasks
from s3prl_plugins.upstream.hubert.checkpoint import write_checkpoint

__all__ = ["export_model"]

_CALIBRATED = ("sd", "asv")


def export_model(
    run_folder: Path, target: Path, half: bool = False, corpus_root: Path | None = None
) -> tuple[Path, Path, list[str]]:
    """Write `portable`'s file of a run's newest whole checkpoint, and its card beside it.

    :param half: float16 on disk.
    :param corpus_root: of the dev splits that thresholds are chosen on; None is the run's, passed over if it is gone.
    :returns: the file, the card, and the tasks whose dev settings are missing.
    :raises CheckpointError: as `encoder_content`.
    :raises CorpusError: a given `corpus_root` lacks a dev split.
    """
    found, _ = checkpoints.newest_whole(run_folder)
    content = encoder_content(run_folder)
    entry = from_run(found).entry()
    if half:
        for part in ("featurizers", "heads"):
            entry[part] = {name: tensor.half() for name, tensor in entry[part].items()}
    content[ENTRY] = entry
    chosen = [task for task in _CALIBRATED if task in entry["config"]["tasks"]]
    root = corpus_root or Path(found.config["corpus_root"])
    if chosen and (corpus_root is not None or root.is_dir()):
        # Of the weights as they are rounded in the file.
        rounded = content if not half else {**content, "model_weight": _rounded(content["model_weight"])}
        joint = from_content(rounded, str(target)).build(torch.device("cpu")).eval()
        configs = {task: config for task, config in task_configs(entry["config"]).items() if task in chosen}
        entry["calibration"] = calibration(joint, read_tasks(configs, root))
    write_checkpoint(target, content, half)
    results = found.path.parent / "results.json"
    scores: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    card = target.with_suffix(".md")
    write_whole(card, model_card(target.stem, entry, content["mtl"]["padding"], scores))
    return target, card, [task for task in chosen if task not in entry["calibration"]]


def _rounded(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
