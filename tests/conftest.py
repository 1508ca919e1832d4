"""Fixtures that several areas share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of mini-SUPERB in its tiny size, made once a session in seconds. Read only: copy what a test changes."""
    pytest.importorskip("espeakng_loader")
    from s3prl_plugins.corpora.build import make

    root = tmp_path_factory.mktemp("tiny") / "mini-superb"
    make(root, size="tiny", jobs=2)
    return root
