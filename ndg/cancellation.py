"""Cancellation of worker threads between two forward passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CancelledError(BaseException):
    """Raised in a worker thread whose result is no longer needed."""


_worker = threading.local()


@contextmanager
def cancelled_by(event: threading.Event) -> Iterator[None]:
    """Let `check_cancelled` raise in this thread once the event is set."""
    _worker.event = event
    try:
        yield
    finally:
        _worker.event = None


def in_worker() -> bool:
    """Whether this thread is a worker of the executor `threads`."""
    return getattr(_worker, "event", None) is not None


def check_cancelled() -> None:
    """Raise CancelledError in a worker thread that was cancelled."""
    event = getattr(_worker, "event", None)
    if event is not None and event.is_set():
        raise CancelledError
