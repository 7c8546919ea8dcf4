"""Labels of pictures: do they overlap, are they inside?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOUND = 0.05
"""Share of the smaller of two labels that the other may cover."""
Box = tuple[float, float, float, float]
"""Left, low, right, high."""


def labels(figure: Figure) -> dict[str, Box]:
    """Visible texts of a figure, with their boxes in pixels."""
    from matplotlib.text import Text

    figure.canvas.draw()
    boxes: dict[str, Box] = {}
    hidden = set().union(*map(_hidden, figure.axes))
    for number, text in enumerate(figure.findobj(Text)):
        if text.get_visible() and text.get_text().strip() and text not in hidden:
            boxes[f"{number} {text.get_text()}"] = text.get_window_extent().extents
    return boxes


def outside(figure: Figure) -> list[str]:
    """Texts that the edge of the figure cuts."""
    _, _, wide, high = figure.bbox.extents
    return [
        name
        for name, (left, low, right, top) in labels(figure).items()
        if left < -1 or low < -1 or right > wide + 1 or top > high + 1
    ]


def overlaps(boxes: dict[str, Box], bound: float = BOUND) -> list[tuple[str, str]]:
    """Pairs of labels of which one covers more than `bound` of the smaller one."""
    return [
        (first, second)
        for (first, one), (second, other) in combinations(boxes.items(), 2)
        if _shared(one, other) > bound * min(_area(one), _area(other))
    ]


def svg_labels(svg: str) -> dict[str, Box]:
    """Texts of an SVG without rotation, with their boxes in its units, measured in DejaVu Sans."""
    return {f"{number} {text}": box for number, (text, box) in enumerate(_svg(svg))}


def _svg(svg: str) -> Iterator[tuple[str, Box]]:
    from matplotlib.textpath import TextPath

    for element in ElementTree.fromstring(svg).iter():
        if not element.tag.endswith("}text") and element.tag != "text":
            continue
        text = "".join(element.itertext())
        if not text.strip() or element.get("transform"):
            continue
        size, x, y = (
            float(element.get(name, default)) for name, default in (("font-size", "14"), ("x", "0"), ("y", "0"))
        )
        path = TextPath((0, 0), text.replace("$", "S"), size=size).get_extents()
        start = {"middle": 0.5, "end": 1.0}.get(element.get("text-anchor", "start"), 0.0) * path.width
        yield text, (x - start, y - path.height, x - start + path.width, y)


def _hidden(axes: Axes) -> set[object]:
    """Tick labels outside the limits of their axis, or of axes that are off: they are not drawn."""
    if not axes.axison:
        return {label for line in (axes.xaxis, axes.yaxis) for tick in line.get_major_ticks()
                for label in (tick.label1, tick.label2)}  # fmt: skip
    hidden: set[object] = set()
    for line in (axes.xaxis, axes.yaxis):
        low, high = sorted(line.get_view_interval())
        for tick in [*line.get_major_ticks(), *line.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                hidden |= {tick.label1, tick.label2}
    return hidden


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def _shared(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)
