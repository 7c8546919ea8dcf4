"""Kernel that adds the rows and columns of words in one pass.

An explicit signature lets the next process find the compiled code on disk.
"""

from __future__ import annotations

from numba import types

from ndg.compiled import njit

WORDS = types.Array(types.uint64, 2, "C", readonly=True)
TOTALS = types.Array(types.uint64, 1, "C")


@njit(types.void(WORDS, TOTALS, TOTALS), nogil=True, boundscheck=False)
def add(words, rows, columns):
    """Add words to the totals of rows and columns, four rows at once."""
    height, width = words.shape
    fours = height // 4 * 4
    for row in range(0, fours, 4):
        first, second, third, fourth = rows[row], rows[row + 1], rows[row + 2], rows[row + 3]
        for column in range(width):
            one, two = words[row, column], words[row + 1, column]
            three, four = words[row + 2, column], words[row + 3, column]
            first, second, third, fourth = first + one, second + two, third + three, fourth + four
            columns[column] += one + two + three + four
        rows[row], rows[row + 1], rows[row + 2], rows[row + 3] = first, second, third, fourth
    for row in range(fours, height):
        for column in range(width):
            rows[row] += words[row, column]
            columns[column] += words[row, column]
