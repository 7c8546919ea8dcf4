"""What a file of bits asks of the operating system: space that is there, a lock, a map, and words on the disk."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt64

from ndg.bits import file_format
from ndg.bits.file_format import SECTOR, Commit, Header
from ndg.bits.packing import LINE
from ndg.errors import BitsError, OutputError

REMEDY = "free space, or choose a folder that can be written to; what was committed before is whole"


def make(
    path: Path,
    header: Header,
    commit: Commit,
    words: UInt64[np.ndarray, "node word"] | None = None,
    finished: bytes = b"",
) -> int:
    """The descriptor of a new file at `path`, locked, in place of any other; it is there whole or not at all.

    Raises OutputError where there is no space, or no permission.
    """
    part, start = beside(path), header.encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}; {REMEDY}") from error
    try:
        lock(part, descriptor)
    except OutputError:
        os.close(descriptor)
        raise
    try:
        os.ftruncate(descriptor, 0)
        allocate(descriptor, len(start) + 8 * header.words * len(header.nodes))
        os.pwrite(descriptor, start, 0)
        os.pwrite(descriptor, finished, file_format.FINISHED_AT)
        os.pwrite(descriptor, replace(commit, boot=bytes(16)).encode(), SECTOR)
        if words is not None and words.size:
            into = mapped(descriptor, header, len(start), "r+")
            into[:, : words.shape[1]] = words
            flush(path, into)
        os.fsync(descriptor)
        part.replace(path)
        _flush_folder(path.parent)
        return descriptor
    except BaseException as error:
        os.close(descriptor)
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"{path} cannot be written: {error.strerror or error}; {REMEDY}") from error
        raise


def allocate(descriptor: int, size: int) -> None:
    """Take the space on the disk now: when it is full while a map is written to, the process is killed."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for at in range(0, size, 1 << 20):
        os.pwrite(descriptor, bytes(min(1 << 20, size - at)), at)


def _flush_folder(folder: Path) -> None:
    """Wait until the disk knows which file has which name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mapped(descriptor: int, header: Header, start: int, mode: Any) -> UInt64[np.ndarray, "node word"]:
    """The words of a file where they lie; with mode `c`, what is written to them stays in memory."""
    shape = len(header.nodes), header.words
    if not shape[0]:
        return np.zeros(shape, np.uint64)
    with open(descriptor, "r+b" if mode == "r+" else "rb", closefd=False) as file:
        return np.memmap(file, np.dtype("<u8"), mode, start, shape)


def flush(path: Path, words: UInt64[np.ndarray, "node word"] | None) -> None:
    """Wait until what was written to a map is on the disk."""
    try:
        if isinstance(words, np.memmap):
            words.flush()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}; {REMEDY}") from error


def header_of(path: Path, descriptor: int) -> tuple[Header, int]:
    """The header of an open file, and where its words start."""
    return file_format.read_header(reader(descriptor), os.fstat(descriptor).st_size, path)


def reader(descriptor: int) -> file_format.Read:
    """What reads so many bytes at a place of an open file."""
    return lambda at, count: os.pread(descriptor, count, at)


def opened(path: Path, flags: int) -> int:
    """The descriptor of a file that is there."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise BitsError(
            f"no packed bits can be read at {path}: {error.strerror}; BitMatrix.save and BitFile write such files"
        ) from error


def lock(path: Path, descriptor: int) -> None:
    """Keep others from writing, where the file system has locks; it ends with the descriptor."""
    busy = f"{path} is being written by another BitFile; close it, wait for its process, or choose another file"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(busy) from error
    except OSError:
        return
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise OutputError(busy)  # it grew, and another file took its place, before the lock was had


def beside(path: Path) -> Path:
    """Where a file grows before it takes its place; one name, so that a crash leaves no more than one."""
    return path.with_name(f".{path.name}.part")


def rounded(words: int) -> int:
    """Whole cache lines, at least one."""
    return max(-(-words // LINE) * LINE, LINE)


def boot() -> bytes:
    """What is the same until the machine starts anew; zeros where it does not say."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)
