"""Packed booleans in a file: append, resume, read in place (see `file_format`)."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ndg.atomic import reporting
from ndg.bits import disk, file_format
from ndg.bits.builder import Builder
from ndg.bits.file_format import SECTOR, Commit, Header
from ndg.bits.matrix import BitMatrix, Sample
from ndg.bits.packing import Words, tail_mask
from ndg.checksums import Sums
from ndg.errors import BitsError, OutputError
from ndg.nodes import NodeSpace
from ndg.paths import path_of
from ndg.progress import log

DURABLE_EVERY = 60.0  # seconds; a flush writes every page of every row that a batch changed


class BitFile(Builder):
    """Builder with its words in a file, which can resume.

    `examples` counts appended examples, `committed` those that are safe. Create one with `create` or `resume`, which
    continues at the last `commit`. A `with` block commits and closes at its end; after an exception it only closes. The
    file grows by half, through a copy that replaces it when complete. Only one BitFile may write to a file at a time.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Wrap an open and locked file; use `create` or `resume` instead."""
        self.path, self._durable_at = path, time.monotonic()
        self._attach(descriptor)
        super().__init__(self._header.nodes)
        self._sums = Sums(len(self.nodes))
        self.examples = self.committed

    def _attach(self, descriptor: int) -> None:
        self._descriptor, read = descriptor, disk.reads(descriptor)
        self._header, start = disk.read_header(self.path, descriptor)
        self._commits = file_format.read_commits(read, disk.boot_id(), self.path, self._header.checksums)
        self._finished = file_format.read_finished(read, self.path) is not None
        self._words: np.ndarray | None = disk.map_words(descriptor, self._header, start, "r+")

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        nodes: NodeSpace,
        thresholds: Float64[np.ndarray, " neuron"],
        binarizer: str,
        source: str,
        examples: int = 0,
        network: str = "",
    ) -> BitFile:
        """New file without examples, with room for `examples`.

        OutputError if it exists or cannot be.

        `source` is a digest of the network and data, which `resume` compares; `network` is that of the matrix.
        """
        path = Path(path)
        if thresholds.shape != (nodes.neurons,):
            raise BitsError(f"one threshold per neuron: expected {nodes.neurons}, got {thresholds.shape}")
        if path.exists():
            raise OutputError(f"{path} exists already; continue it with BitFile.resume, or remove it")
        header = Header(nodes, np.asarray(thresholds), binarizer, source, disk.whole_lines(-(-examples // 64)), network)
        return cls(path, disk.create(path, header, Commit(checksum=Sums(len(nodes)).checksum())))

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], nodes: NodeSpace, source: str, *, verify: bool | None = None
    ) -> BitFile:
        """Existing file at its last commit, verified as by `BitMatrix.open` unless `verify` is False.

        Raises BitsError for other nodes, another source, or a file that is damaged, truncated, or of another kind or
        version; OutputError while another BitFile writes to it.
        """
        path = Path(path)
        descriptor = disk.open_file(path, os.O_RDWR)
        try:
            disk.lock(path, descriptor)
            header, _ = disk.read_header(path, descriptor)
            other = ""
            if header.source != source:
                other = f"another network or of other data: expected source {source!r}, got {header.source!r}"
            elif header.nodes != nodes:
                other = f"other nodes: expected {nodes}, got {header.nodes}"
            if other:
                raise BitsError(f"{path} holds bits of {other}; choose another file, or remove this one")
            resumed = cls(path, descriptor)
            read(path, verify=None if verify and not resumed.finished else verify)
            disk.partial_path(path).unlink(missing_ok=True)
            _clear(resumed._writable()[:, : -(-resumed.examples // 64)], resumed.examples)
            return resumed
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def committed(self) -> int:
        """Examples that survive the end of this process."""
        return file_format.newest(self._commits).examples

    @property
    def correct(self) -> int | None:
        """Committed examples that were predicted correctly, if known."""
        return file_format.newest(self._commits).correct

    @property
    def thresholds(self) -> Float64[np.ndarray, " neuron"]:
        return self._header.thresholds

    @property
    def finished(self) -> bool:
        """Whether `finish` was called and nothing was appended since."""
        return self._finished

    def commit(self, correct: int | None = None, *, durable: bool | None = None) -> None:
        """Commit all examples so far, with `correct` right predictions, for `resume`.

        A commit survives the end of this process at once, and a crash of the machine after a flush to disk: with
        `durable`, by default once a minute, and at `close`.
        """
        if durable is None:
            durable = time.monotonic() - self._durable_at >= DURABLE_EVERY
        self._commit(self.examples, correct, durable)

    def finish(
        self,
        thresholds: Float64[np.ndarray, " neuron"] | None = None,
        *,
        binarizer: str | None = None,
        correct: int | None = None,
        sample: Sample | None = None,
    ) -> BitMatrix:
        """Close the file, which now stores its digest, and read its finished matrix."""
        same = thresholds is None or np.array_equal(thresholds, self.thresholds, equal_nan=True)
        if not same or binarizer not in (None, self._header.binarizer):
            raise BitsError(
                f"a file of bits must be finished with the thresholds and binarizer of create: expected "
                f"{self._header.binarizer!r}, got {binarizer!r}{'' if same else ' and other thresholds'}; create "
                "another file"
            )
        if self._finished and correct is None and sample is None:
            self.close()
            return read(self.path, verify=False)
        correct = self.correct if correct is None and self.examples == self.committed else correct
        self._commit(self.examples, correct, True)
        bits = _matrix(self._header, self._writable(), file_format.newest(self._commits), sample)
        self._write(file_format.FINISHED_AT, _summary(bits), durable=True)
        self._commit(self.examples, correct, True, finished=True)
        self.close()
        return read(self.path, verify=False)

    def close(self) -> None:
        """Close the file; examples after the last commit are lost."""
        if self._words is None:
            return
        last = file_format.newest(self._commits)
        try:
            if any(last.boot):
                self._commit(last.examples, last.correct, True)
        finally:
            self._words = None
            os.close(self._descriptor)

    def __enter__(self) -> BitFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._words is not None and self.examples != self.committed:
                self.commit()
        finally:
            self.close()

    def _writable(self) -> Words:
        if self._words is None:
            raise BitsError(f"{self.path} is closed; continue it with BitFile.resume")
        return np.asarray(self._words)

    def _room(self, examples: int) -> Words:
        words, needed = self._writable(), -(-examples // 64)
        if self._finished:
            last = file_format.newest(self._commits)
            self._commit(last.examples, last.correct, True, finished=False)
            self._write(file_format.FINISHED_AT, bytes(file_format.FINISHED.size), durable=True)
            self._finished = False
        if needed > self._header.words:
            grown = replace(self._header, words=disk.whole_lines(max(needed, self._header.words * 3 // 2)))
            last = file_format.newest(self._commits)
            descriptor = disk.create(self.path, grown, last, words[:, : -(-self.examples // 64)])
            os.close(self._descriptor)
            self._attach(descriptor)
        return self._writable()

    def _commit(self, examples: int, correct: int | None, durable: bool, finished: bool | None = None) -> None:
        self._writable()
        last = file_format.newest(self._commits)
        finished = last.finished if finished is None else finished
        same = (examples, correct, finished) == (last.examples, last.correct, last.finished)
        if same and not (durable and any(last.boot)):
            return
        boot = bytes(16) if durable else disk.boot_id()
        durable = durable or not any(boot)
        if durable:
            disk.flush(self.path, self._words)
        slots = range(2) if durable else range(2, 4)
        slot = min(slots, key=lambda slot: commit.number if (commit := self._commits[slot]) else -1)
        checksum = last.checksum if examples == last.examples else self._checksum(examples)
        commit = Commit(last.number + 1, examples, correct, boot, checksum, finished)
        self._write(SECTOR * (1 + slot), commit.encode(), durable)
        self._commits[slot] = commit
        if durable:
            self._durable_at = time.monotonic()

    def _checksum(self, examples: int) -> bytes:
        """Checksum of the words up to these examples; of those before the last commit their sums are known."""
        if not self._header.checksums:
            return b""
        words, known, whole = self._writable(), len(self._sums.columns), examples // 64
        self._sums.add(words[:, known:whole])
        return self._sums.checksum(words[:, whole] & tail_mask(examples) if examples % 64 else None)

    def _write(self, at: int, content: bytes, durable: bool) -> None:
        with reporting(self.path, disk.REMEDY):
            os.pwrite(self._descriptor, content, at)
            if durable:
                os.fsync(self._descriptor)


def save(bits: BitMatrix, path: str | os.PathLike[str], source: str) -> Path:
    """Path of the finished file of `bits`, written atomically."""
    path = Path(path)
    words = disk.whole_lines(bits.words.shape[1])
    header = Header(bits.nodes, bits.thresholds, bits.binarizer, source, words, bits.network)
    commit = Commit(1, bits.examples, bits.correct, checksum=_checksum(bits.words, bits.examples), finished=True)
    os.close(disk.create(path, header, commit, bits.words, _summary(bits)))
    return path


def _summary(bits: BitMatrix) -> bytes:
    """Entry of a finished file: counts, sample and digest."""
    sample = None if bits.sample is None else [bits.sample.seed, bits.sample.of]
    facts = {"examples": bits.examples, "correct": bits.correct, "sample": sample, "digest": bits.digest}
    return file_format.encode_finished(facts)


def read(path: str | os.PathLike[str], verify: bool | None = None, partial: bool = True) -> BitMatrix:
    """Committed examples of a file, as a memory map.

    They are compared with the checksum of their commit (in files of earlier versions: with the digest, if finished)
    unless `verify` is False; True demands a digest. An unfinished file logs a warning unless `partial`.
    """
    path = path_of(path, "a file of bits")
    descriptor = disk.open_file(path, os.O_RDONLY)
    try:
        header, start = disk.read_header(path, descriptor)
        commits = file_format.read_commits(disk.reads(descriptor), disk.boot_id(), path, header.checksums)
        commit = file_format.newest(commits)
        facts = file_format.read_finished(disk.reads(descriptor), path) or {"digest": None, "sample": None}
        words = disk.map_words(descriptor, header, start, "r" if facts["digest"] and verify is False else "c")
    finally:
        os.close(descriptor)
    if not (partial or facts["digest"]):
        text = "%s is not finished: it holds the %d committed examples; extract with file= to continue"
        log.warning(text, path, commit.examples)
    if verify and not facts["digest"]:
        raise BitsError(f"{path} has no digest to compare with, because it is not finished; call BitFile.finish")
    if commit.finished and not facts["digest"]:
        raise BitsError(f"{path} is damaged: it was finished, and its digest is gone; {file_format.AGAIN}")
    if facts["digest"] and facts["examples"] != commit.examples:
        raise BitsError(
            f"{path} is damaged: it was finished with {facts['examples']} examples, and its last whole commit has "
            f"{commit.examples}; {file_format.AGAIN}"
        )
    sample = None if facts["sample"] is None else Sample(*facts["sample"])
    bits = _matrix(header, np.asarray(words), commit, sample)
    if verify is not False:
        _verify(path, bits, commit.checksum, facts["digest"])
    return bits


def _verify(path: Path, bits: BitMatrix, checksum: bytes, digest: str | None) -> None:
    """Raise BitsError for bits of another checksum or digest."""
    if checksum and checksum != _checksum(bits.words, bits.examples):
        got = f"its digest says {digest}, its bits {bits.digest}" if digest else "its bits do not match their checksum"
        raise BitsError(f"{path} is damaged: {got}; {file_format.AGAIN}")
    if digest and not checksum and bits.digest != digest:
        raise BitsError(f"{path} is damaged: its digest says {digest}, its bits {bits.digest}; {file_format.AGAIN}")


def _checksum(words: Words, examples: int) -> bytes:
    """Checksum of the words up to these examples."""
    sums, whole = Sums(len(words)), examples // 64
    sums.add(words[:, :whole])
    return sums.checksum(words[:, whole] & tail_mask(examples) if examples % 64 else None)


def _matrix(header: Header, words: Words, commit: Commit, sample: Sample | None) -> BitMatrix:
    """Matrix of the committed examples; clears later bits of writable `words`."""
    words = words[:, : -(-commit.examples // 64)]
    if words.flags.writeable:
        _clear(words, commit.examples)
    facts = header.thresholds, header.binarizer, commit.correct, sample, header.network
    return BitMatrix(header.nodes, words, commit.examples, *facts)


def _clear(words: Words, examples: int) -> None:
    """Clear the bits past the last example, if any."""
    if examples % 64 and ((last := words[:, -1]) & ~tail_mask(examples)).any():
        last &= tail_mask(examples)
