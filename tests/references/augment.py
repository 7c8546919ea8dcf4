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
