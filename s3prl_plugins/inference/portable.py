"""All that a model needs to answer, as plain data: from a run's folder, or in one file that needs no corpus.

The file is s3prl's converted HuBERT format with the entry `mtl` of `multitask/export.py`, so that it is an upstream
too (`-u mtl_hubert_local -k FILE`), and one entry more, `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn

from s3prl_plugins.config import plain
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.inference.calibration import saved_calibration
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.trunk import Padding, Trunk
from s3prl_plugins.multitask.upstream import build_upstream
from s3prl_plugins.upstream.convolutions import check_convolutions

__all__ = ["ENTRY", "Portable", "from_content", "from_run", "heads_config"]

ENTRY = "answers"
FORMAT = 1
_HUBERT = ("task_cfg", "model_cfg", "dictionaries_symbols", "model_weight")


@dataclass(frozen=True)
class Portable:
    """A model before it is built."""

    place: str
    """What errors call it."""
    config: dict[str, Any]
    """`size`, `tasks` and `superb`, as in a run's configuration."""
    labels: dict[str, Any]
    featurizers: dict[str, Tensor]
    heads: dict[str, Tensor]
    padding: Padding
    selection: str = "hidden_states"
    layer: int | None = None
    normalize: bool = False
    shared: bool = False
    """Whether all tasks have one set of layer weights."""
    hubert: dict[str, Any] | None = None
    """s3prl's converted HuBERT checkpoint; None where the encoder is another one, or was not finetuned."""
    args: dict[str, Any] = field(default_factory=dict)
    """s3prl's arguments, which name an encoder that is not here."""
    upstream: dict[str, Tensor] | None = None
    """Weights of a finetuned encoder that is no HuBERT."""
    calibration: dict[str, dict[str, float]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def build(self, device: torch.device) -> JointModel:
        """The network with its weights.

        :raises CheckpointError: weights and configuration do not fit, or the encoder of a frozen run cannot be had.
        """
        trunk = Trunk(self._encoder(), self.padding, self.selection, self.layer)
        joint = JointModel(trunk, task_configs(self.config), self.labels, 0, False, self.shared, self.normalize)
        try:
            if self.upstream is not None:
                joint.trunk.upstream.load_state_dict(self.upstream)
            joint.featurizers.load_state_dict(self.featurizers)
            joint.heads.load_state_dict(self.heads)
        except RuntimeError as error:
            detail = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.place}: weights and configuration do not fit ({detail}); use another"
            ) from error
        return joint.to(device)

    def _encoder(self) -> nn.Module:
        if self.hubert is None:
            with torch.random.fork_rng(devices=[]):
                return build_upstream(stock_args(**self.args))
        from s3prl.upstream.hubert.expert import UpstreamExpert

        buffer = BytesIO()
        torch.save(self.hubert, buffer)
        buffer.seek(0)
        try:
            check_convolutions(self.hubert["model_cfg"]["conv_feature_layers"])
            with torch.random.fork_rng(devices=[]):
                upstream: nn.Module = UpstreamExpert(buffer)
        except (RuntimeError, TypeError, ValueError) as error:
            detail = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{self.place}: its encoder cannot be built ({detail}); use another") from error
        return upstream

    def entry(self) -> dict[str, Any]:
        """What a file holds beside the encoder."""
        return {
            "format": FORMAT,
            "config": self.config,
            "labels": self.labels,
            "featurizers": self.featurizers,
            "heads": self.heads,
            "selection": self.selection,
            "layer": self.layer,
            "normalize": self.normalize,
            "shared": self.shared,
            "calibration": self.calibration,
            "about": self.about,
        }


def from_run(found: checkpoints.Checkpoint) -> Portable:
    """The model of a run's checkpoint, with the settings its evaluation chose on dev.

    ASR answers greedily, whatever language model the run was evaluated with.

    :raises CheckpointError: its tensors cannot be read.
    """
    saved, args, config = checkpoints.load_tensors(found, "model"), found.args, found.config
    weights, parts = saved.get("upstream"), saved.get("hubert")
    hubert = None
    if weights is not None and parts is not None:
        prefix = "model."
        model = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        hubert = {**parts, "model_weight": model}
    return Portable(
        place=str(found.path),
        config=heads_config(config),
        labels=saved["labels"],
        featurizers=saved["featurizers"],
        heads=saved["heads"],
        padding=config["encoder"]["padding"],
        selection=args["upstream_feature_selection"],
        layer=args["upstream_layer_selection"],
        normalize=bool(args["upstream_feature_normalize"]),
        shared=config["featurizer"] == "shared",
        hubert=hubert,
        args={**args, "init_ckpt": None, "past_exp": None},
        upstream=weights if hubert is None else None,
        calibration=saved_calibration(found.path.parent, found.step),
        about={"step": found.step, "seed": args["seed"], "upstream": args["upstream"], "size": config["size"]},
    )


def from_content(content: Any, place: str) -> Portable:
    """The model in what `s3prl-plugins export --with-heads` or `--to-folder` wrote; weights become float32.

    :raises CheckpointError: it is another file.
    """
    entry = content.get(ENTRY) if isinstance(content, dict) else None
    if entry is None:
        holds = "an encoder without heads" if isinstance(content, dict) and "mtl" in content else "no model of ours"
        raise CheckpointError(
            f"{place} must be a run's folder, its states-*.ckpt or a file of `s3prl-plugins export --with-heads`, "
            f"found {holds}; pass one of those"
        )
    if entry.get("format") != FORMAT:
        raise CheckpointError(
            f"{place} has format {entry.get('format')!r}, this version reads {FORMAT}; export it anew"
        )
    fields = {name: value for name, value in entry.items() if name != "format"}
    try:
        for part in ("featurizers", "heads"):
            fields[part] = {
                name: value.float() if value.is_floating_point() else value for name, value in fields[part].items()
            }
        hubert = {name: content[name] for name in _HUBERT}
        return Portable(place=place, padding=content["mtl"]["padding"], hubert=hubert, **fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{place} lacks a part or has one too many ({error}); export it anew") from error


def heads_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a model keeps of a run's configuration; no language model, whose files lie elsewhere."""
    chosen: dict[str, Any] = plain({name: config[name] for name in ("size", "tasks", "superb")})
    if "asr" in chosen["superb"]:
        chosen["superb"]["asr"].setdefault("head", {})["lm"] = None
    return chosen
