"""Tasks in threads of this process, each with its own network."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from queue import SimpleQueue
from typing import Any

import torch

from ndg.cancellation import CancelledError, cancelled_by
from ndg.executors.ordered_sum import Results, Tasks, Work
from ndg.executors.replicas import replica

AHEAD = 2
"""Tasks per thread that wait or run."""


def results(work: Work, shared: Any, tasks: Tasks, workers: int, torch_threads: int) -> Results:
    """Number and result of each task, as they end.

    Closing cancels the rest. Of several errors the one of the first task is raised, as serial would.
    """
    first = list(islice(tasks, workers))
    tasks = chain(first, tasks)
    waiting: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()
    ended: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
    stop = threading.Event()
    state = _ThreadState()
    threads = [
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(_serve, *replica((work, shared)), waiting, ended, stop, state, torch_threads),
            name=f"ndg worker {number}",
            daemon=True,
        )
        for number in range(len(first))
    ]
    running: set[int] = set()
    failed: tuple[int, BaseException] | None = None
    with _torch_threads(torch_threads):
        try:
            for thread in threads:
                thread.start()
            while True:
                while failed is None and len(running) < AHEAD * workers and (task := next(tasks, None)) is not None:
                    running.add(task[0])
                    waiting.put(task)
                if not running or (failed and failed[0] < min(running)):
                    break
                number, result, error = ended.get()
                running.remove(number)
                if error is None:
                    yield number, result
                elif failed is None or number < failed[0]:
                    failed = number, error
            if failed:
                raise failed[1]
        finally:
            stop.set()
            for _ in threads:
                waiting.put(None)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()


def _serve(
    work: Work,
    shared: Any,
    waiting: SimpleQueue[tuple[int, Any] | None],
    ended: SimpleQueue[tuple[int, Any, BaseException | None]],
    stop: threading.Event,
    state: _ThreadState,
    torch_threads: int,
) -> None:
    """Run tasks in a thread until there are none."""
    torch.set_num_threads(torch_threads)
    with cancelled_by(stop), state.restored():
        while not stop.is_set() and (entry := waiting.get()) is not None:
            number, task = entry
            try:
                ended.put((number, work(shared, task), None))
            except CancelledError:
                return
            except BaseException as error:
                ended.put((number, None, error))


class _ThreadState:
    """Torch's settings of this thread: gradients, inference mode, autocast."""

    def __init__(self) -> None:
        self._grad, self._inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        self._autocast, self._dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    @contextmanager
    def restored(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(self._inference))
            stack.enter_context(torch.set_grad_enabled(self._grad))
            if self._autocast:
                stack.enter_context(torch.autocast("cpu", self._dtype))
            yield


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Set the torch threads of this thread, and MKL's of the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
