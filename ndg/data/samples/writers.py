"""Byte formats of the publishers: idx files and Python 2 pickles."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from ndg import atomic

Bytes = UInt8[np.ndarray, "..."]


def idx(array: Bytes) -> bytes:
    """idx file of unsigned bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_pair(
    folder: Path, part: str, images: UInt8[np.ndarray, "example height width"], labels: Bytes, packed: bool = True
) -> None:
    """Two idx files of images and labels of a part."""
    for name, content in (("images-idx3", images), ("labels-idx1", labels)):
        raw = idx(content)
        path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
        atomic.write(path, gzip.compress(raw, mtime=0) if packed else raw)


class Python2(pickle._Pickler):
    """Pickler that writes strings as Python 2 did."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    write: Callable[[bytes], Any]

    def save_string(self, text: Any) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)

    dispatch[str] = dispatch[bytes] = save_string


def python2(value: Any) -> bytes:
    """Pickle as Python 2 with an old numpy wrote it."""
    stream = io.BytesIO()
    Python2(stream, 2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def batch(
    pixels: UInt8[np.ndarray, "example pixel"],
    labels: list[int],
    key: str = "labels",
    dump: Callable[[Any], bytes] = python2,
) -> bytes:
    """Python batch of CIFAR with these images and labels."""
    return dump({"batch_label": "a batch", key: labels, "data": pixels})
