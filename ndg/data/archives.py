"""Members of tar, zip and gz archives, which are trusted in nothing: names, links, sizes and damage are checked."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ndg.errors import DataError, OutputError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip", ".gz")

ROOM, RATIO = 64 << 20, 100
"""An archive may unpack to at most so many bytes, and so many times its own bytes more."""

CHUNK = 1 << 20
AGAIN = "copy the archive again from its publisher"

Member = tuple[PurePosixPath, io.BufferedIOBase]


def members(path: Path, suffixes: tuple[str, ...] = ()) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The names and the content of the files in an archive, in its order; with `suffixes` those that end in one.

    Nothing is written. Every name is checked, and the archive is read to its end, so that damage anywhere is found.
    Raises DataError that names the archive and the member.
    """
    with _refusing(path):
        for name, stream in _members(path):
            if not suffixes or name.name.lower().endswith(suffixes):
                yield name, stream.read()


def unpack(archive: Path, folder: Path) -> list[Path]:
    """The files that were in an archive, now below `folder`, in the archive's order: all of them or none.

    They are written beside `folder` and moved when the whole archive is sound; an unpacked `x.gz` is the file `x`.
    Modes and owners are not taken over. Raises DataError for an archive that is damaged or not safe, and where
    something of a member's name is in `folder` already; OutputError where nothing can be written.
    """
    _writing(folder, folder.parent.mkdir, parents=True, exist_ok=True)
    part = Path(_writing(folder, tempfile.mkdtemp, prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        part.chmod(0o755)
        names = []
        with _refusing(archive):
            for name, stream in _members(archive):
                names.append(name)
                _write(part / name, stream, archive)
        _move(part, folder, archive)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in names]


def _members(path: Path) -> Iterator[Member]:
    """Names and streams; each stream is read before the next member is asked for."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(f"an archive must end in {', '.join(SUFFIXES)}; got {path}; give another file")
    allowed = _Allowed(path)
    if name.endswith(".zip"):
        found = _zipped(path, allowed)
    elif name.endswith((".tar", ".tar.gz", ".tgz")):
        found = _tarred(path, allowed)
    else:
        found = _single(path, allowed)
    seen: set[PurePosixPath] = set()
    for inside, stream in found:
        if inside in seen:
            raise DataError(f"{path} must hold each member once; {str(inside)!r} comes twice; {AGAIN}")
        seen.add(inside)
        yield inside, stream


def _zipped(path: Path, allowed: _Allowed) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        _check_count(path, archive)
        for entry in archive.infolist():
            inside = _safe(path, entry.orig_filename)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(_special(path, entry.orig_filename, "a link or a device"))
            if not entry.is_dir():
                with archive.open(entry) as stream:
                    yield inside, _bounded(stream, allowed)


def _check_count(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile unless there are as many members as the end of the archive says: damage can hide some."""
    with path.open("rb") as file:
        file.seek(-22 - len(archive.comment), io.SEEK_END)
        promised = int.from_bytes(file.read(12)[10:], "little")
    found = len(archive.infolist())
    if promised not in (found, 0xFFFF):  # larger numbers stand elsewhere
        raise zipfile.BadZipFile(f"it promises {promised} members and has {found}")


def _tarred(path: Path, allowed: _Allowed) -> Iterator[Member]:
    packed = not path.name.lower().endswith(".tar")
    with gzip.open(path) if packed else path.open("rb") as raw:
        stream = _bounded(raw, allowed)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
            for entry in archive:
                inside = _safe(path, entry.name)
                if entry.isdir():
                    continue
                if not entry.isreg() or entry.issparse():
                    kind = "a link" if entry.issym() or entry.islnk() else "a device or a file with holes"
                    raise DataError(_special(path, entry.name, kind))
                content: Any = archive.extractfile(entry)
                yield inside, content
                archive.members.clear()  # type: ignore[attr-defined]  # it would remember every member
        while stream.read(CHUNK):  # the sum of a gzip file stands at its end
            pass


def _single(path: Path, allowed: _Allowed) -> Iterator[Member]:
    with gzip.open(path) as stream:
        yield _safe(path, path.name[: -len(".gz")]), _bounded(stream, allowed)


class _Header(tarfile.TarInfo):
    """A header that is damaged anywhere but at the beginning is an error too, and not the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # the mark at the end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {tarfile_.offset:,}") from error


class _Allowed:
    """How many bytes may still come out of an archive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        size = path.stat().st_size
        if not size:
            raise EOFError("it is empty")
        self.bound = self.left = ROOM + RATIO * size

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise DataError(
                f"{self.path} may unpack to at most {self.bound:,} bytes, {RATIO} times its own and {ROOM:,} more; "
                f"more came, as of an archive made to fill a disk; do not trust it, {AGAIN}"
            )


class _Bounded(io.RawIOBase):
    """A stream that counts what it gives."""

    def __init__(self, stream: Any, allowed: _Allowed) -> None:
        super().__init__()
        self._stream, self._allowed = stream, allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(min(len(buffer), CHUNK))
        self._allowed.take(len(chunk))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _bounded(stream: Any, allowed: _Allowed) -> io.BufferedIOBase:
    return io.BufferedReader(_Bounded(stream, allowed), CHUNK)


def _safe(path: Path, name: str) -> PurePosixPath:
    """The name of a member, which stays in the folder that it is unpacked to."""
    inside = PurePosixPath(name)
    escapes = inside.is_absolute() or ".." in inside.parts or re.match(r"[A-Za-z]:", name) is not None
    if escapes or "\\" in name or "\0" in name or not name:
        raise DataError(
            f"{path} must hold members with names below one folder; got {name[:200]!r}; do not trust it, {AGAIN}"
        )
    return inside


def _special(path: Path, name: str, kind: str) -> str:
    return f"{path} must hold files and folders only; {name[:200]!r} is {kind}; do not trust it, {AGAIN}"


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Damage in an archive as DataError."""
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError) as error:
        if isinstance(error, DataError | OutputError):
            raise
        raise DataError(f"{path} must be a whole archive, as its name says; {error}; {AGAIN}") from error


def _write(path: Path, stream: io.BufferedIOBase, archive: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{archive} must hold each name once; {path.name!r} is a file and a folder; {AGAIN}") from error
    except OSError as error:
        raise _unwritten(path, error) from error
    with file:
        while chunk := stream.read(CHUNK):
            _writing(path, file.write, chunk)


def _move(part: Path, folder: Path, archive: Path) -> None:
    """Move what was unpacked to its place; where that fails half-way, back again."""
    if not folder.exists():
        _writing(folder, part.rename, folder)
        return
    tops = sorted(part.iterdir())
    for top in tops:
        if (folder / top.name).exists():
            raise DataError(
                f"{archive} must be unpacked where its members are not; {folder / top.name} is there already; "
                "remove it or choose another folder"
            )
    moved: list[Path] = []
    try:
        for top in tops:
            moved.append(top.rename(folder / top.name))
    except OSError as error:
        for place in moved:
            place.rename(part / place.name)
        raise _unwritten(folder, error) from error


def _writing(path: Path, step: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return step(*arguments, **options)
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}; free space, or choose a folder that can be written to"
    )
