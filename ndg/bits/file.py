"""Packed booleans in a file: appended, interrupted, resumed, read in place. `file_format` describes it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt64

from ndg.bits import disk, file_format
from ndg.bits.builder import Builder
from ndg.bits.file_format import SECTOR, Commit, Header
from ndg.bits.matrix import BitMatrix, Sample
from ndg.bits.packing import tail_mask
from ndg.errors import BitsError, OutputError
from ndg.nodes import NodeSpace
from ndg.progress import log

DURABLE_EVERY = 60.0  # seconds; waiting for the disk writes every page of every row that a batch touched


class BitFile(Builder):
    """A builder whose words live in a file, which can be interrupted anywhere and continued at the last `commit`.

    `examples` counts what was appended, `committed` what is safe; after `resume` they are the same. Made by `create` or
    `resume`; a `with` block commits and closes at its end, and only closes after an exception. The file grows by half
    as needed, as a copy beside it that takes its place when whole. One BitFile writes to a file at a time.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Of an open and locked file; `create` and `resume` are the ways to get one."""
        self.path, self._durable_at = path, time.monotonic()
        self._attach(descriptor)
        super().__init__(self._header.nodes)
        self.examples = self.committed

    def _attach(self, descriptor: int) -> None:
        self._descriptor, read = descriptor, disk.reader(descriptor)
        self._header, start = disk.header_of(self.path, descriptor)
        self._commits = file_format.read_commits(read, disk.boot(), self.path)
        self._finished = file_format.read_finished(read, self.path) is not None
        self._words: np.ndarray | None = disk.mapped(descriptor, self._header, start, "r+")

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
        """A new file without examples, with room for `examples`.

        `source` is a digest of the network and data: to continue, the same is asked for. `network` is that of the
        matrix. Raises OutputError where the
        file cannot be made or is there already.
        """
        path = Path(path)
        if thresholds.shape != (nodes.neurons,):
            raise BitsError(f"one threshold per neuron: expected {nodes.neurons}, got {thresholds.shape}")
        if path.exists():
            raise OutputError(f"{path} is there already; continue it with BitFile.resume, or remove it")
        header = Header(nodes, np.asarray(thresholds), binarizer, source, disk.rounded(-(-examples // 64)), network)
        return cls(path, disk.make(path, header, Commit()))

    @classmethod
    def resume(cls, path: str | os.PathLike[str], nodes: NodeSpace, source: str, *, verify: bool = False) -> BitFile:
        """The file at `path`, at its last commit; `verify` compares all bits with the digest of a finished one.

        Raises BitsError for a file of other nodes or of another source, or one that is damaged, cut short, of another
        kind or version; OutputError while another BitFile writes to it.
        """
        path = Path(path)
        descriptor = disk.opened(path, os.O_RDWR)
        try:
            disk.lock(path, descriptor)
            header, _ = disk.header_of(path, descriptor)
            if header.source != source:
                raise BitsError(
                    f"{path} holds bits of another network or of other data: expected source {source!r}, got "
                    f"{header.source!r}; choose another file, or remove this one"
                )
            if header.nodes != nodes:
                raise BitsError(
                    f"{path} holds bits of other nodes: expected {nodes}, got {header.nodes}; choose another file, or "
                    "remove this one"
                )
            one = cls(path, descriptor)
            if verify and one.finished:
                read(path, verify=True)
            disk.beside(path).unlink(missing_ok=True)
            _clear(one._writable()[:, : -(-one.examples // 64)], one.examples)
            return one
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def committed(self) -> int:
        """Examples that are safe when this process stops."""
        return file_format.newest(self._commits).examples

    @property
    def correct(self) -> int | None:
        """How many of the committed examples were predicted correctly, where that was given."""
        return file_format.newest(self._commits).correct

    @property
    def thresholds(self) -> Float64[np.ndarray, " neuron"]:
        return self._header.thresholds

    @property
    def finished(self) -> bool:
        """Whether `finish` was called and nothing was appended since."""
        return self._finished

    def commit(self, correct: int | None = None, *, durable: bool | None = None) -> None:
        """Make all examples so far the state that `resume` finds; `correct` of them all were predicted correctly.

        It survives the end of this process at once. To survive a crash of the machine the words have to reach the disk,
        which is waited for when `durable`; by default once a minute, and at `close`.
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
        """The matrix of all batches, read from the file; its digest is stored there, and the file is closed.

        Thresholds and binarizer were given to `create`; others are refused.
        """
        same = thresholds is None or np.array_equal(thresholds, self.thresholds, equal_nan=True)
        if not same or binarizer not in (None, self._header.binarizer):
            raise BitsError(
                f"a file of bits is finished with the thresholds and the binarizer it was made with: expected "
                f"{self._header.binarizer!r}, got {binarizer!r}{'' if same else ' and other thresholds'}; make another"
            )
        if self._finished and correct is None and sample is None:
            self.close()
            return read(self.path)
        correct = self.correct if correct is None and self.examples == self.committed else correct
        self._commit(self.examples, correct, True)
        bits = _matrix(self._header, self._writable(), file_format.newest(self._commits), sample)
        facts = {
            "examples": bits.examples,
            "correct": correct,
            "sample": None if sample is None else [sample.seed, sample.of],
            "digest": bits.digest,
        }
        self._write(file_format.FINISHED_AT, file_format.encode_finished(facts), durable=True)
        self.close()
        return read(self.path)

    def close(self) -> None:
        """Let the file go; what was appended since the last commit is not kept."""
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

    def _writable(self) -> UInt64[np.ndarray, "node word"]:
        if self._words is None:
            raise BitsError(f"{self.path} is closed; continue it with BitFile.resume")
        return np.asarray(self._words)

    def _room(self, examples: int) -> UInt64[np.ndarray, "node word"]:
        words, needed = self._writable(), -(-examples // 64)
        if self._finished:
            self._write(file_format.FINISHED_AT, bytes(file_format.FINISHED.size), durable=True)
            self._finished = False
        if needed > self._header.words:
            grown = replace(self._header, words=disk.rounded(max(needed, self._header.words * 3 // 2)))
            last = file_format.newest(self._commits)
            descriptor = disk.make(self.path, grown, last, words[:, : -(-self.examples // 64)])
            os.close(self._descriptor)
            self._attach(descriptor)
        return self._writable()

    def _commit(self, examples: int, correct: int | None, durable: bool) -> None:
        self._writable()
        last = file_format.newest(self._commits)
        if (examples, correct) == (last.examples, last.correct) and not (durable and any(last.boot)):
            return
        boot = bytes(16) if durable else disk.boot()
        durable = durable or not any(boot)
        if durable:
            disk.flush(self.path, self._words)
        turn = range(2) if durable else range(2, 4)
        slot = min(turn, key=lambda slot: one.number if (one := self._commits[slot]) else -1)
        commit = Commit(last.number + 1, examples, correct, boot)
        self._write(SECTOR * (1 + slot), commit.encode(), durable)
        self._commits[slot] = commit
        if durable:
            self._durable_at = time.monotonic()

    def _write(self, at: int, content: bytes, durable: bool) -> None:
        try:
            os.pwrite(self._descriptor, content, at)
            if durable:
                os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}; {disk.REMEDY}") from error


def save(bits: BitMatrix, path: str | os.PathLike[str], source: str) -> Path:
    """The path of a finished file of `bits`, there whole or not at all."""
    path = Path(path)
    words = disk.rounded(bits.words.shape[1])
    header = Header(bits.nodes, bits.thresholds, bits.binarizer, source, words, bits.network)
    commit = Commit(1, bits.examples, bits.correct)
    sample = None if bits.sample is None else [bits.sample.seed, bits.sample.of]
    facts = {"examples": bits.examples, "correct": bits.correct, "sample": sample, "digest": bits.digest}
    os.close(disk.make(path, header, commit, bits.words, file_format.encode_finished(facts)))
    return path


def read(path: str | os.PathLike[str], verify: bool = False, partial: bool = True) -> BitMatrix:
    """The committed examples of a file, mapped; `verify` compares them with the digest stored when it was finished.

    A file that is not finished gives a warning unless `partial`.
    """
    path = Path(path)
    descriptor = disk.opened(path, os.O_RDONLY)
    try:
        header, start = disk.header_of(path, descriptor)
        commit = file_format.newest(file_format.read_commits(disk.reader(descriptor), disk.boot(), path))
        facts = file_format.read_finished(disk.reader(descriptor), path) or {"digest": None, "sample": None}
        words = disk.mapped(descriptor, header, start, "r" if facts["digest"] and not verify else "c")
    finally:
        os.close(descriptor)
    if not (partial or facts["digest"]):
        log.warning(
            "%s is not finished: it holds the %d examples that were committed; extract with file= to go on",
            path,
            commit.examples,
        )
    if verify and not facts["digest"]:
        raise BitsError(f"{path} has no digest to compare with, because it is not finished; call BitFile.finish")
    sample = None if facts["sample"] is None else Sample(*facts["sample"])
    bits = _matrix(header, np.asarray(words), commit, sample)
    if verify and bits.digest != facts["digest"]:
        raise BitsError(
            f"{path} is damaged: its digest says {facts['digest']}, its bits {bits.digest}; {file_format.AGAIN}"
        )
    return bits


def _matrix(header: Header, words: UInt64[np.ndarray, "node word"], commit: Commit, sample: Sample | None) -> BitMatrix:
    """The matrix of the committed examples; where `words` can be written to, what lies past them is cleared."""
    words = words[:, : -(-commit.examples // 64)]
    if words.flags.writeable:
        _clear(words, commit.examples)
    return BitMatrix(
        header.nodes,
        words,
        commit.examples,
        header.thresholds,
        header.binarizer,
        commit.correct,
        sample,
        header.network,
    )


def _clear(words: UInt64[np.ndarray, "node word"], examples: int) -> None:
    """Zero the bits past the last example, touching only the words that have such bits."""
    if examples % 64 and ((last := words[:, -1]) & ~tail_mask(examples)).any():
        last &= tail_mask(examples)
