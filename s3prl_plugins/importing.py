"""The import hook: acts on the modules of s3prl, and on those it stands on, right after each was imported.

A finder at the head of `sys.meta_path` lets the others find a module and wraps the `exec_module` of the loader they
return, so that everything else about that loader (`get_code`, resources) stays as it is. Before `s3prl` itself is
imported nothing is wrapped and nothing is changed.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from s3prl_plugins import compat, plugin

__all__ = ["FINDER", "activate"]


class Finder:
    """A meta-path finder; `armed` once s3prl is being imported."""

    delegates = True
    """Marks finders that ask the others, so that they do not ask each other."""

    def __init__(self) -> None:
        self.armed = False
        self.watched = {
            "s3prl.hub",
            "s3prl.downstream.runner",
            *(repair.module for repair in compat.REPAIRS),
            *(user for absence in compat.ABSENCES for user in absence.users),
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "s3prl":
            return _wrapped(self._find(name, path, target), self._import_s3prl)
        if not self.armed:
            return None
        if name in self.watched:
            return _wrapped(self._find(name, path, target), self._import_watched)
        if name.startswith("s3prl.downstream."):
            return self._find_downstream(name, path, target)
        return None

    def arm(self) -> None:
        """From now on act on every watched module; act now on those that are already imported."""
        if not self.armed:
            self.armed = True
            for name in sorted(self.watched):
                if sys.modules.get(name) is not None:
                    _act(sys.modules[name])

    def _import_s3prl(self, module: ModuleType, execute: Callable[[ModuleType], None]) -> None:
        self.arm()
        execute(module)

    def _import_watched(self, module: ModuleType, execute: Callable[[ModuleType], None]) -> None:
        with compat.standing_in(module.__name__):
            execute(module)
        _act(module)

    def _find(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """What the other finders find."""
        for finder in sys.meta_path:
            if not getattr(finder, "delegates", False) and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _find_downstream(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """`s3prl.downstream.NAME` and what is in it as another name of our module, unless s3prl has that NAME."""
        top, *rest = name.split(".")[2:]
        if top not in plugin.DOWNSTREAMS:
            return None
        parent = sys.modules.get(f"s3prl.downstream.{top}") if rest else None
        if (parent is None or not parent.__name__.startswith("s3prl_plugins.")) and self._find(name, path, target):
            return None
        loader: Any = _Alias(".".join([plugin.DOWNSTREAMS[top], *rest]))
        return ModuleSpec(name, loader, is_package=not rest)


class _Alias:
    """A loader that puts an existing module under another name."""

    def __init__(self, real_name: str) -> None:
        self.real_name = real_name

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes the module from sys.modules after this call.
        sys.modules[module.__name__] = importlib.import_module(self.real_name)


def _wrapped(
    spec: ModuleSpec | None, run: Callable[[ModuleType, Callable[[ModuleType], None]], None]
) -> ModuleSpec | None:
    """The spec with its loader's `exec_module` replaced by `run(module, execute)` for this one module."""
    loader: Any = spec.loader if spec is not None else None
    execute = getattr(loader, "exec_module", None)
    if spec is None or execute is None or isinstance(loader, type):
        return spec

    def exec_module(module: ModuleType) -> None:
        if module.__name__ == spec.name:
            run(module, execute)
        else:
            execute(module)

    loader.exec_module = exec_module
    return spec


def _act(module: ModuleType) -> None:
    """Repair one imported module and add our names to it; what fails is a warning, never an error."""
    for action in (compat.mend, plugin.extend):
        try:
            action(module)
        except Exception as error:
            warnings.warn(
                f"s3prl_plugins could not mend {module.__name__} ({type(error).__name__}: {error}); "
                "run `s3prl-plugins doctor`",
                RuntimeWarning,
                stacklevel=2,
            )


FINDER = Finder()


def activate() -> None:
    """Watch for s3prl; where it is imported already, act on what is there of it."""
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
    if "s3prl" in sys.modules:
        FINDER.arm()
