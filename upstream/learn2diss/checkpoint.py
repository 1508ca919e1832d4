"""Checkpoints of Learn2Diss: a frame encoder, an utterance encoder, or both, and what is known of their training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.config import plain
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.files import save_whole
from s3prl_plugins.seeding import seeded
from s3prl_plugins.upstream.files import on_disk, read_content
from s3prl_plugins.upstream.hubert.checkpoint import load_model
from s3prl_plugins.upstream.learn2diss.encoder import UtteranceEncoder, build_utterance

__all__ = ["Checkpoint", "load_checkpoint", "write_checkpoint"]

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Content of a file; a part it does not hold is None."""

    path: Path
    frame: dict[str, Any] | None
    """Content of a HuBERT checkpoint, as `upstream.hubert.checkpoint` has it."""
    utterance: dict[str, Any] | None
    """`UtteranceEncoder.content`."""
    metadata: dict[str, Any]
    """How it was trained."""

    def frame_encoder(self) -> Any:
        """s3prl's HubertModel, in float32.

        :raises CheckpointError: the file holds none, or a damaged one.
        """
        content = self._part("frame", self.frame)
        try:
            with seeded(0):
                return load_model(content)
        except _FAULTS as error:
            raise self._damaged("frame", error) from error

    def utterance_encoder(self) -> UtteranceEncoder:
        """The other one, likewise."""
        content = self._part("utterance", self.utterance)
        try:
            return build_utterance(content)
        except _FAULTS as error:
            raise self._damaged("utterance", error) from error

    def _part(self, name: str, content: dict[str, Any] | None) -> dict[str, Any]:
        if content is None:
            other = "utterance" if name == "frame" else "frame"
            raise CheckpointError(
                f"{self.path} has no {name} encoder, only the {other} encoder; "
                f"load it with learn2diss_{other}_local, or pass a file of the joint stage"
            )
        return content

    def _damaged(self, name: str, error: Exception) -> CheckpointError:
        reason = " ".join(str(error).split())[:200]
        return CheckpointError(
            f"{self.path}: the {name} encoder cannot be built ({type(error).__name__}: {reason}); {_CURE}"
        )


_FAULTS = (KeyError, TypeError, ValueError, SyntaxError, AttributeError, RuntimeError)
_CURE = "pass a file of `s3prl-plugins pretrain learn2diss`"


def write_checkpoint(
    path: Path,
    frame: Mapping[str, Any] | None,
    utterance: Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
    half: bool = False,
) -> None:
    """Write one encoder or both, whole or not at all.

    :param frame: content of a HuBERT checkpoint (`upstream.hubert.checkpoint`).
    :param utterance: `UtteranceEncoder.content`.
    :param metadata: how they were trained, plain values.
    :param half: as `on_disk`.
    """
    content: dict[str, Any] = {"learn2diss": {"format": _FORMAT}}
    if frame is not None:
        content["frame"] = {**frame, "model_weight": on_disk(frame["model_weight"], half)}
    if utterance is not None:
        content["utterance"] = {**utterance, "weights": on_disk(utterance["weights"], half)}
    content["metadata"] = plain(dict(metadata))
    save_whole(path, content)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """What a file holds; nothing of it is executed.

    :raises CheckpointError: there is no such file, or it is another one, or damaged.
    """
    path = Path(path)
    content = read_content(path, _CURE)
    head = content.get("learn2diss") if isinstance(content, dict) else None
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} is no Learn2Diss checkpoint (learn2diss: {head!r}, not format {_FORMAT}); {_CURE}"
        )
    if not content.keys() & {"frame", "utterance"}:
        raise CheckpointError(f"{path} must hold a frame or an utterance encoder, found neither; {_CURE}")
    return Checkpoint(path, content.get("frame"), content.get("utterance"), content.get("metadata", {}))
