"""The shared encoder of a joint run as an s3prl upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s3prl.upstream.hubert.expert import UpstreamExpert as HubertExpert
from torch import Tensor

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.upstream.convolutions import check_convolutions
from s3prl_plugins.upstream.files import read_content
from s3prl_plugins.upstream.lengths import named_states, states_alone

__all__ = ["UpstreamExpert"]


class UpstreamExpert(HubertExpert):  # type: ignore[misc]  # s3prl is untyped
    """s3prl's HuBERT with weights that `s3prl-plugins export` wrote, in the padding mode of the run they come from.

    :param ckpt: file in s3prl's converted format with an entry `mtl`.
    :raises CheckpointError: it is not such a file.

    `padding`: with `batch` the output is that of s3prl's `hubert_local`, where an utterance's states depend on its
    neighbours. With `none` every utterance is computed as if alone (`lengths.states_alone`).
    """

    def __init__(self, ckpt: str | Path, **kwargs: Any) -> None:
        self.padding: str = _metadata(Path(ckpt))["padding"]
        super().__init__(str(ckpt), **kwargs)

    def __call__(self, wavs: list[Tensor], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """:param wavs: per utterance (samples,) at 16 kHz.

        :returns: `hidden_states`: input of each layer and output of the last, each (utterances, frames, dim), and
            s3prl's other views of them.
        """
        # s3prl gathers the states in __call__, after forward and its hooks.
        if self.padding == "batch":
            return dict(super().__call__(wavs, *args, **kwargs))
        infos: list[Any] = []

        def compute(group: list[Tensor]) -> tuple[Tensor, ...]:
            answer = super(UpstreamExpert, self).__call__(group)
            infos[:] = answer["_hidden_states_info"]
            return tuple(answer["hidden_states"])

        states = states_alone(wavs, compute)
        return {"_hidden_states_info": tuple(infos), **named_states(states)}


def _metadata(path: Path) -> dict[str, Any]:
    """What the checkpoint says of the run, without reading its weights."""
    content = read_content(path, "pass a file of `s3prl-plugins export`", mmap=True)
    found = content.get("mtl") if isinstance(content, dict) else None
    if not isinstance(found, dict) or found.get("padding") not in ("batch", "none"):
        raise CheckpointError(
            f"{path} is not a file of `s3prl-plugins export` (no entry 'mtl'); a plain HuBERT is loaded by hubert_local"
        )
    layers = content["model_cfg"]["conv_feature_layers"]
    try:
        check_convolutions(layers)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; export the run anew") from error
    return found
