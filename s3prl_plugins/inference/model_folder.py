"""A model as the folder that the Hugging Face Hub shows best: config.json, model.safetensors, README.md.

It holds what the file of `s3prl-plugins export --with-heads` holds: weights in one file, everything else in the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.config import plain
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.files import parse_checked, whole_file, write_checked, write_whole
from s3prl_plugins.inference.portable import ENTRY

__all__ = ["FILES", "is_model_folder", "read_folder", "write_folder"]

CONFIG, WEIGHTS, CARD = FILES = ("config.json", "model.safetensors", "README.md")
_TYPE = "s3prl_plugins"
_SUM = f"{WEIGHTS} sha256"
_ENCODER = "model_weight"
_HEADS = ("featurizers", "heads")


def is_model_folder(path: Path) -> bool:
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def write_folder(content: Mapping[str, Any], card: str, folder: Path) -> Path:
    """Write a folder; files of these names in it are replaced.

    :param content: of a file of `export --with-heads`.
    """
    from safetensors.torch import save

    tensors = {f"{part}.{name}": tensor.detach().cpu().contiguous() for part, name, tensor in _tensors(content)}
    entry = {name: value for name, value in content[ENTRY].items() if name not in _HEADS}
    config = {**{name: value for name, value in content.items() if name != _ENCODER}, ENTRY: entry, "model_type": _TYPE}
    # Tasks may have one set of layer weights, and a file of safetensors shares no memory.
    weights = save({name: tensor.clone() for name, tensor in tensors.items()})
    with whole_file(folder / WEIGHTS) as file:
        file.write(weights)
    write_checked(folder / CONFIG, plain(config) | {_SUM: hashlib.sha256(weights).hexdigest()}, indent=1)
    write_whole(folder / CARD, card)
    return folder


def read_folder(folder: Path) -> dict[str, Any]:
    """The content of the file that the folder stands for.

    :raises CheckpointError: it is of something else, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content: Any = parse_checked((folder / CONFIG).read_text(encoding="utf-8"))
        data = (folder / WEIGHTS).read_bytes()
        weights = load(data)
    except (OSError, ValueError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"model folder {folder} cannot be read ({reason}); export or download it anew") from error
    if (
        not isinstance(content, dict)
        or content.pop("model_type", None) != _TYPE
        or not isinstance(content.get(ENTRY), dict)
    ):
        raise CheckpointError(
            f"{folder / CONFIG} must be of `s3prl-plugins export --to-folder`, found another model's; pass one of those"
        )
    if content.pop(_SUM, None) not in (None, hashlib.sha256(data).hexdigest()):
        raise CheckpointError(
            f"{folder / WEIGHTS} does not match its checksum in {CONFIG}; export or download both anew"
        )
    parts: dict[str, dict[str, Tensor]] = {_ENCODER: {}, **{part: {} for part in _HEADS}}
    for name, tensor in weights.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise CheckpointError(f"{folder / WEIGHTS} holds {name!r}, which is no part of a model; export it anew")
        parts[part][rest] = tensor
    content[ENTRY] |= {part: parts[part] for part in _HEADS}
    return {**content, _ENCODER: parts[_ENCODER]}


def _tensors(content: Mapping[str, Any]) -> Iterator[tuple[str, str, Tensor]]:
    for part, weights in ((_ENCODER, content[_ENCODER]), *((part, content[ENTRY][part]) for part in _HEADS)):
        for name, tensor in weights.items():
            yield part, name, tensor
