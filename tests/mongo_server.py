"""A MongoDB server for tests: nx-27017, which speaks the protocol over TCP and keeps its data in SQLite."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mongo_server(folder: Path, port: int | None = None, data: str | Path = "memory") -> Iterator[str]:
    """The URI of a server on a free loopback port, without a database name; the server ends with the block.

    Its data are gone then, unless `data` is a folder: another server with that `port` and folder goes on with them.
    """
    process, port = _start(folder, port, data)
    try:
        yield f"mongodb://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def genuine_server(folder: Path) -> Iterator[str]:
    """The URI of a genuine MongoDB: NDG_TEST_MONGODB_URI, else a `mongod` of the PATH; else the test is skipped."""
    if uri := os.environ.get("NDG_TEST_MONGODB_URI"):
        yield uri.rstrip("/")
        return
    if shutil.which("mongod") is None:
        pytest.skip("no genuine MongoDB: `mongod` is not on the PATH, and NDG_TEST_MONGODB_URI is not set")
    port = free_port()
    words = ["mongod", "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert _answers(process, port), "mongod does not answer"
        yield f"mongodb://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(folder: Path, port: int | None, data: str | Path) -> tuple[subprocess.Popen[bytes], int]:
    """Another process may take a free port before the server does; so try a few."""
    log = folder / "nx-27017.log"
    for _ in range(1 if port else 5):
        chosen = port or free_port()
        command = [sys.executable, "-m", "nx_27017.nx_27017", "--host", "127.0.0.1", "-p", str(chosen)]
        command += ["--data-dir", str(data), "--log-file", str(log), "--pid-file", str(folder / "nx-27017.pid")]
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        if _answers(process, chosen):
            return process, chosen
        process.kill()
        process.wait()
    raise RuntimeError(f"nx-27017 did not start; it said:\n{log.read_text()[-2000:]}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    deadline = time.monotonic() + 60
    with MongoClient(f"mongodb://127.0.0.1:{port}", serverSelectionTimeoutMS=500) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.admin.command("ping")
                return True
            except PyMongoError:
                continue
    return False
