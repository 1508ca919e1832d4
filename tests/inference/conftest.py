"""The shipped model, loaded once for all tests of this folder."""

from __future__ import annotations

import pytest

import s3prl_plugins
from s3prl_plugins.inference.model import Model


@pytest.fixture(scope="session")
def superb_tiny() -> Model:
    return s3prl_plugins.load("superb_tiny", device="cpu")
