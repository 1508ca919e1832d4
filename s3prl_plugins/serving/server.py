"""The page on a port of this machine: no share link, nothing asked of any other host, uploads gone at the end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.serving.gate import Gate
from s3prl_plugins.serving.limits import Limits
from s3prl_plugins.serving.page import STYLE, Desk, build_page
from s3prl_plugins.serving.uploads import sweep, upload_folder

if TYPE_CHECKING:
    from s3prl_plugins.inference.model import Model

__all__ = ["build_app", "check_gradio", "is_loopback", "listen", "serve"]


def check_gradio() -> None:
    """:raises ConfigError: Gradio is not installed, or too old."""
    try:
        import gradio
    except ImportError as error:
        raise ConfigError(f"serve needs gradio ({error}); install it: pip install 's3prl-plugins[serve]'") from None
    if int(gradio.__version__.partition(".")[0]) < 6:
        raise ConfigError(
            f"serve needs gradio 6 or newer, found {gradio.__version__}; pip install 's3prl-plugins[serve]'"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    :param port: 0 takes a free one.
    :raises ConfigError: no such address here, or the port is in use or reserved.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port must be from 0 (any free one) to 65535, found {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"cannot listen on {host} port {port} ({reason}); choose another --port or --host") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def build_app(title: str, model: Model, limits: Limits, folder: Path, host: str) -> Any:
    """The page as an ASGI application.

    :param folder: of `upload_folder`, open while the application runs.
    """
    import gradio
    from fastapi import FastAPI

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(sweep(folder))
        yield
        sweeping.cancel()
        # Here too: a signal that ends the process leaves no other time.
        shutil.rmtree(folder, ignore_errors=True)

    hosts = ("127.0.0.1", "localhost", "::1", host) if is_loopback(host) else None
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate, hosts=hosts)
    page = build_page(title, Desk(model, limits, folder))
    page.delete_cache = (60, 600)
    # Otherwise a mounted page leaves out Gradio's own check of the paths in requests.
    page.has_launched = True
    # Fonts of the reader's own machine.
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    theme = gradio.themes.Default(primary_hue="indigo", **fonts)
    return gradio.mount_gradio_app(
        app, page, "/", server_name=host, footer_links=[], run_history=False, root_path="", show_error=True,
        max_file_size=limits.bytes, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
        theme=theme, css_paths=[STYLE],
    )  # fmt: skip


def serve(title: str, model: Model, limits: Limits, listening: socket.socket, browser: bool) -> None:
    """Serve until interrupted."""
    import uvicorn

    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    if not is_loopback(host):
        print(
            f"s3prl-plugins serve: {host} can be reached from other machines; anyone there can use it", file=sys.stderr
        )
    with listening, upload_folder() as folder:
        app = build_app(title, model, limits, folder, host)
        # Critical: what open pages leave unfinished when the server ends is no fault; Gradio prints faults of its events.
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        print(f"{title} answers at {address} (Ctrl-C ends it)", flush=True)
        # Without a display a browser of the terminal would open, over the server's own lines.
        if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(address)
        server.run(sockets=[listening])
