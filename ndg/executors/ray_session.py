"""A Ray session for one block: a running or a new one."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ndg.errors import WorkerError
from ndg.extras import require
from ndg.literal import whole_number

REACH_SECONDS = 10.0
"""Patience with an address before it counts as out of reach."""

STORE_BYTES = 256 << 20
"""Least size of the object store of a Ray session that is started here."""

_own = False


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def session(address: str | None, cpus: int | None, store_bytes: int) -> Iterator[None]:
    """A Ray session: at hand, at an address, or started here.

    Without `address` it is RAY_ADDRESS; one that is started here has so many CPUs. Raises WorkerError when there is
    none to be had.
    """
    require("ray", "the executor 'ray'", "the executor 'threads' needs no package")
    with no_usage_statistics():
        import ray

    global _own
    started = not ray.is_initialized()
    try:
        if started:
            with no_usage_statistics():
                _own = _start(address or os.environ.get("RAY_ADDRESS"), cpus, store_bytes)
        yield
    finally:
        if started:
            _own = False
            ray.shutdown()


def ends_with_us() -> bool:
    """Whether the cluster was started here: its workers end with the session."""
    return _own


def check_alive() -> None:
    """Raise WorkerError when a process of the cluster that was started here has died.

    Ray itself ends this whole process some seconds later.
    """
    import ray

    node: Any = ray._private.worker._global_node if _own else None
    dead = [] if node is None else [str(kind) for kind, _ in node.dead_processes() if kind != "log_monitor"]
    if dead:
        raise WorkerError(
            f"the Ray session of this process has lost its {' and its '.join(dead)}, so no task can go on; look for a "
            "lack of memory, and go on with --resume, or use the executor 'serial'"
        )


def _start(address: str | None, cpus: int | None, store_bytes: int) -> bool:
    """Start Ray here or join a cluster; whether it was started here."""
    import ray

    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if here := address in (None, "", "local"):
        settings |= {
            "address": "local",
            "include_dashboard": False,
            "num_cpus": cpus or available_cpus(),
            "object_store_memory": store_bytes,
        }
    else:
        settings["address"] = address
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        _reach(settings["address"])
        ray.init(**settings)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"be reached at {address!r}" if address else "start on this machine"
        raise WorkerError(
            f"Ray could not {where}: {line(error)}; check `ray status`, or use the executor 'serial'"
        ) from error
    finally:  # Ray replaces the handler, and leaves its own behind
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)
    return here


def _reach(address: str) -> None:
    """Raise OSError unless something listens at `host:port`."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and (number := whole_number(port)) is not None:
        if number >= 2**16:
            raise OSError(f"a port is below {2**16:,}")
        socket.create_connection((host.strip("[]"), number), timeout=REACH_SECONDS).close()


@contextmanager
def no_usage_statistics() -> Iterator[None]:
    """Keep Ray from reporting its use at import and start."""
    before = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ["RAY_USAGE_STATS_ENABLED"] = before or "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["RAY_USAGE_STATS_ENABLED"]


def line(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
