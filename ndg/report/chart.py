"""Line charts as SVG text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ndg.escape import html as escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 190.0, 14.0, 44.0
LETTER = 7.0
"""Width that a letter of a name may need."""
COLOURS = ("#0b6e4f", "#c8553d", "#3d5a80", "#8a6fae", "#b08900", "#5f6b6d", "#d17ea8", "#2b2d42")
DASHES = ("", "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Chart:
    """Named lines of points; y is a rate in [0, 1]."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Points]

    def svg(self) -> str:
        """SVG element of the chart, with the first line on top."""
        ends = [x for points in self.lines.values() for x, _ in points]
        if not ends:
            return ""
        high = max(max(ends), 1e-9)
        rough = 10.0 ** math.floor(math.log10(high / 8))
        step = next(rough * factor for factor in (1, 2, 5, 10) if high / (rough * factor) <= 8)  # at most 8 ticks
        wide = WIDTH - RIGHT + max(RIGHT, 56 + LETTER * max(map(len, self.lines)))  # room for the names
        tall = max(HEIGHT, TOP + 18 * len(self.lines) + 10)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {tall:g}" width="{wide:g}pt" '
            f'height="{tall:g}pt" role="img" font-family="DejaVu Sans, sans-serif" font-size="11">',
            f"<title>{escape(self.title)}</title>",
        ]
        for tick in range(6):
            rate, at = tick / 5, _y(tick / 5)
            parts.append(_line(LEFT, at, WIDTH - RIGHT, at, "#ddd"))
            parts.append(_text(LEFT - 8, at + 4, f"{rate:.1f}", "end"))
        for number in range(int(high / step + 1e-9) + 1):
            at = _x(number * step, high)
            parts.append(_line(at, _y(0), at, _y(0) + 5, "#555"))
            parts.append(_text(at, _y(0) + 18, f"{number * step:g}", "middle"))
        parts.append(_line(LEFT, _y(0), WIDTH - RIGHT, _y(0), "#555"))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, self.x, "middle"))
        parts.append(
            f'<text x="14" y="{(_y(0) + _y(1)) / 2:.1f}" text-anchor="middle" '
            f'transform="rotate(-90 14 {(_y(0) + _y(1)) / 2:.1f})">{escape(self.y)}</text>'
        )
        for place, (name, points) in reversed(list(enumerate(self.lines.items()))):
            colour, dash = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            path = " ".join(f"{_x(x, high):.1f},{_y(y):.1f}" for x, y in points)
            style = f'fill="none" stroke="{colour}" stroke-width="{2.6 if place == 0 else 1.5}"'
            parts.append(f'<polyline points="{path}" {style}{dashes}/>')
            parts += [f'<circle cx="{_x(x, high):.1f}" cy="{_y(y):.1f}" r="2.4" fill="{colour}"/>' for x, y in points]
            at = TOP + 10 + 18 * place
            parts.append(
                f'<line x1="{WIDTH - RIGHT + 14}" y1="{at}" x2="{WIDTH - RIGHT + 40}" y2="{at}" stroke="{colour}" '
                f'stroke-width="2"{dashes}/>'
            )
            parts.append(_text(WIDTH - RIGHT + 46, at + 4, name, "start"))
        return "".join([*parts, "</svg>"])


def _x(value: float | int, high: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / high


def _y(rate: float | int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
