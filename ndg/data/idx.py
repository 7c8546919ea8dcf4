"""MNIST and similar sets in the idx format (LeCun, Cortes & Burges 1998)."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ndg.config import Data
from ndg.data import releases
from ndg.data.examples import Pool
from ndg.data.inputs import Inputs, Texts, as_inputs
from ndg.errors import DataError

PAIRS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
FILES = tuple("|".join(names) for names in zip(*PAIRS.values(), strict=True))
PACKED = ".gz"
SIZE = (28, 28)
CLASSES = 10
DIGITS = tuple(str(digit) for digit in range(CLASSES))
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def mnist(folder: Path, settings: Data) -> Pool:
    """Ten handwritten digits, 28 x 28 pixels, with the publisher's test set."""
    return _read("mnist", folder, DIGITS)


def mnist_even(folder: Path, settings: Data) -> Pool:
    """MNIST with the label mod 2: even or odd."""
    pool = _read("mnist", folder, ("even", "odd"), modulus=2)
    return replace(pool, source=f"label mod 2 of {pool.source}")


def fashion_mnist(folder: Path, settings: Data) -> Pool:
    """Ten kinds of clothing, 28 x 28 pixels (Xiao et al. 2017)."""
    return _read("fashion_mnist", folder, CLOTHES)


def read_idx(path: Path, *size: int) -> UInt8[np.ndarray, "example ..."]:
    """Examples of an idx file of unsigned bytes, each of `size`.

    DataError for any other.
    """
    remedy = "copy the file again"
    header_size = 4 + 4 * (1 + len(size))
    magic = 0x0800 + 1 + len(size)  # 08: unsigned bytes; the last byte: number of axes
    try:
        with gzip.open(path) if path.suffix == PACKED else path.open("rb") as file:
            header_bytes = np.frombuffer(file.read(header_size), np.uint8)
            if len(header_bytes) < header_size:
                raise DataError(
                    f"{path} must begin with {header_size} bytes of idx header; got {len(header_bytes)}; {remedy}"
                )
            number, count, *lengths = (int(word) for word in header_bytes.view(">u4"))
            if number != magic:
                raise DataError(
                    f"{path} must begin with the idx magic number {magic:#010x}; got {number:#010x}; {remedy}"
                )
            if tuple(lengths) != size:
                raise DataError(
                    f"{path} must have images of {_times(size)} pixels; got {_times(lengths)}; "
                    "set data.name to the data set that the file belongs to"
                )
            promised = count * math.prod(size)
            content = bytearray()  # read in small steps, since a header may promise too much
            while len(content) <= promised and (chunk := file.read(min(promised + 1 - len(content), 1 << 20))):
                content += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a whole idx file, plain or gzip as its name says; {error}; {remedy}"
        ) from error
    if len(content) != promised:
        got = f"only {len(content):,}" if len(content) < promised else "more"
        raise DataError(
            f"{path} must have the {promised:,} bytes that its header promises ({_times((count, *size))}); got {got}; "
            f"{remedy}"
        )
    return np.frombuffer(content, np.uint8).reshape(count, *size)


def _read(name: str, folder: Path, class_names: tuple[str, ...], modulus: int = CLASSES) -> Pool:
    """Pool of the images and labels in a folder, of one or two splits."""
    paths: list[Path] = []
    inputs: dict[str, Inputs | Texts] = {}
    classes = {}
    for split, pair in PAIRS.items():
        images_path, labels_path = (_path(folder, file) for file in pair)
        if not images_path.exists() and not labels_path.exists():
            continue
        if missing := [path for path in (images_path, labels_path) if not path.exists()]:
            raise DataError(
                f"{folder} must have both or none of {' and '.join(pair)}; it lacks {missing[0].name}; "
                "copy it as well, or move the other away"
            )
        paths += [images_path, labels_path]
        images, labels = read_idx(images_path, *SIZE), read_idx(labels_path).astype(np.int64)
        releases.check_labels(labels_path, labels, len(images), CLASSES)
        inputs[split], classes[split] = as_inputs(images[:, None]), labels % modulus
    return releases.pool(name, inputs, classes, class_names, paths)


def _path(folder: Path, name: str) -> Path:
    packed = folder / (name + PACKED)
    return packed if packed.is_file() else folder / name


def _times(lengths: tuple[int, ...] | list[int]) -> str:
    return " x ".join(f"{length:,}" for length in lengths)
