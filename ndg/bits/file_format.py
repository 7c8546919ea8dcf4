"""Format of packed booleans in a file, and checks on reading.

    bytes         content (numbers little-endian)
    0 to 511      `NDGBITS` and a zero byte; version, uint32; length of the header, uint64; SHA-256 of the header
    512 to 2559   four commits of 512 bytes: number of the commit, uint64; examples, uint64; how many of them were
                  predicted correctly, int64 (-1: unknown); boot of the machine, 16 bytes; SHA-256 of these 40 bytes;
                  checksum of the words up to these examples, 16 bytes; whether the file is finished, 1 byte; SHA-256 of
                  all that
    2560 to 4095  when finished: length, uint32; SHA-256; JSON {examples, correct, sample: [seed, of] or null, digest}
    4096 on       the header, JSON: nodes, thresholds (null for NaN), binarizer, source, words (of a row), network
                  ("" or missing: unknown), checksums (true; missing: commits end after their first SHA-256)
    then          from the next multiple of 4096 on, the words, row by row; bit j of word w is example 64 * w + j

The commit with the highest number is the state; bits past its examples mean nothing. The first two commits alternate
and are written after the words have reached the disk. The last two alternate without that wait, and count only until
the machine restarts. So one complete commit exists whenever a process or the machine stops.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ndg import checksums
from ndg.errors import BitsError
from ndg.nodes import NodeSpace

MAGIC, VERSION = b"NDGBITS\0", 1
PAGE, SECTOR, COMMITS = 4096, 512, 4
FINISHED_AT = SECTOR * (1 + COMMITS)
START, COMMIT, FINISHED, DIGEST = struct.Struct("<8sIQ32s"), struct.Struct("<QQq16s"), struct.Struct("<I32s"), 32
SUMMED = COMMIT.size + DIGEST + checksums.SIZE
WHOLE = SUMMED + 1
AGAIN = "extract again"
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, eq=False)
class Header:
    """Facts of a new file: nodes, thresholds, network, words per row."""

    nodes: NodeSpace
    thresholds: Float64[np.ndarray, " neuron"]
    binarizer: str
    source: str
    words: int
    network: str = ""
    checksums: bool = True

    def encode(self) -> bytes:
        """All bytes before the words, without a commit."""
        content = {
            "nodes": self.nodes.to_dict(),
            "thresholds": plain_thresholds(self.thresholds),
            "binarizer": self.binarizer,
            "source": self.source,
            "words": self.words,
            "network": self.network,
        } | ({"checksums": True} if self.checksums else {})
        text = json.dumps(content, allow_nan=False).encode()
        start = START.pack(MAGIC, VERSION, len(text), hashlib.sha256(text).digest())
        return start.ljust(PAGE, b"\0") + text.ljust(-(-len(text) // PAGE) * PAGE, b"\0")


@dataclass(frozen=True)
class Commit:
    """Number of complete examples, and of correct predictions if known."""

    number: int = 0
    examples: int = 0
    correct: int | None = None
    boot: bytes = bytes(16)
    checksum: bytes = b""
    finished: bool = False

    def encode(self) -> bytes:
        raw = COMMIT.pack(self.number, self.examples, -1 if self.correct is None else self.correct, self.boot)
        raw += hashlib.sha256(raw).digest()
        if self.checksum:
            raw += self.checksum + bytes([self.finished])
            raw += hashlib.sha256(raw).digest()
        return raw


def read_header(read: Read, size: int, path: Path) -> tuple[Header, int]:
    """Header of a file of `size` bytes, and where its words start."""
    raw = read(0, START.size)
    magic = raw[: len(MAGIC)]
    if magic != MAGIC[: len(magic)] or not raw:
        raise BitsError(
            f"{path} holds no packed bits: expected {MAGIC!r} at its start, got {magic!r}; write it with "
            "BitMatrix.save or BitFile"
        )
    if len(raw) < START.size:
        raise BitsError(f"{path} is truncated: expected at least {PAGE} bytes, got {size}; {AGAIN}")
    _, version, length, digest = START.unpack(raw)
    if version != VERSION:
        raise BitsError(
            f"this version of ndg reads packed bits of version {VERSION}; {path} has version {version}; {AGAIN}, or "
            "use the version of ndg that wrote it"
        )
    text = read(PAGE, min(length, size))
    if hashlib.sha256(text).digest() != digest:
        if PAGE + length > size:
            raise BitsError(f"{path} is truncated: expected {PAGE + length} bytes and the words, got {size}; {AGAIN}")
        raise BitsError(f"{path} is damaged: its header does not match its checksum; {AGAIN}")
    header = _header(text, path)
    start = PAGE + -(-length // PAGE) * PAGE
    expected = start + 8 * header.words * len(header.nodes)
    if size < expected:
        raise BitsError(f"{path} is truncated: expected {expected} bytes, got {size}; {AGAIN}")
    return header, start


def _header(text: bytes, path: Path) -> Header:
    """Header of its JSON text.

    Entries without a default are in the files of all versions.
    """
    try:
        content = json.loads(text)
        nodes, thresholds = NodeSpace.from_dict(content["nodes"]), thresholds_of(content["thresholds"])
        binarizer, source, words = str(content["binarizer"]), str(content["source"]), operator.index(content["words"])
        network, has_checksums = str(content.get("network", "")), content.get("checksums", False) is True
        if len(nodes) >= 2**31 or not 0 < words < 2**40:
            raise ValueError(f"{len(nodes)} nodes of {words} words")
        return Header(nodes, thresholds, binarizer, source, words, network, has_checksums)
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError, OverflowError) as error:
        raise BitsError(f"{path} is damaged: its header must describe nodes and words ({error}); {AGAIN}") from error


def read_commits(read: Read, boot_id: bytes, path: Path, has_checksums: bool) -> list[Commit | None]:
    """The four commits of a file, None if missing or from before a restart.

    BitsError without any.
    """
    commits: list[Commit | None] = []
    for slot in range(COMMITS):
        raw = read(SECTOR * (1 + slot), WHOLE + DIGEST)
        number, examples, correct, started = COMMIT.unpack(raw[: COMMIT.size])
        ends = [COMMIT.size, WHOLE] if has_checksums else [COMMIT.size]
        intact = all(hashlib.sha256(raw[:end]).digest() == raw[end : end + DIGEST] for end in ends)
        trusted = slot < 2 or (started == boot_id and any(boot_id))
        rest = (raw[SUMMED - checksums.SIZE : SUMMED], bool(raw[SUMMED])) if has_checksums else ()
        commit = Commit(number, examples, None if correct < 0 else correct, started, *rest)
        commits.append(commit if intact and trusted else None)
    if not any(commits):
        raise BitsError(f"{path} is damaged: none of its {COMMITS} commits matches its checksum; {AGAIN}")
    return commits


def newest(commits: list[Commit | None]) -> Commit:
    """Commit with the highest number."""
    return max((commit for commit in commits if commit is not None), key=lambda commit: commit.number)


def encode_finished(facts: dict[str, Any]) -> bytes:
    text = json.dumps(facts).encode()
    return FINISHED.pack(len(text), hashlib.sha256(text).digest()) + text


def read_finished(read: Read, path: Path) -> dict[str, Any] | None:
    """Facts stored when the file was finished; None before that."""
    raw = read(FINISHED_AT, PAGE - FINISHED_AT)
    length, digest = FINISHED.unpack(raw[: FINISHED.size])
    text = raw[FINISHED.size : FINISHED.size + length]
    if not length:
        return None
    if hashlib.sha256(text).digest() != digest:
        raise BitsError(f"{path} is damaged: its digest does not match its checksum; {AGAIN}")
    return json.loads(text)


def plain_thresholds(thresholds: Float64[np.ndarray, " neuron"]) -> list[float | str | None]:
    """Thresholds for JSON: null for NaN, text for infinity."""
    values = thresholds.tolist()
    return [value if math.isfinite(value) else None if math.isnan(value) else str(value) for value in values]


def thresholds_of(values: Any) -> Float64[np.ndarray, " neuron"]:
    """Thresholds from JSON."""
    return np.array([math.nan if value is None else float(value) for value in values], np.float64)
