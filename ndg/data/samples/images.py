"""Generated image files in the publishers' formats: a smooth pattern per class, with noise."""

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

from ndg import atomic, seeds
from ndg.data.folders import CLASSES10

Images = UInt8[np.ndarray, "example height width channel"]
Bytes = UInt8[np.ndarray, "..."]
Size = tuple[int, int, int]
BIRDS = 200
GRID = 4
"""Sides of the grid of numbers that a pattern interpolates."""


def write_idx(folder: Path, seed: int) -> None:
    """Four files of MNIST, 200 + 40 images per class."""
    for part, each in (("train", 200), ("t10k", 40)):
        images, labels = _shuffled(seed, part, 10, each, (28, 28, 1))
        write_pair(folder, part, images[..., 0], labels)


def write_cifar10(folder: Path, seed: int) -> None:
    """Seven files of CIFAR-10, 100 + 20 images of each class."""
    images, labels = _shuffled(seed, "train", 10, 100, (32, 32, 3))
    for number, rows in enumerate(np.split(np.arange(len(labels)), 5), 1):
        _batch(folder / f"data_batch_{number}", images[rows], labels[rows], "labels")
    _batch(folder / "test_batch", *_shuffled(seed, "test", 10, 20, (32, 32, 3)), "labels")
    meta = {"num_cases_per_batch": 200, "label_names": list(CLASSES10), "num_vis": 3072}
    atomic.write(folder / "batches.meta", python2(meta))


def write_cifar100(folder: Path, seed: int) -> None:
    """Three files of CIFAR-100, 20 + 5 images of each class."""
    for name, each in (("train", 20), ("test", 5)):
        _batch(folder / name, *_shuffled(seed, name, 100, each, (32, 32, 3)), "fine_labels")
    names = [f"kind {number:02}" for number in range(100)]
    atomic.write(folder / "meta", python2({"fine_label_names": names}))


def write_cifar10_jpeg(folder: Path, seed: int) -> None:
    """Folders of CIFAR-10 as JPEG, 40 + 10 images of each class."""
    part = folder / ".CIFAR-10-images.part"
    for name, each in (("train", 40), ("test", 10)):
        _folders(part / name, seed, name, CLASSES10, each, 32, ".jpg")
    part.rename(folder / "CIFAR-10-images")


def write_cub200(folder: Path, seed: int) -> None:
    """Folder of CUB-200-2011, 8 + 2 images per class."""
    names = tuple(f"{number:03}.Bird_{number:03}" for number in range(1, BIRDS + 1))
    home = folder / "CUB_200_2011"
    paths = _folders(home / "images", seed, "birds", names, 10, 64, ".jpg")
    lists = {
        "classes.txt": names,
        "image_class_labels.txt": [names.index(path.parent.name) + 1 for path in paths],
        "train_test_split.txt": [int(number % 10 < 8) for number in range(len(paths))],
        "images.txt": [path.relative_to(home / "images").as_posix() for path in paths],
    }
    for name, values in lists.items():
        atomic.write(home / name, "".join(f"{number} {value}\n" for number, value in enumerate(values, 1)))


def write_images(folder: Path, seed: int) -> None:
    """Folders of splits and classes with 40 + 10 PNG images each."""
    for name, each in (("train", 40), ("test", 10)):
        _folders(folder / name, seed, name, ("first", "second", "third"), each, 16, ".png")


def drawn(seed: int, part: str, label: int, count: int, size: Size) -> Images:
    """Images of a class: its pattern, with noise by `part`."""
    height, width, channels = size
    grid = seeds.generator(seed, "pattern", label).uniform(-1, 1, (GRID, GRID, channels))
    weights = [_weights(length) for length in (height, width)]
    pattern = np.einsum("ya,xb,abc->yxc", *weights, grid)
    noise = seeds.generator(seed, "noise", part, label).normal(0, 30, (count, *size))
    return np.clip(128 + 90 * pattern + noise, 0, 255).astype(np.uint8)


def _weights(length: int) -> np.ndarray:
    """Interpolation weights [place, grid point]."""
    places = np.linspace(0, GRID - 1, length)[:, None]
    return np.clip(1 - np.abs(places - np.arange(GRID)), 0, 1)


def _shuffled(seed: int, part: str, classes: int, each: int, size: Size) -> tuple[Images, UInt8[np.ndarray, " _"]]:
    images = np.concatenate([drawn(seed, part, label, each, size) for label in range(classes)])
    order = seeds.generator(seed, "order", part).permutation(len(images))
    return images[order], np.repeat(np.arange(classes, dtype=np.uint8), each)[order]


def _batch(path: Path, images: Images, labels: UInt8[np.ndarray, " example"], key: str) -> None:
    pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    atomic.write(path, batch(np.ascontiguousarray(pixels), labels.tolist(), key))


def _folders(
    folder: Path, seed: int, part: str, names: tuple[str, ...], each: int, side: int, suffix: str
) -> list[Path]:
    """Paths of the files written, one folder per class."""
    from PIL import Image

    paths = []
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(drawn(seed, part, label, each, (side, side, 3))):
            path = folder / name / f"{number:04}{suffix}"
            Image.fromarray(pixels).save(path)
            paths.append(path)
    return paths


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
