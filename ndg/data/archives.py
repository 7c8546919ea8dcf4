"""Members of tar, zip and gz archives: untrusted, so everything is checked."""

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

from ndg.atomic import reporting
from ndg.errors import DataError, OutputError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip", ".gz")

ROOM, RATIO = 64 << 20, 100
"""Limit of unpacked bytes: ROOM plus RATIO times the size of the archive."""

CHUNK = 1 << 20
REMEDY = "free space, or choose a writable folder"
AGAIN = "copy the archive again from its publisher"

Member = tuple[PurePosixPath, io.BufferedIOBase]


def members(path: Path, suffixes: tuple[str, ...] = ()) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Names and content of files in an archive, by suffix.

    DataError for damage anywhere.
    """
    with _checked(path):
        for name, stream in _members(path):
            if not suffixes or name.name.lower().endswith(suffixes):
                yield name, stream.read()


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Files of an archive, unpacked below `folder`: all of them or none.

    An unpacked `x.gz` is the file `x`; modes and owners are not restored. Raises DataError for an archive that is
    damaged or unsafe, and if a member's name exists in `folder`; OutputError if nothing can be written.
    """
    with reporting(folder, REMEDY):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        part.chmod(0o755)
        names = []
        with _checked(archive):
            for name, stream in _members(archive):
                names.append(name)
                _write(part / name, stream, archive)
        _move(part, folder, archive)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in names]


def _members(path: Path) -> Iterator[Member]:
    """Names and streams; read each stream before the next member."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(f"an archive must end in {', '.join(SUFFIXES)}; got {path}; give another file")
    budget = _Budget(path)
    if name.endswith(".zip"):
        entries = _zip_members(path, budget)
    elif name.endswith((".tar", ".tar.gz", ".tgz")):
        entries = _tar_members(path, budget)
    else:
        entries = _gzip_member(path, budget)
    seen: set[PurePosixPath] = set()
    for inside, stream in entries:
        if inside in seen:
            raise DataError(f"{path} must have each member once; {str(inside)!r} comes twice; {AGAIN}")
        seen.add(inside)
        yield inside, stream


def _zip_members(path: Path, budget: _Budget) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        _check_count(path, archive)
        for entry in archive.infolist():
            inside = _safe(path, entry.orig_filename)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(_forbidden(path, entry.orig_filename, "a link or a device"))
            if not entry.is_dir():
                with archive.open(entry) as stream:
                    yield inside, io.BufferedReader(_Limited(stream, budget), CHUNK)


def _check_count(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile if the archive's end states another number of members."""
    with path.open("rb") as file:
        file.seek(-22 - len(archive.comment), io.SEEK_END)
        promised = int.from_bytes(file.read(12)[10:], "little")
    count = len(archive.infolist())
    if promised not in (count, 0xFFFF):  # larger numbers are stored elsewhere
        raise zipfile.BadZipFile(f"it promises {promised} members and has {count}")


def _tar_members(path: Path, budget: _Budget) -> Iterator[Member]:
    compressed = not path.name.lower().endswith(".tar")
    with gzip.open(path) if compressed else path.open("rb") as raw:
        stream = io.BufferedReader(_Limited(raw, budget), CHUNK)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
            for entry in archive:
                inside = _safe(path, entry.name)
                if entry.isdir():
                    continue
                if not entry.isreg() or entry.issparse():
                    kind = "a link" if entry.issym() or entry.islnk() else "a device or a file with holes"
                    raise DataError(_forbidden(path, entry.name, kind))
                content: Any = archive.extractfile(entry)
                yield inside, content
                archive.members.clear()  # type: ignore[attr-defined]  # else it would store every member
        while stream.read(CHUNK):  # the checksum of gzip is at its end
            pass


def _gzip_member(path: Path, budget: _Budget) -> Iterator[Member]:
    with gzip.open(path) as stream:
        yield _safe(path, path.name[: -len(".gz")]), io.BufferedReader(_Limited(stream, budget), CHUNK)


class _Header(tarfile.TarInfo):
    """Tar header that raises on damage anywhere, not only at the beginning."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # regular end mark
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {tarfile_.offset:,}") from error


class _Budget:
    """Number of bytes that may still come out of an archive."""

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
                f"got more, as from an archive made to fill a disk; do not trust it, {AGAIN}"
            )


class _Limited(io.RawIOBase):
    """Stream that counts its bytes."""

    def __init__(self, stream: Any, budget: _Budget) -> None:
        super().__init__()
        self._stream, self._allowed = stream, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(min(len(buffer), CHUNK))
        self._allowed.take(len(chunk))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _safe(path: Path, name: str) -> PurePosixPath:
    """Name of a member, checked to stay inside the folder."""
    inside = PurePosixPath(name)
    escapes = inside.is_absolute() or ".." in inside.parts or re.match(r"[A-Za-z]:", name) is not None
    if escapes or "\\" in name or "\0" in name or not name:
        raise DataError(
            f"{path} must have members with names below one folder; got {name[:200]!r}; do not trust it, {AGAIN}"
        )
    return inside


def _forbidden(path: Path, name: str, kind: str) -> str:
    return f"{path} must contain files and folders only; {name[:200]!r} is {kind}; do not trust it, {AGAIN}"


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    """Raise DataError for any damage of an archive."""
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError) as error:
        if isinstance(error, DataError | OutputError):
            raise
        raise DataError(f"{path} must be a whole archive, as its name says; {error}; {AGAIN}") from error


def _write(path: Path, stream: io.BufferedIOBase, archive: Path) -> None:
    with reporting(path, REMEDY):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(
                f"{archive} must have each name once; {path.name!r} is a file and a folder; {AGAIN}"
            ) from error
    with file:
        while chunk := stream.read(CHUNK):
            with reporting(path, REMEDY):
                file.write(chunk)


def _move(part: Path, folder: Path, archive: Path) -> None:
    """Move unpacked files to their place; undo it after a failure."""
    if not folder.exists():
        with reporting(folder, REMEDY):
            part.rename(folder)
        return
    tops = sorted(part.iterdir())
    for top in tops:
        if (folder / top.name).exists():
            raise DataError(
                f"{archive} must be unpacked to a folder without its members; {folder / top.name} exists already; "
                "remove it or choose another folder"
            )
    moved: list[Path] = []
    with reporting(folder, REMEDY):
        try:
            for top in tops:
                moved.append(top.rename(folder / top.name))
        except OSError:
            for place in moved:
                place.rename(part / place.name)
            raise
