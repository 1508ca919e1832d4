"""s3prl's own lines that do harm or need a GPU, replaced in the module that holds them."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import wraps
from types import ModuleType
from typing import Any

from s3prl_plugins.compat.repair import Repair
from s3prl_plugins.errors import ConfigError

__all__ = ["REPAIRS", "override"]


def override(string: str, args: Namespace, config: dict[str, Any]) -> None:
    """s3prl's `-o`: set `config.KEY.KEY=VALUE` and `args.NAME=VALUE` options, joined by `,,`, in place.

    A value is a Python literal, else the bare string. It is not evaluated: `1/3`, an expression to s3prl, is a string.
    """
    from s3prl_plugins import config as configuration

    for option in filter(None, (part.strip() for part in string.split(",,"))):
        key, equals, value = option.partition("=")
        scope, _, name = key.strip().partition(".")
        if scope == "args":
            if not equals or not name.isidentifier():
                raise ConfigError(f"override {option!r} must read args.NAME=VALUE, several joined by ',,'")
            setattr(args, name, configuration.literal(value))
        else:
            changed = configuration.override(option, config)
            config.clear()
            config.update(changed)
        print(f"[Override] - {key.strip()} = {configuration.literal(value)}", file=sys.stderr)


def _hack_isinstance() -> None:
    """Does nothing: torch passes a defaultdict through DistributedDataParallel since 1.8."""


def _mend_isinstance(helper: ModuleType) -> bool:
    vars(helper).update(hack_isinstance=_hack_isinstance)
    return True


def _mend_override(helper: ModuleType) -> bool:
    vars(helper).update(override=override)
    return True


def _mend_eval(module: ModuleType) -> bool:
    """The name `eval` of one module, which it uses for the convolutions in a checkpoint's configuration."""
    from s3prl_plugins.upstream.convolutions import check_convolutions

    vars(module)["eval"] = check_convolutions
    return True


_EVALUATING = ("hubert.hubert_model", "wav2vec2.wav2vec2_model", "wavlm.WavLM", "data2vec.data2vec_model")


def _mend_cuda(module: ModuleType) -> bool:
    """Inside this expert's forward, `.cuda()` moves to the device of the features."""
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    class CudaIsWhereTheFeaturesAre(TorchFunctionMode):
        def __init__(self, device: Any) -> None:
            super().__init__()
            self.device = device

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is Tensor.cuda:
                return args[0].to(self.device)
            return func(*args, **(kwargs or {}))

    stock = module.DownstreamExpert.forward

    @wraps(stock)
    def forward(self: Any, mode: str, features: list[Any], *labels: Any, **others: Any) -> Any:
        with CudaIsWhereTheFeaturesAre(features[0].device):
            return stock(self, mode, features, *labels, **others)

    module.DownstreamExpert.forward = forward
    return True


REPAIRS = (
    Repair(
        "s3prl.utility.helper.hack_isinstance", "s3prl.utility.helper",
        "replaces isinstance in the whole process, for torch before 1.8", "nothing", _mend_isinstance,
    ),
    Repair(
        "s3prl.utility.helper.override", "s3prl.utility.helper",
        "evaluates the values of -o as Python expressions", "Python literals, else the bare string", _mend_override,
    ),
    Repair(
        "s3prl.downstream.sv_voxceleb1:cuda", "s3prl.downstream.sv_voxceleb1.expert",
        "calls .cuda(), so ASV trains on a GPU only", "moves to the device of the features", _mend_cuda,
    ),
    *(
        Repair(
            f"s3prl.upstream.{name}:eval", f"s3prl.upstream.{name}",
            "executes the conv_feature_layers of a checkpoint", "lists of whole numbers only", _mend_eval,
        )
        for name in _EVALUATING
    ),
)  # fmt: skip
