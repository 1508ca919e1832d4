"""A run's encoder and heads in one file beside its model card, or in a folder for the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.files import write_whole
from s3prl_plugins.inference.calibration import calibration
from s3prl_plugins.inference.card import hub_card, model_card
from s3prl_plugins.inference.loading import NAMES
from s3prl_plugins.inference.model_folder import is_model_folder, read_folder, write_folder
from s3prl_plugins.inference.portable import ENTRY, from_content, from_run
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.evaluation import CALIBRATED, saved_results
from s3prl_plugins.multitask.export import encoder_content
from s3prl_plugins.multitask.tasks import read_tasks
from s3prl_plugins.upstream.hubert.checkpoint import write_checkpoint

__all__ = ["export_folder", "export_model"]


@dataclass(frozen=True)
class _Exported:
    """What is to be written."""

    content: dict[str, Any]
    """s3prl's converted HuBERT format, `mtl`, and `portable`'s entry."""
    results: dict[str, Any]
    """`results.json` of the run; empty without one."""
    missing: list[str]
    """Tasks whose dev settings are missing."""

    def card(self, name: str) -> str:
        return model_card(name, self.content[ENTRY], self.content["mtl"]["padding"], self.results)


def export_model(
    run_folder: Path, target: Path, half: bool = False, corpus_root: Path | None = None
) -> tuple[Path, Path, list[str]]:
    """Write `portable`'s file of a run's newest whole checkpoint, and its card beside it.

    :param half: float16 on disk.
    :param corpus_root: of the dev splits that thresholds are chosen on; None takes those of the run's evaluation, and the run's
        corpus for what it lacks (with `half` for all), passed over if it is gone.
    :returns: the file, the card, and the tasks whose dev settings are missing.
    :raises CheckpointError: as `encoder_content`.
    :raises CorpusError: a given `corpus_root` lacks a dev split.
    """
    exported = _exported(run_folder, half, corpus_root)
    write_checkpoint(target, exported.content)
    card = target.with_suffix(".md")
    write_whole(card, exported.card(target.stem))
    return target, card, exported.missing


def export_folder(
    source: str | Path, folder: Path, half: bool = False, corpus_root: Path | None = None
) -> tuple[Path, list[str]]:
    """Write `model_folder`'s three files.

    :param source: a run as for `export_model`; or a file or folder that was exported before (or `superb_tiny`), which is
        taken as it is, a file's card from beside it.
    :returns: the folder, and the tasks whose dev settings are missing.
    """
    path = NAMES.get(str(source), Path(source))
    content = _read(path)
    if content is None:
        exported = _exported(path, half, corpus_root)
        content, card = exported.content, exported.card(folder.name)
    elif half or corpus_root:
        raise ConfigError(
            f"float16 and dev settings are chosen when a run is exported, found the exported {source}; pass the run"
        )
    else:
        exported = _Exported(content, {}, _missing(content[ENTRY]))
        beside = path / "README.md" if path.is_dir() else path.with_suffix(".md")
        card = beside.read_text(encoding="utf-8") if beside.is_file() else exported.card(folder.name)
    write_folder(content, hub_card(card, content[ENTRY]), folder)
    return folder, exported.missing


def _read(path: Path) -> dict[str, Any] | None:
    """The content of something exported; None for anything else."""
    if is_model_folder(path):
        content: dict[str, Any] = read_folder(path)
    elif path.is_file():
        content = checkpoints.load_file(path)
        if isinstance(content, dict) and "Checksums" in content:
            return None
    else:
        return None
    from_content(content, str(path))
    return content


def _exported(run_folder: Path, half: bool, corpus_root: Path | None) -> _Exported:
    found, _ = checkpoints.newest_whole(run_folder)
    content, entry = encoder_content(run_folder), from_run(found).entry()
    if half:
        entry |= {part: _rounded(entry[part]) for part in ("featurizers", "heads")}
        content["model_weight"] = _rounded(content["model_weight"])
    content[ENTRY] = entry
    chosen = _missing({**entry, "calibration": {}}) if half or corpus_root else _missing(entry)
    root = corpus_root or Path(found.config["corpus_root"])
    if chosen and (corpus_root is not None or root.is_dir()):
        # Of the weights as they are rounded in the file.
        joint = from_content(content, str(run_folder)).build(torch.device("cpu")).eval()
        configs = {task: config for task, config in task_configs(entry["config"]).items() if task in chosen}
        entry["calibration"] = {**entry["calibration"], **calibration(joint, read_tasks(configs, root))}
    return _Exported(content, saved_results(found.path.parent), _missing(entry))


def _missing(entry: dict[str, Any]) -> list[str]:
    return [task for task in CALIBRATED if task in entry["config"]["tasks"] and task not in entry["calibration"]]


def _rounded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
