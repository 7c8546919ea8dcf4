"""Function and shared value of tasks, sent to Ray workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any

import numpy as np

from ndg.allocation import keep_blocks
from ndg.errors import WorkerError
from ndg.executors.ray_session import line, no_usage_statistics
from ndg.extras import require


@dataclass(frozen=True, eq=False)
class Package:
    """A pickle with large arrays beside it, shared by a machine's workers."""

    data: bytes
    buffers: tuple[np.ndarray, ...]

    @property
    def nbytes(self) -> int:
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers)


def packed(work: Callable[..., Any], shared: Any) -> Package:
    """Function and shared value in one package; WorkerError if pickling fails."""
    buffers: list[PickleBuffer] = []
    require("ray", "the executor 'ray'", "the executor 'threads' needs no package")
    with no_usage_statistics():
        from ray import cloudpickle

    try:
        data = cloudpickle.dumps((work, shared), protocol=5, buffer_callback=buffers.append)
    except Exception as error:  # pickling runs the code of any object
        raise WorkerError(
            f"Ray sends the network to its workers by pickle, which failed: {line(error)}; remove what cannot be "
            "pickled (open files, locks, connections) from the network, or use the executor 'serial'"
        ) from error
    return Package(data, tuple(np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers))


_unpacked: dict[str, Any] = {}


def in_worker(held: list[Any], task: Any) -> Any:
    """Run a task in a worker, which unpacks the shared part once."""
    import ray
    from ray import cloudpickle

    key = held[0].hex()
    if key not in _unpacked:
        paths, data, buffers = ray.get(held[0])
        sys.path += [path for path in paths if path not in sys.path and os.path.exists(path)]
        keep_blocks()
        _unpacked.clear()
        try:
            _unpacked[key] = cloudpickle.loads(data, buffers=buffers)
        except Exception as error:  # unpacking runs the code of any module
            raise WorkerError(
                f"a Ray worker must be able to import the network's code; it cannot: {type(error).__name__}: {error}; "
                "put it in a module that is installed where Ray runs and does no work when imported, define it in the "
                "script itself, or use the executor 'serial'"
            ) from error
    work, shared = _unpacked[key]
    return work(shared, task)


def begun() -> None:
    """Runs in a worker as soon as there is one."""
