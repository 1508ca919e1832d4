"""What is let through to Gradio: the routes that the page uses, asked for by the page itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Gate"]

_Scope = MutableMapping[str, Any]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_FILES = ("/assets/", "/static/", "/svelte/", "/gradio_api/file=", "/gradio_api/heartbeat/")
_ROUTES = {
    "/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/gradio_api/theme.css", "/gradio_api/app_id",
    "/gradio_api/info", "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/upload", "/gradio_api/upload_progress",
    "/gradio_api/startup-events", "/gradio_api/reset", "/gradio_api/cancel",
}  # fmt: skip
_HEADERS = (
    # The browser itself refuses what a page of ours never needs: anything from another host.
    (b"content-security-policy", b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)  # fmt: skip


class Gate:
    """ASGI middleware. Gradio has routes that fetch addresses and keep states; they, and other sites' pages, stay out.

    :param hosts: names under which a browser may call this server; None: any. Names the server does not have are how
        a page elsewhere gets at a server on loopback (DNS rebinding).
    """

    def __init__(self, app: _App, hosts: Sequence[str] | None) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            if status := self._refusal(scope):
                await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body", "body": b""})
            else:
                await self.app(scope, receive, _with_headers(send))

    def _refusal(self, scope: _Scope) -> int:
        """The status of the answer if a request is refused, else 0."""
        path: str = scope["path"]
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self.hosts is not None and urlsplit(f"//{host}").hostname not in self.hosts:
            return 403
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403
        if path not in _ROUTES and not path.startswith(_FILES):
            return 404
        address = path.partition("=")[2]
        return 404 if path.startswith("/gradio_api/file=") and "//" in address[:8] else 0


def _with_headers(send: _Send) -> _Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
        await send(message)

    return sending
