"""Compiled kernels that read each activation once."""

from __future__ import annotations

from typing import Any

from numba import types

from ndg.compiled import njit

PLANES, CHOICES = types.float32[:, :, ::1], types.uint8[:, :, ::1]
OPTIONS: dict[str, Any] = {"nogil": True, "boundscheck": False}
SUMS = {"fastmath": {"reassoc", "contract"}, **OPTIONS}


@njit(types.void(PLANES, PLANES, CHOICES), **OPTIONS)
def largest(planes, values, choices):
    """Write value and index of the largest of each window."""
    for plane in range(values.shape[0]):
        for row in range(values.shape[1]):
            for column in range(values.shape[2]):
                best, choice = planes[plane, 2 * row, 2 * column], 0
                other = planes[plane, 2 * row, 2 * column + 1]
                if other > best or other != other:
                    best, choice = other, 1
                other = planes[plane, 2 * row + 1, 2 * column]
                if other > best or other != other:
                    best, choice = other, 2
                other = planes[plane, 2 * row + 1, 2 * column + 1]
                if other > best or other != other:
                    best, choice = other, 3
                values[plane, row, column] = best
                choices[plane, row, column] = choice


@njit(types.void(PLANES, CHOICES, PLANES), **OPTIONS)
def spread(values, choices, planes):
    """Write each value to the position its window chose, and zero elsewhere."""
    for plane in range(values.shape[0]):
        for row in range(values.shape[1]):
            for column in range(values.shape[2]):
                value, choice = values[plane, row, column], choices[plane, row, column]
                planes[plane, 2 * row, 2 * column] = value if choice == 0 else 0
                planes[plane, 2 * row, 2 * column + 1] = value if choice == 1 else 0
                planes[plane, 2 * row + 1, 2 * column] = value if choice == 2 else 0
                planes[plane, 2 * row + 1, 2 * column + 1] = value if choice == 3 else 0


@njit(types.void(PLANES, PLANES, PLANES, types.float64[:, ::1]), **SUMS)
def flowed(slopes, values, before, sums):
    """Write the float64 sums of slope times change over positions."""
    for row in range(slopes.shape[0]):
        for unit in range(slopes.shape[1]):
            total = 0.0
            for place in range(slopes.shape[2]):
                total += slopes[row, unit, place] * (values[row, unit, place] - before[row, unit, place])
            sums[row, unit] = total
