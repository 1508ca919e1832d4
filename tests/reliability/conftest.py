"""Commands that were left alone, to compare with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killing import Killer
from resumable import command, left_by, write_material


@pytest.fixture(scope="session")
def material(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    write_material(tiny_corpus, folder)
    return folder


@pytest.fixture(scope="session")
def whole(material: Path) -> Callable[[str], tuple[list[str], float, dict[str, Any]]]:
    """The points that a command passes, the seconds it takes, and what it leaves, if it is left alone."""
    known: dict[str, tuple[list[str], float, dict[str, Any]]] = {}

    def run(name: str) -> tuple[list[str], float, dict[str, Any]]:
        if name not in known:
            place = material / "whole" / name
            points, seconds = Killer(material / "whole.log").points(command(name, material, place))
            known[name] = points, seconds, left_by(place)
        return known[name]

    return run
