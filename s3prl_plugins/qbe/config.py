"""The configuration of query by example: `configs/superb/qbe_{mini,paper}.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from s3prl_plugins.config import build, load_yaml
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.multitask.config import shipped_configs
from s3prl_plugins.multitask.trunk import Padding
from s3prl_plugins.qbe.dtw import SearchConfig

__all__ = ["QbeConfig", "is_qbe", "qbe_config", "qbe_mapping"]


@dataclass(frozen=True)
class QbeConfig:
    """Everything about an evaluation but the encoder, the device and the folder, which are arguments."""

    task: Literal["qbe"]
    size: Literal["paper", "mini"]
    """Whether the corpus is the real one or mini-SUPERB's."""
    corpus_root: Path
    """Folder that the relative corpus path starts from."""
    corpus: QbeReader.Config = field(default_factory=QbeReader.Config)
    search: SearchConfig = field(default_factory=SearchConfig)
    padding: Padding = "batch"
    """Utterances are computed one by one; `batch` keeps round(samples / rate) frames of each, as stock s3prl, `none` the
    frames the convolutions give. The encoder of a run is used with that run's padding."""
    memory_gb: float = 4.0
    """Main memory for hidden states, gigabytes; as many layers as fit are computed in one pass over the audio, at least one.
    Searching a layer takes as much again as its states."""


def qbe_mapping(name: str | Path) -> dict[str, Any]:
    """A configuration by path, or by the name of one that comes with this package (`qbe_mini`)."""
    if Path(name).is_file():
        return load_yaml(name)
    shipped = {path.stem: path for path in (shipped_configs() / "superb").glob("qbe_*.yaml")}
    if str(name).removesuffix(".yaml") in shipped:
        return load_yaml(shipped[str(name).removesuffix(".yaml")])
    raise ConfigError(
        f"no config file {str(name)!r} here, and none of that name in the package; {nearest(str(name), shipped)}"
    )


def is_qbe(name: str | Path) -> bool:
    """Whether a configuration, by path or name, is one of query by example."""
    try:
        return bool(qbe_mapping(name).get("task") == "qbe")
    except ConfigError:
        return False


def qbe_config(mapping: Mapping[str, Any]) -> QbeConfig:
    """Check and convert a configuration."""
    return build(QbeConfig, mapping)
