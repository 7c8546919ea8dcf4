"""Named integer counts that add up over batches and workers."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndg.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Counts:
    """Arrays of int64 by name, added by name."""

    by_name: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        arrays = {name: np.asarray(array, dtype=np.int64) for name, array in self.by_name.items()}
        object.__setattr__(self, "by_name", arrays)

    def __add__(self, other: Counts) -> Counts:
        total = dict(self.by_name)
        for name, array in other.by_name.items():
            if name in total and total[name].shape != array.shape:
                raise ShapeError(
                    f"counts of one name have one shape; {name!r} has {total[name].shape} and {array.shape}; "
                    "add counts of the same study"
                )
            total[name] = total[name] + array if name in total else array
        return Counts(total)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Counts)
            and self.by_name.keys() == other.by_name.keys()
            and all(np.array_equal(array, other.by_name[name]) for name, array in self.by_name.items())
        )

    def __hash__(self) -> int:
        return hash(tuple((name, array.tobytes()) for name, array in sorted(self.by_name.items())))

    def packed(self) -> dict[str, Any]:
        """Shape and compressed bytes by name: for journals, which take many large counts."""
        return {name: [list(array.shape), _text(array)] for name, array in self.by_name.items()}

    @classmethod
    def unpacked(cls, document: Mapping[str, Any]) -> Counts:
        """Inverse of `packed`. Raises ValueError for other bytes."""
        return cls({name: _array(text).reshape(shape) for name, (shape, text) in document.items()})

    def to_dict(self) -> dict[str, Any]:
        """Nested lists of integers by name."""
        return {name: array.tolist() for name, array in self.by_name.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Counts:
        """Inverse of `to_dict`, except for shapes of empty arrays."""
        return cls({name: np.array(array, dtype=np.int64) for name, array in document.items()})


def _text(array: np.ndarray) -> str:
    return b64encode(zlib.compress(array.astype("<i8").tobytes(), 1)).decode("ascii")


def _array(text: str) -> np.ndarray:
    try:
        return np.frombuffer(zlib.decompress(b64decode(text, validate=True)), "<i8")
    except (ValueError, zlib.error) as error:
        raise ValueError(f"packed counts are compressed 64-bit integers as base64: {error}") from error
