"""Download of one file by HTTP: resumed, verified and atomic."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ndg import __version__
from ndg.atomic import reporting
from ndg.data.sources import File
from ndg.errors import DataError, DownloadError, OutputError
from ndg.literal import whole_number
from ndg.progress import log, meter

CHUNK = 1 << 16
SIGNATURES = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".zip": b"PK\x03\x04"}
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
LONGEST_WAIT = 60.0
FREE_SPACE = "free space, or choose another folder with --data"
RESUME = "the same command resumes the download"
REMEDY = f"check the network, and HTTPS_PROXY if there is a proxy; {RESUME}"


@dataclass(frozen=True)
class Patience:
    """Retry policy: failures in a row, first wait, timeout (seconds).

    Waits double.
    """

    attempts: int = 5
    wait: float = 1.0
    timeout: float = 30.0


class TemporaryError(Exception):
    """Error after which a retry may succeed."""


@dataclass
class Part:
    """Partial download: `done` of `total` bytes of a `version` at `url`."""

    path: Path
    url: str = ""
    version: str = ""
    total: int | None = None
    done: int = 0

    @classmethod
    def of(cls, path: Path) -> Part:
        """Part that an earlier command left of the file at `path`."""
        part = cls(path.with_name(f"{path.name}.part"))
        try:
            notes = json.loads(part.notes.read_text())
            url, version, total = notes["url"], notes["version"], notes["total"]
            done = part.path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return part
        known = isinstance(url, str) and isinstance(version, str) and (total is None or type(total) is int)
        return cls(part.path, url, version, total, done) if known else part

    @property
    def notes(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def begin(self, url: str, version: str, total: int | None) -> None:
        """Discard earlier content, and record the source of the new one."""
        self.remove()
        self.url, self.version, self.total = url, version, total
        self.notes.write_text(json.dumps({"url": url, "version": version, "total": total}))

    def remove(self) -> None:
        for path in (self.path, self.notes):
            path.unlink(missing_ok=True)
        self.url, self.version, self.total, self.done = "", "", None, 0


def fetch(file: File, folder: Path, patience: Patience | None = None) -> Path:
    """Path of a verified file, downloaded unless it exists.

    An interrupted download stays beside it as NAME.part, and the next command requests the rest, if the server sends
    ranges of the same version. Raises DataError for a file that is not the publisher's, DownloadError if no address
    serves it, and OutputError if it cannot be written.
    """
    path = folder / file.name
    if path.exists():
        check(file, path, "move it away, then run the same command to fetch the publisher's")
        return path
    with reporting(path, FREE_SPACE):
        folder.mkdir(parents=True, exist_ok=True)
        part = Part.of(path)
    failures: list[DataError | DownloadError] = []
    for url in sorted(file.urls, key=lambda url: url != part.url):
        try:
            _download(file, url, part, patience or Patience())
            check(file, part.path, f"it came from {url} and is removed; try later, or fetch it by hand", path.name)
        except (DataError, DownloadError) as error:
            failures.append(error)
            if isinstance(error, DataError):
                with reporting(path, FREE_SPACE):
                    part.remove()
            continue
        with reporting(path, FREE_SPACE):
            part.path.replace(path)
            part.remove()
        return path
    if wrong := next((error for error in failures if isinstance(error, DataError)), None):
        raise wrong
    raise DownloadError(
        f"{file.name} must be downloaded completely from its publisher; got {'; '.join(map(str, failures))}; {REMEDY}"
    )


def check(file: File, path: Path, remedy: str, name: str | None = None) -> None:
    """Raise DataError, ending in `remedy`, for a wrong checksum or file signature."""
    kind, _, expected = file.sum.partition(":")
    with path.open("rb") as content:
        signature = SIGNATURES.get(Path(file.name).suffix, b"")
        start = content.read(len(signature))
        content.seek(0)
        digest = hashlib.file_digest(content, kind).hexdigest() if kind else ""
    if digest != expected:
        raise DataError(f"{name or path} must have the {kind} sum {expected}; got {digest}; {remedy}")
    if start != signature:
        raise DataError(f"{name or path} must begin with {signature!r}, by its suffix; got {start!r}; {remedy}")


def size(count: int) -> str:
    """Number of bytes in human-readable form."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def _download(file: File, url: str, part: Part, patience: Patience) -> None:
    """Complete the part, with as many attempts as the policy allows."""
    furthest, failures, wait = part.done, 0, patience.wait
    while True:
        try:
            return _attempt(file, url, part, patience.timeout)
        except (TemporaryError, HTTPException, OSError) as error:
            cause = getattr(error, "reason", error)
            reason = str(cause) or type(cause).__name__
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise DownloadError(f"{url}: {reason}") from error
        failures += 1
        if part.done > furthest:
            furthest, failures, wait = part.done, 1, patience.wait
        if failures >= patience.attempts:
            raise DownloadError(f"{url}: {reason}")
        log.info("%s: %s; trying again in %.0f s", file.name, reason, wait)
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _attempt(file: File, url: str, part: Part, timeout: float) -> None:
    """One request, for the missing bytes if the server supports ranges."""
    resumes = part.url == url and part.done > 0 and bool(part.version)
    if resumes and part.done == part.total:
        return
    headers = {"Range": f"bytes={part.done}-", "If-Range": part.version} if resumes else {}
    with closing(_request(file, url, headers, timeout)) as response, reporting(part.path, FREE_SPACE):
        if response.status not in (200, 206):
            part.remove()  # 416: the file is now shorter than the part
            raise TemporaryError(f"HTTP {response.status} {response.reason}")
        if response.status == 206 and not (resumes and _continues(response, part)):
            part.remove()
            raise TemporaryError("the server sent another range than requested")
        if response.status == 200:
            length = response.headers.get("Content-Length", "")
            part.begin(url, _version(response), whole_number(length))
        else:
            log.info("%s: resuming at %s", file.name, size(part.done))
        _check_space(file, part)
        _receive(file, response, part)
    if part.total is not None and part.done != part.total:
        raise TemporaryError(f"the connection ended at {part.done:,} of {part.total:,} bytes")


