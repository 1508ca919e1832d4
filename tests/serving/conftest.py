"""The page of the shipped model, served by this process on a free port of loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import s3prl_plugins
from s3prl_plugins.inference.model import Model
from s3prl_plugins.serving.limits import Limits

RATE = 16000


@dataclass(frozen=True)
class Site:
    url: str
    folder: Path
    """Where uploads lie."""

    def empty(self) -> bool:
        """Whether every upload is gone, within five seconds."""
        for _ in range(50):
            if not list(self.folder.rglob("*.*")):
                return True
            time.sleep(0.1)
        return False


@pytest.fixture(scope="session")
def superb_tiny() -> Model:
    return s3prl_plugins.load("superb_tiny", device="cpu")


@pytest.fixture(scope="package")
def site(superb_tiny: Model) -> Iterator[Site]:
    """At its end this process has looked up no other host, and its folder is gone."""
    pytest.importorskip("gradio", reason="needs the extra `serve`")
    import httpx
    import uvicorn

    from s3prl_plugins.serving.server import build_app, listen
    from s3prl_plugins.serving.uploads import upload_folder

    looked_up: set[Any] = set()
    look_up = socket.getaddrinfo

    def recorded(host: Any, *rest: Any, **more: Any) -> Any:
        looked_up.add(host)
        return look_up(host, *rest, **more)

    with (
        pytest.MonkeyPatch.context() as patch,
        listen("127.0.0.1", 0) as listening,
        upload_folder() as folder,
    ):
        patch.setattr(socket, "getaddrinfo", recorded)
        app = build_app("superb_tiny", superb_tiny, Limits(seconds=10, megabytes=1), folder, "127.0.0.1")
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        yield Site(f"http://127.0.0.1:{listening.getsockname()[1]}", folder)
        httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        server.should_exit = True
        thread.join(20)
        assert not folder.exists()
    assert "127.0.0.1" in looked_up
    assert looked_up <= {"127.0.0.1", "localhost", "::1", "no such host", "0.0.0.0", None}


@pytest.fixture
def vowels(tmp_path: Path) -> Callable[..., Path]:
    """Writes something like a voice that says vowels: pulses through two resonances that change every 150 ms."""

    def write(name: str = "vowels.wav", seconds: float = 1.5, pitch: float = 120.0) -> Path:
        from scipy.signal import lfilter

        generator = np.random.default_rng(3)
        pulses = (np.arange(int(seconds * RATE)) % int(RATE / pitch) == 0).astype(np.float64)
        parts = []
        for start in range(0, len(pulses), 2400):
            part = pulses[start : start + 2400]
            for formant in (generator.uniform(300, 800), generator.uniform(900, 2500)):
                part = lfilter([1.0], [1.0, -1.9 * np.cos(2 * np.pi * formant / RATE), 0.9025], part)
            parts.append(part)
        wave = np.concatenate(parts)
        soundfile.write(tmp_path / name, 0.5 * wave / np.abs(wave).max(), RATE)
        return tmp_path / name

    return write
