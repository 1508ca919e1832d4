"""The one table of names this package adds to s3prl, and how they get there. To add a name, add a line."""

from __future__ import annotations

import importlib
import warnings
from argparse import Namespace
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["DOWNSTREAMS", "PRETRAININGS", "RUNNERS", "UPSTREAMS", "extend", "resolve", "upstream_entries"]

UPSTREAMS: dict[str, str] = {
    "hubert_tiny": "s3prl_plugins.upstream.hubert.hubconf:hubert_tiny",
    "learn2diss_frame_local": "s3prl_plugins.upstream.learn2diss.hubconf:learn2diss_frame_local",
    "learn2diss_frame_url": "s3prl_plugins.upstream.learn2diss.hubconf:learn2diss_frame_url",
    "learn2diss_local": "s3prl_plugins.upstream.learn2diss.hubconf:learn2diss_local",
    "learn2diss_url": "s3prl_plugins.upstream.learn2diss.hubconf:learn2diss_url",
    "learn2diss_utterance_local": "s3prl_plugins.upstream.learn2diss.hubconf:learn2diss_utterance_local",
    "learn2diss_utterance_url": "s3prl_plugins.upstream.learn2diss.hubconf:learn2diss_utterance_url",
    "mgf_local": "s3prl_plugins.upstream.mgf.hubconf:mgf_local",
    "mgf_url": "s3prl_plugins.upstream.mgf.hubconf:mgf_url",
    "mtl_hubert_local": "s3prl_plugins.upstream.mtl_hubert.hubconf:mtl_hubert_local",
    "mtl_hubert_tiny": "s3prl_plugins.upstream.mtl_hubert.hubconf:mtl_hubert_tiny",
    "mtl_hubert_url": "s3prl_plugins.upstream.mtl_hubert.hubconf:mtl_hubert_url",
    "pase_multitask_local": "s3prl_plugins.upstream.pase.hubconf:pase_multitask_local",
    "pase_multitask_tiny": "s3prl_plugins.upstream.pase.hubconf:pase_multitask_tiny",
    "pase_multitask_url": "s3prl_plugins.upstream.pase.hubconf:pase_multitask_url",
}
"""`-u NAME` and `torch.hub.load(..., NAME)` -> "module:function" that builds the upstream."""

DOWNSTREAMS: dict[str, str] = {
    "multitask": "s3prl_plugins.downstream.multitask",
}
"""`-d NAME` -> the package that holds expert.py."""

RUNNERS: dict[str, str] = {
    "multitask": "s3prl_plugins.multitask.stock:MultitaskRunner",
}
"""`-d NAME` -> "module:class" called with (args, config) in place of s3prl's Runner."""

PRETRAININGS: dict[str, str] = {
    "hubert": "s3prl_plugins.upstream.hubert.pretraining:pretrain",
    "learn2diss": "s3prl_plugins.upstream.learn2diss.pretraining:pretrain",
    "mgf": "s3prl_plugins.upstream.mgf.pretraining:pretrain",
    "pase": "s3prl_plugins.upstream.pase.pretraining:pretrain",
}
"""`s3prl-plugins pretrain NAME` -> "module:function" called with (config, folder, seed, device); returns the checkpoint."""


def resolve(dotted: str) -> Any:
    """The object that "module:name" names."""
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)


def upstream_entries() -> dict[str, Callable[..., Any]]:
    """For each upstream a function of its name that imports it when called."""
    return {name: _entry(name, dotted) for name, dotted in UPSTREAMS.items()}


def extend(module: ModuleType) -> None:
    """Add our names to `s3prl.hub`, or our runners to `s3prl.downstream.runner`; other modules stay as they are."""
    if module.__name__ == "s3prl.hub":
        for name, entry in upstream_entries().items():
            if not hasattr(module, name):
                setattr(module, name, entry)
    elif module.__name__ == "s3prl.downstream.runner":
        vars(module).update(Runner=_runner_class(module.Runner))


def _entry(name: str, dotted: str) -> Callable[..., Any]:
    def entry(*args: Any, **kwargs: Any) -> Any:
        return resolve(dotted)(*args, **kwargs)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"See {dotted}."
    return entry


def _runner_class(stock: Any) -> Any:
    """A subclass of s3prl's Runner that, called with (args, config), returns the runner of `args.downstream`."""

    def new(cls: Any, args: Namespace, config: dict[str, Any]) -> Any:
        _fall_back_to_cpu(args)
        dotted = RUNNERS.get(getattr(args, "downstream", ""))
        # An instance of another class: Python does not call Runner.__init__ on it.
        return resolve(dotted)(args, config) if dotted else stock.__new__(cls)

    return type("Runner", (stock,), {"__new__": new, "__doc__": stock.__doc__, "__module__": stock.__module__})


def _fall_back_to_cpu(args: Namespace) -> None:
    """`--device` is `cuda` by default; where no GPU is visible that means the CPU."""
    device = str(getattr(args, "device", "cpu"))
    if not device.startswith("cuda"):
        return
    import torch

    if not torch.cuda.is_available():
        warnings.warn(f"--device is {device!r} and no GPU is visible; running on the CPU", stacklevel=3)
        args.device = "cpu"
