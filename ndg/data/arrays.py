"""Your own images or tables: `inputs.npy` and `labels.npy` in a folder."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from ndg.config import Data
from ndg.data.examples import Pool
from ndg.data.inputs import as_inputs
from ndg.errors import DataError

FILES = ("inputs.npy", "labels.npy")
CHANNELS = (1, 2, 3, 4)


def read(folder: Path, settings: Data) -> Pool:
    """Images or table rows of a folder, with whole numbers as classes.

    Raises DataError, which names the broken rule.

    Images are [example, channel, height, width] or [example, height, width], rows [example, feature]. Labels have any
    integer type, or are booleans or whole floats. Those that begin above 0 are numbered from 0 and keep their names.
    """
    inputs, labels = (_array(folder / name) for name in FILES)
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    rule, table = None, inputs.ndim == 2
    whole = labels.dtype.kind in "biu" or (
        labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.floor(labels))).all())
    )
    first, last = (int(labels.min()), int(labels.max())) if labels.size and whole else (0, -1)
    start = first if len(np.unique(labels)) == last - first + 1 else 0  # `divide` refuses small gaps
    if inputs.ndim not in (2, 4) or labels.ndim != 1 or len(inputs) != len(labels):
        rule = (
            f"one label per image of 2 or 3 axes, or per row of a table; got shapes {inputs.shape} and {labels.shape}"
            + (": use labels[0]" if labels.ndim == 2 and len(labels) == 1 else "")
            + (": use labels.argmax(1) of one column per class" if labels.ndim == 2 and len(labels) > 1 else "")
        )
    elif not whole or first < 0 or last - start >= max(1, len(labels)):
        unknown = labels.dtype.kind == "f" and not np.isfinite(labels).all()
        rule = f"labels that are whole numbers from 0; got {labels.dtype}{_range(labels)}: " + (
            "leave out examples without a label"
            if unknown
            else "number them by numpy.unique(labels, return_inverse=True)[1]"
        )
    elif 0 in inputs.shape[1:]:
        rule = f"inputs with at least one value; got shape {inputs.shape}"
    elif not table and inputs.shape[3] in CHANNELS and inputs.shape[1] not in CHANNELS:
        rule = f"images with their channels first; got shape {inputs.shape}: use numpy.moveaxis(images, 3, 1)"
    elif table and not _finite(inputs):
        rule = f"rows of finite numbers that fit into 32 bits; got {inputs.dtype}{_range(inputs)}: fill in missing ones"
    elif (
        not table
        and inputs.dtype != np.uint8
        and (not np.issubdtype(inputs.dtype, np.floating) or not ((inputs >= 0) & (inputs <= 1)).all())
    ):
        span = f"{inputs.dtype} from {inputs.min()} to {inputs.max()}"
        rule = f"pixels as bytes or as numbers in [0, 1]; got {span}: scale them, such as inputs / 255"
    if rule:
        raise DataError(f"{folder} must contain {rule}; write {' and '.join(FILES)} again with numpy.save")
    names = tuple(map(str, range(start, last + 1)))
    source = str(folder) + (f", labels from {start} numbered from 0" if start else "")
    values = as_inputs(inputs if inputs.dtype == np.uint8 and not table else inputs.astype(np.float32))
    classes = np.unique(labels, return_inverse=True)[1] if start else labels  # of any size, such as 2**63
    return Pool(values, classes.astype(np.int64), names, source)


def _finite(rows: np.ndarray) -> bool:
    """Whether all values are real numbers within float32."""
    real = rows.dtype.kind in "biuf"
    return real and bool((np.abs(rows.astype(np.float64)) <= np.finfo(np.float32).max).all())


def _range(rows: np.ndarray) -> str:
    """Range of real numbers as text; empty for others."""
    return f" from {rows.min()} to {rows.max()}" if rows.dtype.kind in "fiu" and rows.size else ""


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of arrays")
        return array
    except (OSError, ValueError, EOFError, SyntaxError, TokenError, OverflowError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if reason.startswith("Object arrays"):
            raise DataError(
                f"{path} must be a whole array of numbers; it has Python objects, which are not read; convert it by "
                "array.astype(numpy.float32), or numbers of classes by numpy.unique, and write it again"
            ) from error
        raise DataError(f"{path} must be a whole array written by numpy.save; {reason}; write it again") from error
