"""Who may read the page: requests with the token in the path, from this page alone.

Any page in the browser can send requests to a server on loopback. The token keeps others out; the check of Host ends
attacks by names that come to mean 127.0.0.1, and the check of Origin requests of other pages.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
"""Of every answer; a route may set its own."""


class Guard:
    """Refuses requests that are not from the page, with 403 or 404.

    Other requests are passed on without the token.
    """

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        first, _, rest = scope.get("path", "").removeprefix("/").partition("/")
        own = headers.get("host") in self._hosts and headers.get("origin", "") in {"", *self._origins}
        if scope["type"] != "http" or not own:
            await _refuse(send, 403)
        elif not secrets.compare_digest(first.encode(), self._token.encode()):
            await _refuse(send, 404)
        elif scope["method"] not in ("GET", "HEAD") and "origin" not in headers:
            await _refuse(send, 403)  # browsers send it with what changes something
        else:
            await self._app(
                {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, _with_headers(send)
            )


def _with_headers(send: Any) -> Any:
    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {name.decode() for name, _ in message["headers"]}
            more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name not in own]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _refuse(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
