"""Names of this upstream in s3prl's hub; s3prl calls them with (ckpt, model_config, refresh)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s3prl_plugins.upstream.files import downloaded, given_file
from s3prl_plugins.upstream.mgf.expert import UpstreamExpert

__all__ = ["TINY", "mgf_local", "mgf_tiny", "mgf_url"]

TINY = Path(__file__).parent / "weights" / "mgf_tiny.pt"
"""An MGF of 4.9 M parameters pretrained on synthetic speech."""


def mgf_local(ckpt: str | Path | None = None, **kwargs: Any) -> UpstreamExpert:
    """The encoder in a file of `s3prl-plugins pretrain mgf`.

    :raises CheckpointError: there is no such file, or it is another one.
    """
    return UpstreamExpert(given_file("mgf_local", ckpt), **kwargs)


def mgf_url(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> UpstreamExpert:
    """The same from a URL, downloaded once into s3prl's cache.

    :param refresh: download again.
    """
    return UpstreamExpert(downloaded("mgf_url", ckpt, refresh), **kwargs)


def mgf_tiny(**kwargs: Any) -> UpstreamExpert:
    """The shipped encoder: five hidden states (utterances, frames, 256), 50 frames a second."""
    kwargs.pop("ckpt", None)
    return UpstreamExpert(TINY, **kwargs)
