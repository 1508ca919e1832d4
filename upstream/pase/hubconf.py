"""Names of this upstream in s3prl's hub; s3prl calls them with (ckpt, model_config, refresh)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s3prl_plugins.upstream.files import downloaded, given_file
from s3prl_plugins.upstream.pase.expert import UpstreamExpert

__all__ = ["TINY", "pase_multitask_local", "pase_multitask_tiny", "pase_multitask_url"]

TINY = Path(__file__).parent / "weights" / "pase_multitask_tiny.pt"
"""A PASE of 1.7 M parameters pretrained on synthetic speech."""


def pase_multitask_local(ckpt: str | Path | None = None, **kwargs: Any) -> UpstreamExpert:
    """The encoder in a file of `s3prl-plugins pretrain pase`, or in a released PASE+ (FE_e199.ckpt, whose .cfg is not needed).

    :raises CheckpointError: there is no such file, or it is another one.
    """
    return UpstreamExpert(given_file("pase_multitask_local", ckpt), **kwargs)


def pase_multitask_url(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> UpstreamExpert:
    """The same from a URL, downloaded once into s3prl's cache.

    :param refresh: download again.
    """
    return UpstreamExpert(downloaded("pase_multitask_url", ckpt, refresh), **kwargs)


def pase_multitask_tiny(**kwargs: Any) -> UpstreamExpert:
    """The shipped encoder: nine hidden states (utterances, frames, 256), 100 frames a second."""
    kwargs.pop("ckpt", None)
    return UpstreamExpert(TINY, **kwargs)