def _request(file: File, url: str, ranges: dict[str, str], timeout: float) -> HTTPResponse:
    """Server's response: 200, 206, or 416 if there is nothing to send."""
    _check_scheme(file, url)
    headers = {"User-Agent": f"ndg/{__version__}", "Accept-Encoding": "identity", **ranges}
    try:
        response = build_opener(_Redirects(file)).open(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code == 416 and ranges and isinstance(error.fp, HTTPResponse):
            return error.fp
        error.close()
        if error.code in TEMPORARY:
            raise TemporaryError(f"HTTP {error.code} {error.reason}") from error
        raise DownloadError(f"{url}: HTTP {error.code} {error.reason}") from error
    assert isinstance(response, HTTPResponse)
    return response


def _receive(file: File, response: HTTPResponse, part: Part) -> None:
    """Append the response to the part, with a progress bar."""
    bar = meter(desc=file.name, total=part.total, initial=part.done, unit="B", unit_scale=True)
    with bar, part.path.open("ab", buffering=0) as out:
        while True:
            try:
                chunk = response.read1(CHUNK)
            except (OSError, HTTPException) as error:  # of the network, not of the disk
                raise TemporaryError(str(error) or type(error).__name__) from error
            if not chunk:
                break
            out.write(chunk)
            part.done += len(chunk)
            bar.update(len(chunk))
        os.fsync(out.fileno())


def _continues(response: HTTPResponse, part: Part) -> bool:
    """Whether a response continues the part of the same version."""
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    first_byte, _, total = span.partition("/")
    same = _version(response) in ("", part.version) and total in ("*", str(part.total))
    return same and unit == "bytes" and first_byte.partition("-")[0] == str(part.done)


def _version(response: HTTPResponse) -> str:
    """Server's name for a file version: strong ETag, else Last-Modified, else ""."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_space(file: File, part: Part) -> None:
    """Raise OutputError unless the rest, and an archive's content, fit."""
    if part.total is None:
        return
    needed = part.total - part.done + (part.total if file.inside is not None else 0)
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise OutputError(
            f"{file.name} needs {size(needed)} of free space in {part.path.parent}; there is {size(free)}; "
            f"{FREE_SPACE}; {RESUME}"
        )


def _check_scheme(file: File, url: str) -> None:
    """Raise DownloadError for an address without https, unless `plain`."""
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and file.plain):
        raise DownloadError(f"{file.name} must come by https{' or http' if file.plain else ''}; got {url}")


class _Redirects(HTTPRedirectHandler):
    """Follow redirects only to allowed addresses."""

    def __init__(self, file: File) -> None:
        self._file = file

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        _check_scheme(self._file, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
