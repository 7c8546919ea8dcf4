"""Data sets downloaded from their publishers, unpacked, and read once."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ndg.config import Data
from ndg.data import DATASETS, absent, archives
from ndg.data.file_download import Patience, fetch, size
from ndg.data.sources import SOURCES, File, Source
from ndg.errors import DataError, OutputError, nearest

SHOWN = ("needs", "get", "licence", "cite")
NO_SUM = "no official checksum, counts are checked on reading"


@dataclass(frozen=True)
class Fetched:
    """Result of `get`: the downloaded files, their check, place and content."""

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


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set, and its folder, if any."""

    name: str
    what: str
    at_hand: str | None
    needs: str
    get: str
    licence: str
    cite: str

    def text(self) -> str:
        rows = {"at hand": self.at_hand or "no"} | {key: getattr(self, key) for key in SHOWN}
        return "\n".join([f"{self.name}: {self.what}", *(f"  {key:8} {row}" for key, row in rows.items() if row)])


def entries(folder: str | Path | None, names: Sequence[str] = ()) -> list[DatasetInfo]:
    """Facts about the named data sets, or all of them."""
    for name in names:
        if name not in DATASETS:
            raise DataError(f"a data set must be a known name; got {name!r}; {nearest(name, DATASETS)}")
    return [_entry(name, SOURCES[name], None if folder is None else Path(folder)) for name in names or DATASETS]


def source_of(name: str, sources: dict[str, Source] = SOURCES) -> Source:
    """Source of a data set.

    DataError if unknown or without a download.
    """
    if name not in sources:
        raise DataError(f"a data set must be a known name; got {name!r}; {nearest(name, sources)}")
    if not sources[name].files:
        raise DataError(f"data set {name!r} has no download; {sources[name].instead}")
    return sources[name]


def get(
    name: str, folder: str | Path, sources: dict[str, Source] = SOURCES, patience: Patience | None = None
) -> Fetched:
    """Download, verify, unpack and read a data set below `folder`.

    Raises as `source_of` and `fetch`.
    """
    source, folder = source_of(name, sources), Path(folder)
    home = folder / source.folder
    missing = [file for file in source.files if _is_missing(file, home)]
    for file in missing:
        path = fetch(file, home, patience)
        if file.inside is not None:
            _unpack(file, path, home)
    dataset = DATASETS[name]
    pool = dataset.read(home, Data(name=name, dir=str(home), size=64))
    home_read = dataset.home(folder)
    hint = f"{home_read} takes precedence; set data.dir={home}" if not home_read.samefile(home) else ""
    fetched = tuple(file.name for file in missing)
    return Fetched(name, fetched, _checked(missing), str(home), pool.source, len(pool.class_names), hint)


def _is_missing(file: File, home: Path) -> bool:
    """Whether a file must be fetched.

    DataError if only some files of an archive exist.
    """
    existing = [name for name in file.results if (home / name).exists()]
    packed = file.inside is not None and (home / file.name).exists()
    missing = packed or len(existing) < len(file.results)
    if missing and existing and not packed:
        raise DataError(
            f"{home} must have all of {', '.join(file.results)} or none; got {', '.join(existing)}; "
            "move these away, then run the same command to fetch all"
        )
    return missing


def _unpack(file: File, path: Path, home: Path) -> None:
    """Move the wanted files of an archive into place and remove it."""
    try:
        with TemporaryDirectory(prefix=f".{file.name}.", dir=home) as place:
            inside = _content(file, path, Path(place))
            paths = [path for name in file.holds for path in [inside / name, *(inside / name).rglob("*")]]
            moves = {path: home / path.relative_to(inside) for path in paths if path.is_file()}
            for new, old in moves.items():
                if old.exists() and not filecmp.cmp(new, old, shallow=False):
                    raise DataError(
                        f"{old} must equal the one in {file.name}, or not exist; it differs; "
                        "move it away, then run the same command"
                    )
            for new, old in moves.items():
                old.parent.mkdir(parents=True, exist_ok=True)
                new.replace(old)
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be unpacked into {home}: {error.strerror or error}; free space, or choose another folder"
        ) from error


def _content(file: File, path: Path, place: Path) -> Path:
    """Folder with the unpacked, complete content of an archive."""
    try:
        archives.unpack(path, place)
        inside = place / (file.inside or "")
        if lacking := [name for name in file.holds if not (inside / name).exists()]:
            raise DataError(f"{path} must contain {', '.join(file.holds)}; it lacks {', '.join(lacking)}")
    except DataError as error:
        path.unlink()
        raise DataError(f"{error}; it was removed; run the same command to fetch it again") from error
    return inside


def _entry(name: str, source: Source, folder: Path | None) -> DatasetInfo:
    dataset = DATASETS[name]
    reason = absent(Data(name=name, dir=str(folder) if folder else None))
    home = str(dataset.home(folder)) if dataset.files and folder else "bundled"
    needs, way = dataset.needs, source.instead
    if dataset.files == ("*",):  # any folder qualifies
        reason, needs = "", "JPEG or PNG files in a folder for each class, in the folder that data.dir names"
    if source.files:
        amount = size(source.size) if source.size else "size not published"
        way = f"ndg data get {name} ({amount}, {_checked(source.files)})"
    place = home if reason is None else None
    return DatasetInfo(name, source.what, place, needs, way, source.licence, source.cite)


def _checked(files: Sequence[File]) -> str:
    """How files were verified."""
    kinds = sorted({file.sum.partition(":")[0] for file in files})
    return NO_SUM if "" in kinds else f"verified by {' and '.join(kinds)}"
