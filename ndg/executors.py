"""Executors: values that sum the results of a function over tasks, in this process or in Ray workers.

    total = executor.total(work, shared, tasks, "label")        # work(shared, tasks[0]) + work(shared, tasks[1]) + ...

`work` is a function of a module and must not depend on where it runs. Results are added in the order of the tasks, so
every executor gives the same sum. `choose` takes Ray when an estimate says that it ends sooner, and says why.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from ndg.errors import ConfigError, DataError, WorkerError, nearest
from ndg.progress import bar, log

T = TypeVar("T")
R = TypeVar("R")

AUTO = "auto"
TIMEOUT = 300.0
"""Seconds without any finished task after which workers are given up."""

START_SECONDS = 5.0
"""Starting Ray, importing torch in its workers and ending it; measured on two cores, 4 to 6 s."""

JOIN_SECONDS = 2.0
"""The same in a Ray session that runs already."""

REACH_SECONDS = 10.0
"""Patience with an address before it counts as out of reach."""

GAIN = 0.75
"""Gain of one more CPU in Ray; 1.5 times for two was measured."""

STORE_BYTES = 256 << 20
"""Least size of the object store of a Ray session that is started here."""


@runtime_checkable
class Executor(Protocol):
    """What adds up the results of tasks. `session` keeps workers alive for several totals."""

    @property
    def name(self) -> str: ...

    def session(self) -> AbstractContextManager[None]: ...

    def total(
        self,
        work: Callable[[Any, Any], R],
        shared: Any,
        tasks: Iterable[Any],
        label: str,
        *,
        count: int | None = None,
        start: R | None = None,
    ) -> R:
        """`start` plus `work(shared, task)` of every task; `count` is the number of tasks where it is known."""


@dataclass(frozen=True)
class Serial:
    """One task after the other in this process."""

    name = "serial"

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def total(
        self,
        work: Callable[[Any, Any], R],
        shared: Any,
        tasks: Iterable[Any],
        label: str,
        *,
        count: int | None = None,
        start: R | None = None,
    ) -> R:
        return _sum(bar((work(shared, task) for task in tasks), label, count), start)


@dataclass(frozen=True)
class Ray:
    """Tasks in Ray workers: of the session that this process has, of the cluster at `address`, or of one started here.

    Without an `address`, that in the environment variable RAY_ADDRESS is taken; a session at hand goes before both.
    `shared` is sent once and unpacked once in each worker. At most two tasks per CPU are under way. `timeout` is in
    seconds without any finished task. `cpus` are those of a session started here, by default all that this process may
    use; `task_cpus` and `task_gpus` are what one task takes. A session that was started here ends with the `with` (or
    with the total); one that was found is left running.
    """

    address: str | None = None
    timeout: float = TIMEOUT
    cpus: int | None = None
    task_cpus: int = 1
    task_gpus: float = 0.0
    store_bytes: int = STORE_BYTES

    name = "ray"

    def session(self) -> AbstractContextManager[None]:
        return self._session(self.store_bytes)

    def total(
        self,
        work: Callable[[Any, Any], R],
        shared: Any,
        tasks: Iterable[Any],
        label: str,
        *,
        count: int | None = None,
        start: R | None = None,
    ) -> R:
        package = _pickle(work, shared)
        with self._session(max(self.store_bytes, 2 * package.nbytes)):
            return _sum(bar(self._results(package, tasks), label, count), start)

    @contextmanager
    def _session(self, store_bytes: int) -> Iterator[None]:
        with _no_usage_statistics():
            import ray

        started = not ray.is_initialized()
        try:
            if started:
                with _no_usage_statistics():
                    self._start(store_bytes)
            yield
        finally:
            if started:
                ray.shutdown()

    def _start(self, store_bytes: int) -> None:
        import ray

        address = self.address or os.environ.get("RAY_ADDRESS")
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if address in (None, "", "local"):
            settings |= {
                "address": "local",
                "include_dashboard": False,
                "num_cpus": self.cpus or available_cpus(),
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
                f"Ray could not {where}: {_line(error)}; check `ray status`, or use the executor 'serial'"
            ) from error
        finally:  # Ray replaces the handler, and leaves its own behind
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, terminate)

    def _results(self, package: _Package, tasks: Iterable[Any]) -> Iterator[Any]:
        """Results in the order of the tasks."""
        import ray

        held = ray.put((sys.path, package.data, package.buffers))
        remote = ray.remote(_in_worker).options(num_cpus=self.task_cpus, num_gpus=self.task_gpus)
        slots = int(ray.cluster_resources().get("CPU", 0) / self.task_cpus)
        if not slots:
            log.warning("the Ray cluster has no CPU for a task now; waiting up to %g s", self.timeout)
        waiting = iter(enumerate(tasks))
        running: dict[Any, int] = {}
        early: dict[int, Any] = {}
        following = 0
        try:
            while True:
                while len(running) < 2 * max(slots, 1) and (one := next(waiting, None)) is not None:
                    running[remote.remote([held], one[1])] = one[0]
                if not running:
                    return
                ended, _ = ray.wait(list(running), num_returns=1, timeout=self.timeout)
                if not ended:
                    raise self._late(len(running))
                for reference in ended:
                    number = running.pop(reference)
                    early[number] = _result(reference, number)
                while following in early:
                    yield early.pop(following)
                    following += 1
        finally:
            for reference in running:
                ray.cancel(reference)

    def _late(self, running: int) -> WorkerError:
        import ray

        needs = {"CPU": self.task_cpus, "GPU": self.task_gpus}
        whole, free = ray.cluster_resources(), ray.available_resources()
        told = ", ".join(
            f"each needs {need:g} {kind}, the cluster has {whole.get(kind, 0):g} and {free.get(kind, 0):g} free"
            for kind, need in needs.items()
            if need
        )
        return WorkerError(
            f"no Ray worker finished a task in {self.timeout:g} s: {running} tasks wait or run, {told}; raise the "
            "time-out, free the cluster, or use the executor 'serial'"
        )


def serial() -> Serial:
    """The executor that runs tasks in this process."""
    return Serial()


def ray(address: str | None = None, timeout: float = TIMEOUT, cpus: int | None = None, task_cpus: int = 1) -> Ray:
    """The executor that runs tasks in Ray workers; nothing starts before its first use."""
    return Ray(address, timeout, cpus, task_cpus)


EXECUTORS: dict[str, Callable[..., Executor]] = {"serial": serial, "ray": ray}


@dataclass(frozen=True)
class Cost:
    """Number of tasks, None where it is not known, and the seconds that one took here."""

    tasks: int | None
    seconds: float


def choose(
    name: str | Executor,
    cost: Cost | None = None,
    *,
    address: str | None = None,
    timeout: float = TIMEOUT,
    cpus: int | None = None,
    task_cpus: int = 1,
) -> tuple[Executor, str]:
    """The executor of that name and a sentence that says why it is that one.

    `auto` is Ray when an address is given, or when its estimated time, start included, is below that of doing one task
    after the other; it needs the `cost`. Raises ConfigError for an unknown name.
    """
    if not isinstance(name, str):
        return name, f"{name.name}: as asked for"
    if name not in (AUTO, *EXECUTORS):
        raise ConfigError(f"an executor is auto, serial or ray; got {name!r}; {nearest(name, [AUTO, *EXECUTORS])}")
    if name == "serial":
        return serial(), "serial: as asked for"
    parallel = ray(address, timeout, cpus, task_cpus)
    if name == "ray":
        return parallel, "ray: as asked for"
    if address:
        return parallel, f"ray: an address was given, {address}"
    if cost is None or cost.tasks is None:
        return serial(), "serial: the number of batches is not known before they are read"
    count = max((cpus or available_cpus()) // task_cpus, 1)
    alone = cost.tasks * cost.seconds
    start = JOIN_SECONDS if _connected() else START_SECONDS
    shared = start + alone / max(1.0, GAIN * count)
    winner: Executor = parallel if shared < alone else serial()
    return winner, (
        f"{winner.name}: {cost.tasks} batches of {cost.seconds:.3g} s (one was timed) are about {alone:.1f} s in this "
        f"process and {shared:.1f} s with Ray on {count} CPU{'s' * (count > 1)}, {start:g} s of them to start"
    )


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_unpacked: dict[str, Any] = {}


def _in_worker(held: list[Any], task: Any) -> Any:
    """Runs in a worker. The shared part is unpacked at its first task there; only the latest is kept."""
    import ray
    from ray import cloudpickle

    key = held[0].hex()
    if key not in _unpacked:
        paths, data, buffers = ray.get(held[0])
        sys.path += [path for path in paths if path not in sys.path and os.path.exists(path)]
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


def _reach(address: str) -> None:
    """Raise OSError unless something listens at `host:port`; Ray itself tries for more than ten minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


