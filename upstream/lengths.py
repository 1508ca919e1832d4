"""States of utterances of several lengths, each computed as if it were alone, under the names s3prl gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["named_states", "states_alone"]


def states_alone(wavs: Sequence[Tensor], compute: Callable[[list[Tensor]], Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """States of every utterance, in order, (utterances, frames, dim) per layer; `compute` sees only equal lengths at once.

    Rows of shorter utterances end in copies of their last frame: s3prl keeps up to two frames an utterance more than the
    convolutions give, and S3PRLUpstream fills them for a single utterance in the same way.

    :param wavs: per utterance (samples,).
    :param compute: waves of one length to states, (utterances, frames, dim) per layer.
    """
    places: dict[int, list[int]] = {}
    for place, wav in enumerate(wavs):
        places.setdefault(len(wav), []).append(place)
    groups = [compute([wavs[place] for place in group]) for group in places.values()]
    order = torch.tensor([place for group in places.values() for place in group]).argsort()
    return tuple(_joined(layer)[order] for layer in zip(*groups))


def named_states(states: tuple[Tensor, ...]) -> dict[str, Any]:
    """What an upstream returns: `hidden_states`, and each of them by s3prl's other names."""
    numbered = {f"hidden_state_{layer}": state for layer, state in enumerate(states)}
    return {"hidden_states": states, "last_hidden_state": states[-1], **numbered}


def _joined(states: Sequence[Tensor]) -> Tensor:
    """(utterances, frames, dim) of groups of other lengths, in one tensor; each row goes on with its last frame."""
    longest = max(state.shape[1] for state in states)
    frames = torch.arange(longest, device=states[0].device)
    return torch.cat([state[:, frames.clamp(max=state.shape[1] - 1)] for state in states])
