"""Data sets fetched from their publishers into the folder of data, unpacked, and read once."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ndg.config import Data
from ndg.data import DATASETS, absent, archives
from ndg.data.file_download import Patience, fetch, size
from ndg.data.sources import SOURCES, File, Source
from ndg.errors import DataError, OutputError, nearest

NO_SUM = "no official checksum, counts are checked on reading"


@dataclass(frozen=True)
class Got:
    """A data set that was fetched: what came and how it was `checked`, where it lies, what reading it found, and a
    `hint` where one is due."""

    name: str
    fetched: tuple[str, ...]
    checked: str
    folder: str
    found: str
    classes: int
    hint: str = ""

    def text(self) -> str:
        done = f"fetched {', '.join(self.fetched)} ({self.checked}) into" if self.fetched else "already complete in"
        lines = [f"{self.name}: {done} {self.folder}", f"  {self.found}; {self.classes} classes"]
        return "\n".join([*lines, f"  {self.hint}"] if self.hint else lines)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Entry:
    """What is known of a data set, and where it is at hand (None: nowhere)."""

    name: str
    what: str
    at_hand: str | None
    needs: str
    get: str
    licence: str
    cite: str

    def text(self) -> str:
        rows = {
            "at hand": self.at_hand or "no",
            "needs": self.needs,
            "get": self.get,
            "licence": self.licence,
            "cite": self.cite,
        }
        return "\n".join([f"{self.name}: {self.what}", *(f"  {key:8} {row}" for key, row in rows.items() if row)])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def entries(folder: Path | None, names: Sequence[str] = ()) -> list[Entry]:
    """The named data sets, or all of them, and which of them a folder has. Raises DataError for an unknown name."""
    for name in names:
        if name not in DATASETS:
            raise DataError(f"a data set must be a known one; got {name!r}; {nearest(name, DATASETS)}")
    return [_entry(name, SOURCES[name], folder) for name in names or DATASETS]


def source_of(name: str, sources: dict[str, Source] = SOURCES) -> Source:
    """Where a data set comes from. Raises DataError for an unknown one, and for one that nobody can fetch."""
    if name not in sources:
        raise DataError(f"a data set must be a known one; got {name!r}; {nearest(name, sources)}")
    if not sources[name].files:
        raise DataError(f"data set {name!r} has no download; {sources[name].instead}")
    return sources[name]


def get(name: str, folder: Path, sources: dict[str, Source] = SOURCES, patience: Patience | None = None) -> Got:
    """A data set in its place below `folder`: fetched where it is not complete there, verified, unpacked and read once.

    Raises DataError for an unknown data set, one without a download, and files that are not the publisher's;
    DownloadError and OutputError as `fetch` does.
    """
    source = source_of(name, sources)
    home = folder / source.folder
    missing = [file for file in source.files if not _complete(file, home)]
    for file in missing:
        _free(file, home)
    for file in missing:
        path = fetch(file, home, patience)
        if file.inside is not None:
            _unpack(file, path, home)
    dataset = DATASETS[name]
    pool = dataset.read(home, Data(name=name, dir=str(home), size=64))
    first = dataset.home(folder)
    hint = f"{first} is found before it; set data.dir={home}" if not first.samefile(home) else ""
    fetched = tuple(file.name for file in missing)
    return Got(name, fetched, _checked(missing), str(home), pool.source, len(pool.class_names), hint)


def _complete(file: File, home: Path) -> bool:
    """Whether all that a file brings is there; an archive that lies there was not wholly unpacked."""
    packed = file.inside is not None and (home / file.name).exists()
    return not packed and all((home / each).exists() for each in file.results)


def _free(file: File, home: Path) -> None:
    """Raise DataError where an archive would meet some of its files, of which nobody knows whether they are whole."""
    there = [each for each in file.results if (home / each).exists()]
    if there and file.inside is not None and not (home / file.name).exists():
        raise DataError(
            f"{home} must have all of {', '.join(file.results)} or none; got {', '.join(there)}; "
            "move what is there away, and the same command fetches all"
        )


def _unpack(file: File, path: Path, home: Path) -> None:
    """Put what is wanted of an archive into its place, file by file and over no other file; then remove the archive.

    An archive that is not sound or lacks a file is removed as well, since fetching it again is the only remedy.
    """
    try:
        with TemporaryDirectory(prefix=f".{file.name}.", dir=home) as place:
            inside = _content(file, path, Path(place))
            wanted = [each for name in file.holds for each in [inside / name, *(inside / name).rglob("*")]]
            moves = {each: home / each.relative_to(inside) for each in wanted if each.is_file()}
            for new, old in moves.items():
                if old.exists() and not filecmp.cmp(new, old, shallow=False):
                    raise DataError(
                        f"{old} must be as it is in {file.name}, or not there; it differs; "
                        "move it away, and the same command goes on"
                    )
            for new, old in moves.items():
                old.parent.mkdir(parents=True, exist_ok=True)
                new.replace(old)
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be unpacked into {home}: {error.strerror or error}; make room, or choose another folder"
        ) from error


def _content(file: File, path: Path, place: Path) -> Path:
    """The folder with what is wanted of an archive, unpacked. Raises DataError for one that is not as it should be."""
    try:
        archives.unpack(path, place)
        inside = place / (file.inside or "")
        if lacking := [each for each in file.holds if not (inside / each).exists()]:
            raise DataError(f"{path} must hold {', '.join(file.holds)}; it lacks {', '.join(lacking)}")
    except DataError as error:
        path.unlink()
        raise DataError(f"{error}; it is removed, and the same command fetches it again") from error
    return inside


def _entry(name: str, source: Source, folder: Path | None) -> Entry:
    dataset = DATASETS[name]
    reason = absent(Data(name=name, dir=str(folder) if folder else None))
    home = str(dataset.home(folder)) if dataset.files and folder else "bundled"
    needs = ", ".join(dataset.files).replace("|", " or ")
    if dataset.files == ("*",):  # any folder would do
        reason, needs = "", "JPEG or PNG files in a folder for each class, in the folder that data.dir names"
    if packed := [suffix for suffix in dataset.suffixes if suffix and needs]:
        needs += f" (or each with {' or '.join(packed)})"
    return Entry(
        name, source.what, None if reason is not None else home, needs, _way(name, source), source.licence, source.cite
    )


def _way(name: str, source: Source) -> str:
    """How to come by a data set."""
    if not source.files:
        return source.instead
    told = size(source.size) if source.size else "size not published"
    return f"ndg data get {name} ({told}, {_checked(source.files)})"


def _checked(files: Sequence[File]) -> str:
    """How it is known that files are the publisher's."""
    kinds = sorted({file.sum.partition(":")[0] for file in files})
    return NO_SUM if "" in kinds else f"verified by {' and '.join(kinds)}"
