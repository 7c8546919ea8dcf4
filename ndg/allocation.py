"""Memory allocation: keep freed large blocks for reuse, and search for garbage more rarely.

By default glibc maps every block above a few megabytes and unmaps it when it is freed, and forward passes spend much
time in the kernel clearing pages; without it convolutions of an MNIST network run 1.7 times as fast. All threads share
one arena: arenas of their own are too small for large blocks, and two threads would gain 1.4 instead of 1.9.
"""

from __future__ import annotations

import ctypes
import gc
import platform

MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8  # parameters of mallopt(3)
LARGEST = 1 << 30
NEW_OBJECTS = 20_000
"""New objects after which the garbage collector looks for cycles, instead of 700."""


def keep_blocks() -> bool:
    """Keep freed blocks in this process; False without glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    values = {MMAP_THRESHOLD: LARGEST, TRIM_THRESHOLD: 2**31 - 1, ARENA_MAX: 1}
    return all(mallopt(parameter, value) for parameter, value in values.items())


def collect_less() -> None:
    """Collect garbage more rarely in this process.

    Importing torch and numba makes many objects and no garbage; to search them took a fifth of the start.
    """
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
