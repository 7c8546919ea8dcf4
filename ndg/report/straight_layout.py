"""Positions for pictures with more edges than Graphviz can route."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from ndg.report.drawing import Drawing, Node

SWEEPS = 12
LINE, PADDING, CHARACTER = 13.0, 11.0, 6.2
"""Points per line of text, around the text of a node, and per character."""
STRETCH = 4.0
"""Largest factor by which a short column is stretched towards the tallest one."""


def positions(drawing: Drawing) -> tuple[dict[str, tuple[float, float]], list[tuple[float, float]]]:
    """Centres of classes and of band captions, in points, y upwards."""
    columns: dict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in drawing.nodes:
        columns[node.band, node.column].append(node)
    ordered = [columns[place] for place in sorted(columns)]
    _untangle(ordered, drawing)
    tallest = max((sum(map(_height, column)) for column in ordered), default=0.0)
    gap = 110 + 0.09 * tallest
    centres, captions, x = {}, [], 0.0
    for column in ordered:
        width = max(CHARACTER * max(map(len, node.lines)) for node in column)
        needed = sum(map(_height, column))
        stretch = max(1.0, min(STRETCH, 0.9 * tallest / needed))
        x += width / 2
        y = stretch * needed / 2
        if column[0].column == 0:
            captions.append((x, tallest / 2 + 2 * LINE))
        for node in column:
            centres[node.key] = (x, y - stretch * _height(node) / 2)
            y -= stretch * _height(node)
        x += width / 2 + gap
    return centres, captions


def _untangle(columns: list[list[Node]], drawing: Drawing) -> None:
    """Sort each column by the mean position of its neighbours (Sugiyama et al. 1981)."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for tail, head in drawing.ends:
        neighbours[tail].append(head)
        neighbours[head].append(tail)
    place = {node.key: (i + 0.5) / len(column) for column in columns for i, node in enumerate(column)}
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            middle = {node.key: fmean(place[key] for key in neighbours[node.key] or [node.key]) for node in column}
            column.sort(key=lambda node, middle=middle: middle[node.key])  # type: ignore[misc]
            place |= {node.key: (i + 0.5) / len(column) for i, node in enumerate(column)}


def _height(node: Node) -> float:
    return LINE * (len(node.lines) + bool(node.more)) + PADDING
