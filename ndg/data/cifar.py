"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), from pickles of arrays and lists."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from ndg.config import Data
from ndg.data import releases
from ndg.data.examples import Pool
from ndg.data.inputs import as_inputs, join
from ndg.errors import DataError

FILES10 = ("batches.meta", "data_batch_1", "test_batch")
FILES100 = ("meta", "train", "test")
HOME10, HOME100 = "cifar-10-batches-py", "cifar-100-python"
SHAPE = (3, 32, 32)
AGAIN = "copy the file again from its publisher"
PLAIN = f"{AGAIN}, or write it again with lists of Python's own numbers and strings"


def cifar10(folder: Path, settings: Data) -> Pool:
    """Ten classes of 3 x 32 x 32 pixels.

    Batches 2-5 are optional.
    """
    batches = [path for number in range(1, 6) if (path := folder / f"data_batch_{number}").is_file()]
    return _read("cifar10", folder / "batches.meta", batches, folder / "test_batch", ("label_names", "labels", 10))


def cifar100(folder: Path, settings: Data) -> Pool:
    """A hundred fine classes, 3 x 32 x 32 pixels."""
    keys = ("fine_label_names", "fine_labels", 100)
    return _read("cifar100", folder / "meta", [folder / "train"], folder / "test", keys)


def _read(name: str, meta: Path, batches: list[Path], test: Path, keys: tuple[str, str, int]) -> Pool:
    names_key, labels_key, classes = keys
    class_names = _dictionary(meta).get(names_key)
    if isinstance(class_names, list | tuple):
        class_names = [_text(name) for name in class_names]
    if not (isinstance(class_names, list) and len(class_names) == classes and all(type(n) is str for n in class_names)):
        got = _kind(class_names, str)
        raise DataError(f"{meta} must have {classes} names as {names_key!r}; got {got}; {PLAIN}")
    parts = [_batch(path, labels_key, classes) for path in batches]
    test_part = _batch(test, labels_key, classes)
    inputs = {"train": join([as_inputs(images) for images, _ in parts]), "test": as_inputs(test_part[0])}
    labels = {"train": np.concatenate([labels for _, labels in parts]), "test": test_part[1]}
    return releases.pool(name, inputs, labels, tuple(class_names), [meta, *batches, test])


def _batch(
    path: Path, key: str, classes: int
) -> tuple[UInt8[np.ndarray, "example channel height width"], Int64[np.ndarray, " example"]]:
    """Images and labels of one file."""
    content = _dictionary(path)
    images, labels = _pixels(content.get("data")), content.get(key)
    if images is None or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != np.prod(SHAPE):
        got = "none" if images is None or images.dtype != np.uint8 else f"the shape {images.shape}"
        raise DataError(f"{path} must have bytes of shape (images, {np.prod(SHAPE)}) as 'data'; got {got}; {PLAIN}")
    if (array := _array(labels)) is not None and array.ndim == 1:
        labels = array.tolist()
    labels = list(labels) if isinstance(labels, tuple) else labels
    if not (isinstance(labels, list) and all(type(label) is int and abs(label) < 2**31 for label in labels)):
        raise DataError(f"{path} must have a list of whole numbers as {key!r}; got {_kind(labels, int)}; {PLAIN}")
    numbers = np.array(labels, np.int64)
    releases.check_labels(path, numbers, len(images), classes)
    return images.reshape(len(images), *SHAPE), numbers


class _Record:
    """Pickled description of an array or its type, read without numpy's trust."""

    arguments: tuple[Any, ...] = ()
    state: tuple[Any, ...] = ()

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes, as protocol 2 of Python 3 writes them."""
    if encoding != "latin1":
        raise ValueError(f"bytes are written as latin1; got {encoding[:80]!r}")
    return text.encode(encoding)


ADMITTED: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _Record,
    "numpy._core.multiarray._reconstruct": _Record,  # numpy 2
    "numpy.core.numeric._frombuffer": _Record,  # protocol 5
    "numpy._core.numeric._frombuffer": _Record,
    "numpy.ndarray": _Record,
    "numpy.dtype": _Record,
    "collections.OrderedDict": dict,
    "_codecs.encode": _encoded,
    "__builtin__.bytes": lambda: b"",
}
"""Names that a pickle may ask for, and what stands in for each."""


class _Unpickler(pickle._Unpickler):
    """Python unpickler of plain values and array records; imports nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.BytesIO(path.read_bytes()), encoding="bytes")  # strings of Python 2
        self.path = path

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (asked := f"{module}.{name}") not in ADMITTED or "." in name:
            raise DataError(
                f"{self.path} must contain arrays, lists and strings only; it asks for {asked}, which was refused and "
                f"not run; {PLAIN}"
            )
        return ADMITTED[asked]


def _dictionary(path: Path) -> dict[str, Any]:
    try:
        content = _Unpickler(path).load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} must be a whole python batch (a pickle); {error!r}; {AGAIN}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must have a dictionary; got {type(content).__name__}; {AGAIN}")
    return {_text(key): value for key, value in content.items()}


def _text(value: Any) -> Any:
    """Text of bytes, UTF-8 or else Latin-1; other values unchanged."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin1")


def _pixels(value: Any) -> np.ndarray | None:
    """Array of integers of a record, or of equally long lists of bytes as numbers."""
    if not isinstance(value, list):
        return _array(value)
    try:
        rows = [bytes(row) for row in value if isinstance(row, list)]
    except (TypeError, ValueError):  # no numbers, or none of a byte
        return None
    whole = len(rows) == len(value) and len(set(map(len, rows))) == 1
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1) if whole else None


def _array(record: Any) -> np.ndarray | None:
    """Array of integers of a record; None if it describes another."""
    try:
        if record.state:
            _, shape, kind, fortran, raw = record.state
        else:  # protocol 5
            raw, kind, shape, order = record.arguments
            fortran = order == "F"
        name, byte_order = _text(kind.arguments[0]), _text(kind.state[1])
        if not re.fullmatch("[iu][1248]", name):
            return None
        content = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
        values = np.frombuffer(content, (byte_order if byte_order in ("<", ">") else "|") + name)
        return values.reshape(shape, order="F" if fortran else "C")
    except Exception:  # a record can hold anything
        return None


def _kind(value: Any, item: type) -> str:
    """Type, length and first wrong item.

    A hostile value may be too large to print.
    """
    if not isinstance(value, list):
        return type(value).__name__
    kinds = [type(each).__name__ for each in value if type(each) is not item]
    large = [each for each in value if type(each) is int and abs(each) >= 2**31]
    wrong = f" with a {kinds[0]}" if kinds else " with an int that is too large" if large else ""
    return f"a list of {len(value)}{wrong}"
