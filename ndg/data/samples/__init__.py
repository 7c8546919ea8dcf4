"""Small made-up files in the publishers' formats, for quick runs where the data are not at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ndg.data.samples import images, texts

SAMPLES: dict[str, Callable[[Path, int], None]] = {
    "mnist": images.write_idx,
    "mnist_even": images.write_idx,
    "fashion_mnist": images.write_idx,
    "cifar10": images.write_cifar10,
    "cifar100": images.write_cifar100,
    "cifar10_jpeg": images.write_cifar10_jpeg,
    "cub200": images.write_cub200,
    "images": images.write_images,
    "sst2": texts.write_sst2,
    "snli": texts.write_snli,
    "allnli": texts.write_allnli,
    "mqnli": texts.write_mqnli,
    "sick": texts.write_sick,
    "devign": texts.write_devign,
    "texts": texts.write_texts,
}
"""What writes the files of a data set into a folder, by a seed."""
