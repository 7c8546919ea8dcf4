"""Small files in the formats of the publishers, written byte by byte."""

import gzip
import io
import pickle
import struct
from typing import ClassVar

import numpy as np


def idx(array):
    """An idx file of unsigned bytes."""
    array = np.asarray(array, np.uint8)
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, train, test, packed=True, size=(28, 28), seed=0):
    """The four files of MNIST with these labels and random images; the images of train and test."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (len(labels), *size)).astype(np.uint8) for labels in (train, test)]
    for part, pixels, labels in zip(("train", "t10k"), images, (train, test), strict=True):
        for name, content in (("images-idx3", pixels), ("labels-idx1", labels)):
            raw = idx(content)
            path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(raw) if packed else raw)
    return images


class Python2(pickle._Pickler):
    """Writes strings as Python 2 did, in which the publisher's files are pickled."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)

    dispatch[str] = dispatch[bytes] = save_string


def python2(value):
    """A pickle as Python 2 with an old numpy wrote it."""
    stream = io.BytesIO()
    Python2(stream, 2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def batch(labels, key="labels", seed=0, dump=python2):
    """A CIFAR batch with these labels and random pixels, and the pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072)).astype(np.uint8)
    return dump({"batch_label": "a batch", key: list(map(int, labels)), "data": pixels}), pixels


def write_cifar10(folder, train, test, dump=python2):
    """A folder with one batch for each list of labels in `train`; the pixels of all, in order."""
    folder.mkdir(exist_ok=True, parents=True)
    names = [f"class {number}" for number in range(10)]
    (folder / "batches.meta").write_bytes(dump({"num_cases_per_batch": 10000, "label_names": names}))
    written = []
    for number, labels in enumerate([*train, test]):
        content, pixels = batch(labels, seed=number, dump=dump)
        (folder / (f"data_batch_{number + 1}" if number < len(train) else "test_batch")).write_bytes(content)
        written.append(pixels)
    return np.concatenate(written).reshape(-1, 3, 32, 32)


def write_cifar100(folder, train, test):
    """The three files of CIFAR-100."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "meta").write_bytes(python2({"fine_label_names": [f"fine {number}" for number in range(100)]}))
    for name, labels in (("train", train), ("test", test)):
        (folder / name).write_bytes(batch(labels, "fine_labels")[0])
