"""Operating system calls behind a file of bits."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ndg.atomic import reporting
from ndg.bits import file_format
from ndg.bits.file_format import SECTOR, Commit, Header
from ndg.bits.packing import LINE, Words
from ndg.errors import BitsError, OutputError

REMEDY = "free space, or choose a writable folder; committed examples are safe"


def create(path: Path, header: Header, commit: Commit, words: Words | None = None, finished: bytes = b"") -> int:
    """Descriptor of a new, locked, complete file.

    OutputError without space or permission.
    """
    part, start = partial_path(path), header.encode()
    with reporting(path, REMEDY):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        lock(part, descriptor)
    except OutputError:
        os.close(descriptor)
        raise
    try:
        with reporting(path, REMEDY):
            os.ftruncate(descriptor, 0)
            allocate(descriptor, len(start) + 8 * header.words * len(header.nodes))
            os.pwrite(descriptor, start, 0)
            os.pwrite(descriptor, finished, file_format.FINISHED_AT)
            os.pwrite(descriptor, replace(commit, boot=bytes(16)).encode(), SECTOR)
            if words is not None and words.size:
                target = map_words(descriptor, header, len(start), "r+")
                target[:, : words.shape[1]] = words
                flush(path, target)
            os.fsync(descriptor)
            part.replace(path)
            _flush_folder(path.parent)
            return descriptor
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def allocate(descriptor: int, size: int) -> None:
    """Reserve space; writing to a map of a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for at in range(0, size, 1 << 20):
        os.pwrite(descriptor, bytes(min(1 << 20, size - at)), at)


def _flush_folder(folder: Path) -> None:
    """Wait until the file's new name is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def map_words(descriptor: int, header: Header, start: int, mode: Any) -> Words:
    """Words of a file as a memory map."""
    shape = len(header.nodes), header.words
    if not shape[0]:
        return np.zeros(shape, np.uint64)
    with open(descriptor, "r+b" if mode == "r+" else "rb", closefd=False) as file:
        return np.memmap(file, np.dtype("<u8"), mode, start, shape)


def flush(path: Path, words: Words | None) -> None:
    """Wait until changes of a map are on the disk."""
    if isinstance(words, np.memmap):
        with reporting(path, REMEDY):
            words.flush()


def read_header(path: Path, descriptor: int) -> tuple[Header, int]:
    """Header of an open file, and where its words start."""
    return file_format.read_header(reads(descriptor), os.fstat(descriptor).st_size, path)


def reads(descriptor: int) -> file_format.Read:
    """Function that reads `count` bytes at an offset."""
    return lambda at, count: os.pread(descriptor, count, at)


def open_file(path: Path, flags: int) -> int:
    """Descriptor of an existing file."""
    if path.is_dir():
        raise BitsError(f"packed bits are one file; {path} is a folder; name a file in it")
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise BitsError(
            f"no packed bits can be read at {path}: {error.strerror}; write them with BitMatrix.save or BitFile"
        ) from error


def lock(path: Path, descriptor: int) -> None:
    """Lock a file against other writers, if its file system has locks."""
    busy = f"{path} is being written by another BitFile; close it, wait for its process, or choose another file"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(busy) from error
    except OSError:
        return
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise OutputError(busy)  # the file was replaced by a larger copy before this lock was taken


def partial_path(path: Path) -> Path:
    """Path of the growing copy, one per file."""
    return path.with_name(f".{path.name}.part")


def whole_lines(words: int) -> int:
    """Words rounded up to whole cache lines, at least one."""
    return max(-(-words // LINE) * LINE, LINE)


def boot_id() -> bytes:
    """Identifier of the machine's current boot, 16 bytes; zeros if unknown."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)
