"""Write packed booleans to memory or to a resumable file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ndg.activations.batches import Batch, no_examples
from ndg.bits.file import BitFile, read
from ndg.bits.matrix import BitMatrix, BitMatrixBuilder, Sample
from ndg.bits.packing import place, tail_mask, zeros
from ndg.capture.reader import Capture, Piece, capture, other_nodes
from ndg.errors import DataError
from ndg.units.readings import EVERY


class Sink:
    """Collects pieces of compute batches in order, by `+`.

    With a `path` they go to a file; `part` is a file that is continued. `examples` is how many are expected, or 0;
    `network` is that of the matrix.
    """

    def __init__(
        self, binarizer: str, path: Path | None, source: str, examples: int, part: BitFile | None, network: str = ""
    ) -> None:
        self._binarizer, self._path, self._source, self._expected = binarizer, path, source, examples
        self._network = network
        self._builder: BitFile | BitMatrixBuilder | None = part
        self._thresholds = np.zeros(0) if part is None else part.thresholds
        self._correct = part.correct if part is not None and part.examples else 0

    def __add__(self, piece: Piece) -> Sink:
        bits = piece.bits
        if self._builder is None:
            self._thresholds = bits.thresholds
            rows = self._expected * bits.examples // piece.examples
            self._builder = self._open(bits, rows)
        if self._builder.nodes != bits.nodes:
            raise other_nodes(self._builder.nodes, f"{bits.nodes}")
        self._builder.append_words(bits.words, bits.examples)
        self._correct = None if self._correct is None or bits.correct is None else self._correct + bits.correct
        if isinstance(self._builder, BitFile):
            self._builder.commit(self._correct)
        return self

    def finish(self, sample: Sample | None) -> BitMatrix:
        """The matrix of all pieces."""
        if self._builder is None or not self._builder.examples:
            raise no_examples()
        facts: dict[str, Any] = {"binarizer": self._binarizer, "correct": self._correct, "sample": sample}
        if isinstance(self._builder, BitMatrixBuilder):
            facts["network"] = self._network  # a file knows it from its start
        return self._builder.finish(self._thresholds, **facts)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        if isinstance(self._builder, BitFile):
            self._builder.close()  # what was committed stays

    def _open(self, bits: BitMatrix, rows: int) -> BitFile | BitMatrixBuilder:
        if self._path is None:
            return BitMatrixBuilder(bits.nodes, rows)
        return BitFile.create(
            self._path, bits.nodes, bits.thresholds, self._binarizer, self._source, rows, self._network
        )


def reopen(path: Path, source: str) -> BitFile | None:
    """The file of an earlier extraction, None without one."""
    return BitFile.resume(path, read(path, verify=False).nodes, source) if path.exists() else None


def rest(study: Capture, batches: Iterable[Batch], part: BitFile) -> Iterator[Batch]:
    """Batches that are not in the file yet.

    The first and last batch of the file are compared. Raises DataError when they give other bits, or when no batch ends
    where the file does.
    """
    start, done = 0, part.committed
    count: Callable[[Batch], int] | None = None
    for batch in batches:
        if start == done:
            yield batch
            continue
        count = count or _counter(study, batch, part)
        stop = start + count(batch)
        again = capture(study, batch).bits if start == 0 or stop == done else None
        if stop > done or (again is not None and not _same(again, read(part.path, verify=False), start)):
            raise _others(part.path, start, min(stop, done))
        start = stop
    if start < done:
        raise _others(part.path, start, done)


def _counter(study: Capture, batch: Batch, part: BitFile) -> Callable[[Batch], int]:
    """Function that counts a batch's rows without running it."""
    if all(layer.reading != EVERY for layer in part.nodes.layers):
        return lambda other: other.count
    rows = capture(study, batch).bits.examples
    if _unmasked(batch) == rows:
        return _unmasked
    return lambda other: rows // batch.count * other.count


def _unmasked(batch: Batch) -> int:
    mask = batch.inputs.get("attention_mask") if isinstance(batch.inputs, dict) else None
    return -1 if mask is None else int((mask[: batch.count] != 0).sum())


def _same(bits: BitMatrix, whole: BitMatrix, start: int) -> bool:
    """Whether `bits` are those of `whole` from example `start` on."""
    stop = start + bits.examples
    words = whole.words[:, start // 64 : -(-stop // 64)].copy()
    if start % 64:
        words[:, 0] &= ~tail_mask(start)
    if stop % 64:
        words[:, -1] &= tail_mask(stop)
    again = zeros(*words.shape)
    place(bits.words, again, start % 64)
    return np.array_equal(words, again)


def _others(path: Path, start: int, stop: int) -> DataError:
    return DataError(
        f"an extraction goes on with the examples it was begun with; {path} was begun with others: its examples "
        f"{start} to {stop - 1} do not come out of this loader; pass the same loader, or another file"
    )
