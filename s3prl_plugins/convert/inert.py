"""Pickled checkpoints of other toolkits as data: no class of theirs is imported, nothing of theirs is called.

`torch.load(weights_only=True)` reads only classes that are named before; fairseq's files hold whatever its training
held. Here every class of known toolkits becomes an `Inert` that keeps what the object was made of; any other name is
refused. Python's own unpickler, not C's: the latter sizes its memo by numbers in the file.
"""

from __future__ import annotations

import builtins
import pickle
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.untrusted import check_archive, reason_of

__all__ = ["Inert", "read_inert", "read_trusted"]

_TOOLKITS = ("antlr4", "argparse", "enum", "fairseq", "hydra", "numpy", "omegaconf", "pathlib", "typing")
_NAMES = {
    "_codecs": {"encode"},
    "collections": {"Counter", "defaultdict", "deque"},
    "copyreg": {"_reconstructor"},
    "operator": {"getitem"},
    "builtins": {
        "Ellipsis", "NoneType", "NotImplemented", "getattr", "long", "unicode",
        *(name for name, value in vars(builtins).items() if isinstance(value, type)),
    },
}  # fmt: skip
"""What pickles of these toolkits' objects name beside their classes; inert like them."""
_NAMES |= {"__builtin__": _NAMES["builtins"], "copy_reg": _NAMES["copyreg"], "_operator": _NAMES["operator"]}
_TORCH = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"}


class Inert:
    """What stands for an object: `args` it was made of, `state` it was given, `items` and `pairs` put into it."""

    origin = ""
    """Dotted name of its class."""

    def __new__(cls, *args: Any) -> Inert:
        self = object.__new__(cls)
        self.args, self.state, self.items, self.pairs = args, None, [], {}
        return self

    args: tuple[Any, ...]
    state: Any
    items: list[Any]
    pairs: dict[Any, Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *_: Any) -> None:
        raise pickle.UnpicklingError(f"it calls the result of {self.origin}")

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: Iterable[Any]) -> None:
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs[key] = value


class _Call:
    """A function that may be called, and no more: not given attributes, as the function itself could be."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a function")


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    made: torch.Tensor = torch._utils._rebuild_tensor(storage, offset, size, stride)  # type: ignore[no-untyped-call]
    if made.numel() * made.element_size() > made.untyped_storage().nbytes():
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(made.shape)} has fewer elements stored")
    return made


def _parameter(data: Any, *_: Any) -> Any:
    return data


class _Unpickler(pickle._Unpickler):
    def __init__(self, *args: Any, **others: Any) -> None:
        super().__init__(*args, **others)
        self._inert: dict[str, type[Inert]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """:raises pickle.UnpicklingError: it is not of a known toolkit."""
        origin = f"{module}.{name}"
        if origin == "collections.OrderedDict":
            return _Call(OrderedDict)
        if module == "torch._utils" and name in _TORCH:
            return _Call(_parameter if name == "_rebuild_parameter" else _tensor)
        if module.split(".")[0] in _TOOLKITS or name in _NAMES.get(module, ()):
            return self._inert.setdefault(origin, type("Inert", (Inert,), {"origin": origin}))
        raise pickle.UnpicklingError(f"it names {origin[:100]}")


def _load(file: Any, **others: Any) -> Any:
    return _Unpickler(file, **others).load()


def read_inert(path: Path) -> Any:
    """The content of a file that `torch.save` wrote in any of its formats but the oldest (tar), on the CPU.

    :raises CheckpointError: there is no such file, it is damaged, unpacks beyond its size, or names a class or
        function of no known toolkit.
    """
    pickling = ModuleType("inert")
    vars(pickling).update(Unpickler=_Unpickler, load=_load)
    try:
        _check_format(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", pickle_module=pickling, weights_only=False)
    except Exception as error:  # damaged files meet the unpickler in any of its states
        # The unpickler looks bytes up that are no opcodes.
        reason = "it is no checkpoint" if isinstance(error, KeyError) else reason_of(error)
        raise CheckpointError(
            f"{path} cannot be read without executing code ({reason}); use another file, or "
            "--trust-checkpoint if you know who made this one"
        ) from error


def read_trusted(path: Path) -> Any:
    """The same by Python's own pickle, which executes whatever the file says.

    :raises CheckpointError: it cannot be read, or names what is not installed.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read ({reason_of(error)}); install what it names") from error


def _check_format(path: Path) -> None:
    check_archive(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            program = any(name.endswith("/constants.pkl") for name in archive.namelist())
        if program:
            raise ValueError("it is a TorchScript program")
    elif tarfile.is_tarfile(path):
        raise ValueError("it is a tar archive")
