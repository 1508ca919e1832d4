"""Fixtures that several areas share, and how much is drawn at random."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite", max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fuzz", settings.get_profile("suite"), max_examples=1000, derandomize=False, print_blob=True)
settings.load_profile("suite")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script; commands that are interrupted by tests would inherit it and not end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of mini-SUPERB in its tiny size, made once a session in seconds. Read only: copy what a test changes."""
    pytest.importorskip("espeakng_loader")
    from s3prl_plugins.corpora.build import make

    root = tmp_path_factory.mktemp("tiny") / "mini-superb"
    make(root, size="tiny", jobs=2)
    return root
