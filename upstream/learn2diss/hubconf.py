"""Names of this upstream in s3prl's hub; s3prl calls them with (ckpt, model_config, refresh)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s3prl_plugins.upstream.files import downloaded, given_file
from s3prl_plugins.upstream.learn2diss.expert import UpstreamExpert

__all__ = [
    "TINY",
    "learn2diss_frame_local", "learn2diss_frame_tiny", "learn2diss_frame_url",
    "learn2diss_local", "learn2diss_tiny", "learn2diss_url",
    "learn2diss_utterance_local", "learn2diss_utterance_tiny", "learn2diss_utterance_url",
]  # fmt: skip

TINY = Path(__file__).parent / "weights" / "learn2diss_tiny.pt"
"""Two encoders, 6.9 M parameters together, pretrained on synthetic speech."""


def learn2diss_local(ckpt: str | Path | None = None, **kwargs: Any) -> UpstreamExpert:
    """Both encoders in a file of `s3prl-plugins pretrain learn2diss`; s3prl's `-s frame` or `-s utterance` takes one.

    :raises CheckpointError: there is no such file, it is another one, or it lacks an encoder.
    """
    return UpstreamExpert(given_file("learn2diss_local", ckpt), "both", **kwargs)


def learn2diss_url(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> UpstreamExpert:
    """The same from a URL, downloaded once into s3prl's cache.

    :param refresh: download again.
    """
    return UpstreamExpert(downloaded("learn2diss_url", ckpt, refresh), "both", **kwargs)


def learn2diss_tiny(**kwargs: Any) -> UpstreamExpert:
    """The shipped encoders: ten hidden states (utterances, frames, 256), 50 frames a second."""
    kwargs.pop("ckpt", None)
    return UpstreamExpert(TINY, "both", **kwargs)


def learn2diss_frame_local(ckpt: str | Path | None = None, **kwargs: Any) -> UpstreamExpert:
    """The frame encoder alone: its states are the `hidden_states`. Also for a file of the stage `frame`."""
    return UpstreamExpert(given_file("learn2diss_frame_local", ckpt), "frame", **kwargs)


def learn2diss_frame_url(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> UpstreamExpert:
    """The same from a URL."""
    return UpstreamExpert(downloaded("learn2diss_frame_url", ckpt, refresh), "frame", **kwargs)


def learn2diss_frame_tiny(**kwargs: Any) -> UpstreamExpert:
    """The shipped frame encoder: five hidden states."""
    kwargs.pop("ckpt", None)
    return UpstreamExpert(TINY, "frame", **kwargs)


def learn2diss_utterance_local(ckpt: str | Path | None = None, **kwargs: Any) -> UpstreamExpert:
    """The utterance encoder alone: its states and its embedding. Also for a file of the stage `utterance`."""
    return UpstreamExpert(given_file("learn2diss_utterance_local", ckpt), "utterance", **kwargs)


def learn2diss_utterance_url(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> UpstreamExpert:
    """The same from a URL."""
    return UpstreamExpert(downloaded("learn2diss_utterance_url", ckpt, refresh), "utterance", **kwargs)


def learn2diss_utterance_tiny(**kwargs: Any) -> UpstreamExpert:
    """The shipped utterance encoder: five hidden states, the last of them the embedding at every frame."""
    kwargs.pop("ckpt", None)
    return UpstreamExpert(TINY, "utterance", **kwargs)
