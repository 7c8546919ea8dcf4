"""The server of the page, on loopback alone."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ndg.errors import UserError
from ndg.extras import require
from ndg.runs.log import Log
from ndg.ui.app import make_app
from ndg.ui.guard import Guard


@dataclass(frozen=True)
class Server:
    """A bound server, before it answers."""

    address: str
    run: Callable[[], None]
    stop: Callable[[], None]


def bind(log: Log, port: int, write: bool) -> Server:
    """Server of a run log on a loopback port; 0: a free one.

    Raises UserError for a port that is taken.
    """
    require("starlette", "ndg ui", "`ndg runs` and `ndg show` need no package")
    require("uvicorn", "ndg ui", "`ndg runs` and `ndg show` need no package")
    import uvicorn

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(f"port {port} of 127.0.0.1 cannot be used: {error}; leave out --port") from error
    token, chosen = secrets.token_urlsafe(24), listener.getsockname()[1]
    app: Any = Guard(make_app(log, write), token, chosen)
    config = uvicorn.Config(app, log_level="error", access_log=False, server_header=False, ws="none", lifespan="off")
    server = uvicorn.Server(config)

    def run() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            listener.close()

    return Server(f"http://127.0.0.1:{chosen}/{token}/", run, lambda: setattr(server, "should_exit", True))
