"""Small random files in the publishers' formats."""

import numpy as np

from ndg.data.samples import images as samples
from ndg.data.samples.images import python2


def idx(array):
    """idx file of unsigned bytes."""
    return samples.idx(np.asarray(array, np.uint8))


def write_idx(folder, train, test, packed=True, size=(28, 28), seed=0):
    """Write the four files of MNIST with these labels; returns the images."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (len(labels), *size)).astype(np.uint8) for labels in (train, test)]
    for part, pixels, labels in zip(("train", "t10k"), images, (train, test), strict=True):
        samples.write_pair(folder, part, pixels, np.asarray(labels, np.uint8), packed)
    return images


def batch(labels, key="labels", seed=0, dump=python2):
    """CIFAR batch with these labels and random pixels, and the pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072)).astype(np.uint8)
    return samples.batch(pixels, list(map(int, labels)), key, dump), pixels


def write_cifar10(folder, train, test, dump=python2):
    """Write one batch per list of labels in `train`; returns all pixels."""
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
    """Write the three files of CIFAR-100."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "meta").write_bytes(python2({"fine_label_names": [f"fine {number}" for number in range(100)]}))
    for name, labels in (("train", train), ("test", test)):
        (folder / name).write_bytes(batch(labels, "fine_labels")[0])


def write_image(path, pixels, **options):
    """Write a PNG or JPEG file of bytes [height, width, 3] or [height, width]."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)


def noise(*shape, seed=0):
    """Random bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
