"""How packed booleans lie in a file, and what is checked when one is read.

    bytes         content (numbers little-endian)
    0 to 511      `NDGBITS` and a zero byte; version, uint32; length of the header, uint64; SHA-256 of the header
    512 to 2559   four commits of 512 bytes: number of the commit, uint64; examples, uint64; how many of them were
                  predicted correctly, int64 (-1: not known); start of the machine, 16 bytes; SHA-256 of these 40 bytes
    2560 to 4095  when finished: length, uint32; SHA-256; JSON {examples, correct, sample: [seed, of] or null, digest}
    4096 on       the header, JSON: nodes, thresholds (null for NaN), binarizer, source, words (of a row), network
                  ("", or not there: not known)
    then          from the next multiple of 4096 on, the words, row by row; bit j of word w is example 64 * w + j

The state is that of the commit with the highest number, and bits past its examples mean nothing. The first two commits
take turns after the words have reached the disk; the last two take turns where that is not waited for, and count only
until the machine starts anew. So whichever byte a process, or the machine, stops at, one whole commit is there.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ndg.errors import BitsError
from ndg.nodes import NodeSpace

MAGIC, VERSION = b"NDGBITS\0", 1
PAGE, SECTOR, COMMITS = 4096, 512, 4
FINISHED_AT = SECTOR * (1 + COMMITS)
START, COMMIT, FINISHED, DIGEST = struct.Struct("<8sIQ32s"), struct.Struct("<QQq16s"), struct.Struct("<I32s"), 32
AGAIN = "extract again"
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, eq=False)
class Header:
    """What is known when a file is made: of which nodes and network it holds bits, and for how many words a row."""

    nodes: NodeSpace
    thresholds: Float64[np.ndarray, " neuron"]
    binarizer: str
    source: str
    words: int
    network: str = ""

    def encode(self) -> bytes:
        """All bytes before the words, without a commit."""
        content = {
            "nodes": self.nodes.to_dict(),
            "thresholds": [_text(value) for value in self.thresholds.tolist()],
            "binarizer": self.binarizer,
            "source": self.source,
            "words": self.words,
            "network": self.network,
        }
        text = json.dumps(content, allow_nan=False).encode()
        start = START.pack(MAGIC, VERSION, len(text), hashlib.sha256(text).digest())
        return start.ljust(PAGE, b"\0") + text.ljust(-(-len(text) // PAGE) * PAGE, b"\0")


@dataclass(frozen=True)
class Commit:
    """So many examples are whole; `correct` of them were predicted correctly, where that is known."""

    number: int = 0
    examples: int = 0
    correct: int | None = None
    boot: bytes = bytes(16)

    def encode(self) -> bytes:
        raw = COMMIT.pack(self.number, self.examples, -1 if self.correct is None else self.correct, self.boot)
        return raw + hashlib.sha256(raw).digest()


def read_header(read: Read, size: int, path: Path) -> tuple[Header, int]:
    """The header of a file of `size` bytes, and where its words start."""
    raw = read(0, START.size)
    magic = raw[: len(MAGIC)]
    if magic != MAGIC[: len(magic)] or not raw:
        raise BitsError(
            f"{path} holds no packed bits: expected {MAGIC!r} at its start, got {magic!r}; BitMatrix.save and BitFile "
            "write such files"
        )
    if len(raw) < START.size:
        raise BitsError(f"{path} is cut short: expected at least {PAGE} bytes, got {size}; {AGAIN}")
    _, version, length, digest = START.unpack(raw)
    if version != VERSION:
        raise BitsError(
            f"this version of ndg reads packed bits of version {VERSION}; {path} has version {version}; {AGAIN}, or "
            "use the version of ndg that wrote it"
        )
    text = read(PAGE, min(length, size))
    if hashlib.sha256(text).digest() != digest:
        if PAGE + length > size:
            raise BitsError(f"{path} is cut short: expected {PAGE + length} bytes and the words, got {size}; {AGAIN}")
        raise BitsError(f"{path} is damaged: its header does not have the checksum that was stored with it; {AGAIN}")
    content = json.loads(text)
    thresholds = np.array([math.nan if x is None else float(x) for x in content["thresholds"]], np.float64)
    nodes = NodeSpace.from_dict(content["nodes"])
    network = content.get("network", "")  # files of earlier versions do not say
    header = Header(nodes, thresholds, content["binarizer"], content["source"], content["words"], network)
    start = PAGE + -(-length // PAGE) * PAGE
    expected = start + 8 * header.words * len(nodes)
    if size < expected:
        raise BitsError(f"{path} is cut short: expected {expected} bytes, got {size}; {AGAIN}")
    return header, start


def read_commits(read: Read, boot: bytes, path: Path) -> list[Commit | None]:
    """The four commits of a file; None where there is none, or where it is not to be trusted since the machine started.

    Raises BitsError when there is no other.
    """
    found: list[Commit | None] = []
    for slot in range(COMMITS):
        raw = read(SECTOR * (1 + slot), COMMIT.size + DIGEST)
        number, examples, correct, started = COMMIT.unpack(raw[: COMMIT.size])
        whole = hashlib.sha256(raw[: COMMIT.size]).digest() == raw[COMMIT.size :]
        trusted = slot < 2 or (started == boot and any(boot))
        found.append(Commit(number, examples, None if correct < 0 else correct, started) if whole and trusted else None)
    if not any(found):
        raise BitsError(f"{path} is damaged: expected the checksum of one of {COMMITS} commits to hold; {AGAIN}")
    return found


def newest(commits: list[Commit | None]) -> Commit:
    """The commit with the highest number."""
    return max((one for one in commits if one is not None), key=lambda one: one.number)


def encode_finished(facts: dict[str, Any]) -> bytes:
    text = json.dumps(facts).encode()
    return FINISHED.pack(len(text), hashlib.sha256(text).digest()) + text


def read_finished(read: Read, path: Path) -> dict[str, Any] | None:
    """What was stored when the file was finished; None where it is not."""
    raw = read(FINISHED_AT, PAGE - FINISHED_AT)
    length, digest = FINISHED.unpack(raw[: FINISHED.size])
    text = raw[FINISHED.size : FINISHED.size + length]
    if not length:
        return None
    if hashlib.sha256(text).digest() != digest:
        raise BitsError(f"{path} is damaged: its digest does not have the checksum that was stored with it; {AGAIN}")
    return json.loads(text)


def _text(value: float) -> float | str | None:
    return value if math.isfinite(value) else None if math.isnan(value) else str(value)