@dataclass(frozen=True, eq=False)
class _Package:
    """A pickle whose large arrays lie beside it, so that all workers of a machine read one copy (pickle protocol 5)."""

    data: bytes
    buffers: tuple[np.ndarray, ...]

    @property
    def nbytes(self) -> int:
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers)


def _pickle(work: Callable[..., Any], shared: Any) -> _Package:
    buffers: list[PickleBuffer] = []
    with _no_usage_statistics():
        from ray import cloudpickle

    try:
        data = cloudpickle.dumps((work, shared), protocol=5, buffer_callback=buffers.append)
    except Exception as error:  # pickling runs the code of any object
        raise WorkerError(
            f"Ray sends the network to its workers by pickle, which failed: {_line(error)}; remove what cannot be "
            "pickled (open files, locks, connections) from the network, or use the executor 'serial'"
        ) from error
    return _Package(data, tuple(np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers))


def _result(reference: Any, number: int) -> Any:
    """The result of a task; an error that the task itself raised is raised here as it was there."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, Exception) and not isinstance(error.cause, RayError):
            error.cause.add_note(f"raised in a Ray worker, at task {number}:\n{error}")
            raise error.cause from None
        raise _lost(error, number) from error
    except RayError as error:
        raise _lost(error, number) from error


def _lost(error: Exception, number: int) -> WorkerError:
    return WorkerError(
        f"a Ray worker gave no answer to task {number}, also when it was tried again: {type(error).__name__}: "
        f"{_line(error)}; look for a lack of memory, start fewer workers, or use the executor 'serial'"
    )


def _sum(results: Iterable[R], start: R | None) -> R:
    total: Any = start
    for result in results:
        total = result if total is None else total + result
    if total is None:
        raise DataError("a total needs at least one task; got none; check that the loader gives examples")
    return total


def _connected() -> bool:
    loaded: Mapping[str, Any] = sys.modules
    return "ray" in loaded and loaded["ray"].is_initialized()


@contextmanager
def _no_usage_statistics() -> Iterator[None]:
    """Ray reports its use to its makers unless this variable says no at import and at start."""
    before = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ["RAY_USAGE_STATS_ENABLED"] = before or "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["RAY_USAGE_STATS_ENABLED"]


def _line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
