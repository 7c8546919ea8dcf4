"""Local file server with the habits and faults of real servers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@dataclass
class Shelf:
    """Files by path, how they are served, and the received requests."""

    files: dict[str, bytes]
    ranges: bool = True
    stubborn: bool = False
    version: str = '"1"'
    length: int | None = None
    places: dict[str, str] = field(default_factory=dict)
    faults: list[int] = field(default_factory=list)
    interrupts: Path | None = None
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    port: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@contextmanager
def served(**how) -> Iterator[Shelf]:
    """Shelf that is served within the block."""
    shelf = Shelf(**how)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):
            wanted, condition = self.headers["Range"], self.headers["If-Range"]
            shelf.requests.append((self.path, wanted, condition))
            fault = shelf.faults.pop(0) if shelf.faults else None
            name = self.path.removeprefix("/")
            if fault is not None and 400 <= fault < 600:
                self.send_error(fault)
                return
            if name in shelf.places:
                self.send_response(302)
                self.send_header("Location", shelf.places[name])
                self.end_headers()
                return
            if name not in shelf.files:
                self.send_error(404)
                return
            content, start = shelf.files[name], 0
            same = shelf.stubborn or condition in (None, shelf.version)
            if wanted and shelf.ranges and same:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(shelf.length or len(content) - start))
            self.send_header("ETag", shelf.version)
            self.end_headers()
            self.wfile.write(content[start:] if fault is None else content[start : start + fault])
            self.wfile.flush()
            if shelf.interrupts:
                while not shelf.interrupts.exists() or not shelf.interrupts.stat().st_size:
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGINT)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield shelf
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
