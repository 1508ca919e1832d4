"""Packages that s3prl's modules import and do not need, or need for one small class."""

from __future__ import annotations

from types import SimpleNamespace

from s3prl_plugins.compat.repair import Absence

__all__ = ["ABSENCES"]


def _strtobool(value: str) -> int:
    """What distutils.util.strtobool did."""
    yes, no = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0")
    if value.lower() not in (*yes, *no):
        raise ValueError(f"truth value must be one of {', '.join(yes + no)}, found {value!r}")
    return int(value.lower() in yes)


def _distributed_sampler() -> dict[str, object]:
    """catalyst's DistributedSamplerWrapper: every process takes its share of what another sampler draws."""
    from collections.abc import Iterator
    from typing import Any

    from torch.utils.data import DistributedSampler, Sampler

    class DistributedSamplerWrapper(DistributedSampler[int]):
        def __init__(self, sampler: Sampler[int], **arguments: Any) -> None:
            super().__init__(list(sampler), **arguments)  # type: ignore[arg-type]
            self.sampler = sampler

        def __iter__(self) -> Iterator[int]:
            drawn = list(self.sampler)
            return iter([drawn[place] for place in super().__iter__()])

    return {"DistributedSamplerWrapper": DistributedSamplerWrapper}


def _unused(*names: str) -> dict[str, object]:
    return dict.fromkeys(names)


ABSENCES = (
    Absence(
        "catalyst.data.sampler", ("s3prl.downstream.speech_commands.expert",),
        "catalyst, which s3prl does not declare", "the one sampler that is used", _distributed_sampler,
    ),
    Absence(
        "sox", ("s3prl.downstream.sv_voxceleb1.dataset", "s3prl.downstream.voxceleb2_ge2e.dataset"),
        "the package sox, which s3prl does not declare", "imported there, never used",
        lambda: _unused("Transformer"),
    ),
    Absence(
        "pkg_resources", ("s3prl.downstream.voxceleb2_ge2e.dataset",),
        "removed in setuptools 82", "imported there, never used", _unused,
    ),
    Absence(
        "distutils.util", ("s3prl.upstream.mockingjay.builder", "s3prl.upstream.distiller.builder"),
        "removed in Python 3.12", "strtobool", lambda: {"strtobool": _strtobool},
    ),
    Absence(
        "chunk", ("s3prl.dataio.dataset.diarization",),
        "removed in Python 3.13", "imported there, never used", _unused,
    ),
    Absence(
        "sed_eval", ("s3prl.task._hear_score",),
        "sed_eval, which s3prl does not declare", "used by HEAR's event detection only",
        lambda: {"sound_event": SimpleNamespace(**_unused("SoundEventMetrics", "SegmentBasedMetrics", "EventBasedMetrics"))},
    ),
    Absence(
        "dcase_util.containers", ("s3prl.task._hear_score",),
        "dcase_util, which s3prl does not declare", "used by HEAR's event detection only",
        lambda: _unused("MetaDataContainer"),
    ),
)  # fmt: skip
