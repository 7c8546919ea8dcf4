"""A shifted image, pixel by pixel. Exists only to be obviously right."""

import math

import numpy as np


def shifted(image: np.ndarray, right: float, down: float) -> np.ndarray:
    """Each pixel takes the value found `right` and `down` of it, between pixels in proportion, zero outside."""
    height, width = image.shape

    def at(row: int, column: int) -> float:
        return float(image[row, column]) if 0 <= row < height and 0 <= column < width else 0.0

    moved = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = row + down, column + right
            top, left = math.floor(y), math.floor(x)
            for dy in (0, 1):
                for dx in (0, 1):
                    part = (1 - abs(y - top - dy)) * (1 - abs(x - left - dx))
                    moved[row, column] += part * at(top + dy, left + dx)
    return moved


def window(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A part of an image of one channel, black where it is outside of the image."""
    cut = np.zeros((height, width), image.dtype)
    for row in range(height):
        for column in range(width):
            y, x = row + top, column + left
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                cut[row, column] = image[y, x]
    return cut


def turned(image: np.ndarray) -> np.ndarray:
    """An image of one channel, its first column last."""
    return np.array([[row[len(row) - 1 - column] for column in range(len(row))] for row in image])
