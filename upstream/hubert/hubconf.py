"""Names of this upstream in s3prl's hub; s3prl calls them with (ckpt, model_config, refresh)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["TINY", "hubert_tiny"]

TINY = Path(__file__).parent / "weights" / "hubert_tiny.pt"
"""A HuBERT of 3.8 M parameters pretrained on synthetic speech; README.md beside this file says how."""


def hubert_tiny(**kwargs: Any) -> Any:
    """`hubert_tiny`: s3prl's HuBERT with the shipped weights, four layers, 256 wide, 50 frames a second.

    Five hidden states of shape (utterances, frames, 256), as s3prl's `hubert_local` gives them (padding `batch`).
    """
    from s3prl.upstream.hubert.expert import UpstreamExpert

    kwargs.pop("ckpt", None)
    return UpstreamExpert(str(TINY), **kwargs)
