"""Kernels compiled by numba, kept on disk where that is possible."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numba
from numba.core import event

from ndg.progress import log


def njit(*signatures: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` that keeps compiled code on disk, and compiles again where it cannot.

    Without a writable folder numba refuses to compile at all, and a damaged file of compiled code may raise anything.
    """

    compiler: Any = numba.njit

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            with event.install_listener("numba:compile", _Compiling()):
                return compiler(*signatures, cache=True, **options)(function)
        except Exception as error:
            kernel = compiler(*signatures, **options)(function)
            log.debug("%s is compiled anew: %r", function.__qualname__, error)
            _warn()
            return kernel

    return compiled


@contextmanager
def torch_threads_restored() -> Iterator[None]:
    """Restore torch's number of threads: parallel kernels change it, as both use OpenMP."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)


class _Compiling(event.Listener):
    """Says once that kernels are compiled; one that is read from the disk starts no such event."""

    def on_start(self, event: Any) -> None:
        _say()

    def on_end(self, event: Any) -> None:
        pass


@cache
def _say() -> None:
    settings: Any = numba.core.config
    folder = settings.CACHE_DIR or "the __pycache__ folders of ndg"
    log.info("compiling kernels for this machine: some seconds, once; later processes read them from %s", folder)


@cache
def _warn() -> None:
    log.warning(
        "compiled kernels must be kept in a folder, or each process compiles them again, for some seconds; none "
        "can be written, or its files are damaged; set NUMBA_CACHE_DIR to an empty folder that can be written to"
    )
