"""One file by HTTP from the first address that gives it: resumed, verified, there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ndg import __version__
from ndg.data.sources import File
from ndg.errors import DataError, DownloadError, OutputError
from ndg.progress import log, visible

CHUNK = 1 << 16
BEGINNINGS = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".zip": b"PK\x03\x04"}
PASSING = (408, 425, 429, 500, 502, 503, 504)
LONGEST_WAIT = 60.0
RESUME = "the same command goes on where it stopped"
REMEDY = f"look at the network, and at HTTPS_PROXY where there is a proxy; {RESUME}"


@dataclass(frozen=True)
class Patience:
    """How often in a row a server is asked in vain, the first wait (it doubles), when silence is an error; seconds.

    An attempt that brings the file further than any before it was not in vain.
    """

    attempts: int = 5
    wait: float = 1.0
    timeout: float = 30.0


class PassingError(Exception):
    """The server may answer better when it is asked again."""


@dataclass
class Part:
    """What has come of a file: `done` bytes in `path`, of `total`, from `url`, of what the server calls `version`."""

    path: Path
    url: str = ""
    version: str = ""
    total: int | None = None
    done: int = 0

    @classmethod
    def of(cls, path: Path) -> Part:
        """What an earlier command left of the file that will be `path`."""
        part = cls(path.with_name(f"{path.name}.part"))
        try:
            notes = json.loads(part.notes.read_text())
            url, version, total = notes["url"], notes["version"], notes["total"]
            done = part.path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return part
        known = isinstance(url, str) and isinstance(version, str) and (total is None or type(total) is int)
        return cls(part.path, url, version, total, done) if known else part

    @property
    def notes(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def begin(self, url: str, version: str, total: int | None) -> None:
        """Forget what came before, and note what comes now."""
        self.remove()
        self.url, self.version, self.total = url, version, total
        self.notes.write_text(json.dumps({"url": url, "version": version, "total": total}))

    def remove(self) -> None:
        for path in (self.path, self.notes):
            path.unlink(missing_ok=True)
        self.url, self.version, self.total, self.done = "", "", None, 0


def fetch(file: File, folder: Path, patience: Patience | None = None) -> Path:
    """The path of a file in a folder, fetched unless it is there, and verified.

    What has come stays beside it as NAME.part when the command is interrupted, and the next one asks for the rest; all
    of it comes again where the server gives no parts, or has another version by now.

    Raises DataError for a file that is not the publisher's, DownloadError when no address gives it, and OutputError
    when it cannot be written.
    """
    path = folder / file.name
    if path.exists():
        check(file, path, "move it away, and the same command fetches the publisher's")
        return path
    with _writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        part = Part.of(path)
    failures: list[DataError | DownloadError] = []
    for url in sorted(file.urls, key=lambda url: url != part.url):
        try:
            _bring(file, url, part, patience or Patience())
            check(file, part.path, f"it came from {url} and is removed; try later, or fetch it by hand", path.name)
        except DownloadError as error:
            failures.append(error)
            continue
        except DataError as error:
            failures.append(error)
            with _writing(path):
                part.remove()
            continue
        with _writing(path):
            part.path.replace(path)
            part.remove()
        return path
    if wrong := next((error for error in failures if isinstance(error, DataError)), None):
        raise wrong
    raise DownloadError(
        f"{file.name} must come whole from where it is published; got {'; '.join(map(str, failures))}; {REMEDY}"
    )


def check(file: File, path: Path, remedy: str, name: str | None = None) -> None:
    """Raise DataError, which ends in `remedy`, unless the content of a path begins as its kind does and has its sum."""
    kind, _, wanted = file.sum.partition(":")
    with path.open("rb") as content:
        beginning = BEGINNINGS.get(Path(file.name).suffix, b"")
        start = content.read(len(beginning))
        content.seek(0)
        found = hashlib.file_digest(content, kind).hexdigest() if kind else ""
    if found != wanted:
        raise DataError(f"{name or path} must have the {kind} sum {wanted}; got {found}; {remedy}")
    if start != beginning:
        raise DataError(f"{name or path} must begin with {beginning!r}, as its kind does; got {start!r}; {remedy}")


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, each in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{count} bytes"


def _bring(file: File, url: str, part: Part, patience: Patience) -> None:
    """Bring the part to its end, by as many attempts as patience allows."""
    furthest, vain, wait = part.done, 0, patience.wait
    while True:
        try:
            return _attempt(file, url, part, patience.timeout)
        except (PassingError, HTTPException, OSError) as error:
            cause = getattr(error, "reason", error)
            reason = str(cause) or type(cause).__name__
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise DownloadError(f"{url}: {reason}") from error
        vain = 1 if part.done > furthest else vain + 1
        wait = patience.wait if part.done > furthest else wait
        furthest = max(furthest, part.done)
        if vain >= patience.attempts:
            raise DownloadError(f"{url}: {reason}")
        log.info("%s: %s; asking again in %.0f s", file.name, reason, wait)
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _attempt(file: File, url: str, part: Part, timeout: float) -> None:
    """One request, for what is missing where the server can give that, and what it brings."""
    resumes = part.url == url and part.done > 0 and bool(part.version)
    if resumes and part.done == part.total:
        return
    wanted = {"Range": f"bytes={part.done}-", "If-Range": part.version} if resumes else {}
    with closing(_ask(file, url, wanted, timeout)) as response, _writing(part.path):
        if response.status not in (200, 206):
            part.remove()  # 416: the file has become shorter than the part
            raise PassingError(f"HTTP {response.status} {response.reason}")
        if response.status == 206 and not (resumes and _continues(response, part)):
            part.remove()
            raise PassingError("the server sends another part than the one that was asked for")
        if response.status == 200:
            length = response.headers.get("Content-Length", "")
            part.begin(url, _version(response), int(length) if length.isdecimal() else None)
        else:
            log.info("%s: going on at %s", file.name, size(part.done))
        _room(file, part)
        _receive(file, response, part)
    if part.total is not None and part.done != part.total:
        raise PassingError(f"the connection ended at {part.done:,} of {part.total:,} bytes")


def _ask(file: File, url: str, wanted: dict[str, str], timeout: float) -> HTTPResponse:
    """The server's answer: 200, 206, or 416 where there is nothing to send."""
    _secure(file, url)
    headers = {"User-Agent": f"ndg/{__version__}", "Accept-Encoding": "identity", **wanted}
    try:
        response = build_opener(_Redirects(file)).open(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code == 416 and wanted and isinstance(error.fp, HTTPResponse):
            return error.fp
        error.close()
        if error.code in PASSING:
            raise PassingError(f"HTTP {error.code} {error.reason}") from error
        raise DownloadError(f"{url}: HTTP {error.code} {error.reason}") from error
    assert isinstance(response, HTTPResponse)
    return response


def _receive(file: File, response: HTTPResponse, part: Part) -> None:
    """Append what the server sends, with a bar when a person is watching."""
    from tqdm import tqdm

    bar = tqdm(
        desc=file.name,
        total=part.total,
        initial=part.done,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        dynamic_ncols=True,
        leave=False,
        disable=not visible(),
    )
    with bar, part.path.open("ab", buffering=0) as out:
        while chunk := _chunk(response):
            out.write(chunk)
            part.done += len(chunk)
            bar.update(len(chunk))
        os.fsync(out.fileno())


def _chunk(response: HTTPResponse) -> bytes:
    """What has come by now; an error of the network is told from one of the disk."""
    try:
        return response.read1(CHUNK)
    except (OSError, HTTPException) as error:
        raise PassingError(str(error) or type(error).__name__) from error


def _continues(response: HTTPResponse, part: Part) -> bool:
    """Whether an answer begins where the part ends, and is of the same version and length."""
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    place, _, total = span.partition("/")
    same = _version(response) in ("", part.version) and total in ("*", str(part.total))
    return same and unit == "bytes" and place.partition("-")[0] == str(part.done)


def _version(response: HTTPResponse) -> str:
    """What the server calls this version of a file, by a strong name or the time of the last change, else nothing."""
    name: str = response.headers.get("ETag", "")
    return name if name.startswith('"') else response.headers.get("Last-Modified", "")


def _room(file: File, part: Part) -> None:
    """Raise OutputError unless what is still to come fits on the disk, and an archive once more for its content."""
    if part.total is None:
        return
    needed = part.total - part.done + (part.total if file.inside is not None else 0)
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise OutputError(
            f"{file.name} needs {size(needed)} of free space in {part.path.parent}; there is {size(free)}; "
            f"make room, or choose another folder with --data; {RESUME}"
        )


def _secure(file: File, url: str) -> None:
    """Raise DownloadError for an address that is not https, nor http for a file that may come so."""
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and file.plain):
        raise DownloadError(f"{file.name} comes by https{' or http' if file.plain else ''} only; got {url}")


class _Redirects(HTTPRedirectHandler):
    """Goes on only to where the file may come from."""

    def __init__(self, file: File) -> None:
        self._file = file

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        _secure(self._file, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """While it lasts, an error of the disk is an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}; make room, or choose another folder with --data"
        ) from error
