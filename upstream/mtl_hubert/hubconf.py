"""Names of this upstream in s3prl's hub; s3prl calls them with (ckpt, model_config, refresh)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s3prl_plugins.upstream.files import downloaded, given_file
from s3prl_plugins.upstream.mtl_hubert.expert import UpstreamExpert

__all__ = ["SUPERB_TINY", "TINY", "mtl_hubert_local", "mtl_hubert_tiny", "mtl_hubert_url"]

TINY = Path(__file__).parent / "weights" / "mtl_hubert_tiny.pt"
"""`hubert_tiny` after joint finetuning with all nine tasks of mini-SUPERB; README.md beside this file says how."""

SUPERB_TINY = TINY.with_name("superb_tiny.pt")
"""The same encoder with its nine heads, for `s3prl_plugins.load`; superb_tiny.md beside it is its card."""


def mtl_hubert_local(ckpt: str | Path | None = None, **kwargs: Any) -> UpstreamExpert:
    """The encoder in a file that `s3prl-plugins export` wrote.

    :raises CheckpointError: there is no such file, or it is another one.
    """
    return UpstreamExpert(given_file("mtl_hubert_local", ckpt), **kwargs)


def mtl_hubert_url(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> UpstreamExpert:
    """The same from a URL, downloaded once into s3prl's cache.

    :param refresh: download again.
    """
    return UpstreamExpert(downloaded("mtl_hubert_url", ckpt, refresh), **kwargs)


def mtl_hubert_tiny(**kwargs: Any) -> UpstreamExpert:
    """The shipped encoder of 3.8 M parameters, padding `none`: five hidden states (utterances, frames, 256)."""
    kwargs.pop("ckpt", None)
    return UpstreamExpert(TINY, **kwargs)
