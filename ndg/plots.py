"""Plots: a frozen table of points, and its picture by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ndg.errors import ConfigError, check_kind
from ndg.escape import one_line
from ndg.extras import require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5f6b6d", "#000000")
"""Colours that colour-blind readers can tell apart (Okabe & Ito 2008)."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
KINDS = ("lines", "points", "rows", "boxes", "steps")
ACROSS = ("rows", "boxes")
"""Kinds whose values lie across, and whose names stand on the left."""
INSIDE = 4
"""Names of a legend inside the axes; a longer one stands beside them."""
MOST = 40
"""Rows that a plot of rows shows; its title says how many there are."""
LONG = 40
"""Characters of a name that a plot shows."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """Points of one name.

    `low` and `high` are ends of intervals of y, `left` and `right` of x, or empty. Of rows, x holds their names.
    """

    name: str
    x: tuple[Any, ...]
    y: tuple[float, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    left: tuple[float | None, ...] = ()
    right: tuple[float | None, ...] = ()

    @classmethod
    def of(cls, name: str, rows: Iterable[Row], x: str, y: str, ends: tuple[str, str] | None = None) -> Series:
        """Series of two columns of rows, with the interval of `ends`, by default `y_low` and `y_high`."""
        known = [row for row in rows if _number(row.get(y)) and row.get(x) is not None]
        low, high = ([row.get(end) for row in known] for end in ends or (f"{y}_low", f"{y}_high"))
        bounded = any(map(_number, low)) and any(map(_number, high))
        points = (tuple(row[column] for row in known) for column in (x, y))
        return cls(name, *points, *((tuple(low), tuple(high)) if bounded else ()))


@dataclass(frozen=True)
class Plot:
    """What a picture shows, computed before it is drawn.

    `kind` is lines, points, steps (a histogram: x are the middles of its bins), rows (a row for each name, its value
    across) or boxes (median, quartiles, 5 % and 95 % of the y of each series, across). `diagonal` adds the line y = x,
    `limits` are the ends of the axis of y.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    kind: str = "lines"
    diagonal: bool = False
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"a plot shows {', '.join(KINDS)}; got {self.kind!r}; choose one of them")

    def rows(self) -> list[dict[str, Any]]:
        """One row per point: series, x, y and its interval."""
        return [
            {"series": series.name, "x": x, "y": y}
            | ({"low": series.low[i], "high": series.high[i]} if series.low else {})
            | ({"left": series.left[i], "right": series.right[i]} if series.left else {})
            for series in self.series
            for i, (x, y) in enumerate(zip(series.x, series.y, strict=True))
        ]

    def frame(self) -> pd.DataFrame:
        """`rows` as a pandas.DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes, by default new ones."""
        axes = axes_of(ax, self._size())
        for place, series in enumerate(self.series):
            _series(axes, self.kind, place, series)
        if self.kind == "boxes":
            _boxes(axes, self.series)
        if self.limits is not None:
            axes.set(**{"xlim" if self.kind == "boxes" else "ylim": self.limits})
        if self.diagonal:
            ends = axes.get_xlim(), axes.get_ylim()
            axes.axline((ends[0][0],) * 2, slope=1, color="#999999", linestyle=":", linewidth=1, zorder=0)
            axes.set(xlim=ends[0], ylim=ends[1])
        if self.kind in ACROSS:
            axes.invert_yaxis()
            axes.set_xlabel(self.y)
        else:
            axes.set_xlabel(self.x)
            axes.set_ylabel(self.y)
        axes.set_title(self.title, fontsize=10, wrap=True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        if len(self.series) > 1 and self.kind != "boxes":
            beside: dict[str, Any] = (
                {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(self.series) > INSIDE else {}
            )
            axes.legend(fontsize=8, frameon=False, **beside)
        if not self._names():
            axes.text(0.5, 0.5, "no points", transform=axes.transAxes, ha="center", va="center", color="#666666")
        return axes

    def _names(self) -> int:
        return max((len(series.x) for series in self.series), default=0)

    def _size(self) -> tuple[float, float]:
        """Inches of new axes: rows have room for their names, a long legend stands beside the axes."""
        if self.kind in ACROSS:
            return 6.4, max(2.4, 0.9 + 0.24 * (self._names() if self.kind == "rows" else 1.5 * len(self.series)))
        long = len(self.series) > INSIDE
        return (9.0, max(4.2, 0.6 + 0.19 * len(self.series))) if long else (6.4, 4.2)


def by(rows: Sequence[Row], name: str) -> dict[str, list[Row]]:
    """Rows by a column, in the order of its values."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row[name]), []).append(row)
    return groups


def axes_of(ax: Axes | None, size: tuple[float, float] = (6.4, 4.2)) -> Axes:
    """The axes, or new ones of so many inches.

    Raises ConfigError for another value, MissingPackageError without matplotlib.
    """
    require("matplotlib", "a plot")
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=size, layout="constrained")[1]
    from matplotlib.axes import Axes

    check_kind(ax, Axes, "ax is the axes of a matplotlib figure", "leave it out for new ones")
    return ax


def of_rows(title: str, rows: Sequence[Row]) -> Plot:
    """Plot of the main figure of each row of a table, with its interval.

    That is the first column that has an interval, else the first of fractions, else the first of numbers. Names are
    joined from the columns of text.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    ends = {f"{key}_{end}" for key in keys for end in ("low", "high")}
    numbers = [key for key in keys if key not in ends and any(_number(row.get(key)) for row in rows)]
    with_ends = [key for key in numbers if f"{key}_low" in keys and f"{key}_high" in keys]
    fractions = [key for key in numbers if any(isinstance(row.get(key), float) for row in rows)]
    column = next(iter([*with_ends, *fractions, *numbers]), "")
    texts = [key for key in keys if any(isinstance(row.get(key), str) for row in rows)]
    names = texts or [key for key in numbers if key != column][:1]
    named = [
        {**row, " name": " · ".join(str(row[key]) for key in names if row.get(key) is not None) or str(place)}
        for place, row in enumerate(rows)
    ]
    shown = [row for row in named if _number(row.get(column))]
    more = f" (the first {MOST} of {len(shown)})" if len(shown) > MOST else ""
    label = column.replace("_", " ")
    return Plot(f"{title}{more}", "", label, (Series.of(label, shown[:MOST], " name", column),), "rows")


def _series(axes: Axes, kind: str, place: int, series: Series) -> None:
    if kind == "boxes":
        return
    turn = place // len(COLOURS)  # after all colours each meets another mark and another dash
    colour, mark = COLOURS[place % len(COLOURS)], MARKS[(place + turn) % len(MARKS)]
    if kind == "rows":
        at = [row + 0.25 * place for row in range(len(series.x))]
        axes.plot(series.y, at, mark, color=colour, markersize=4, label=series.name)
        if series.low:
            ends = [(low, high, y) for low, high, y in zip(series.low, series.high, at, strict=True) if _number(low)]
            axes.hlines([y for *_, y in ends], *zip(*((a, b) for a, b, _ in ends), strict=True), color=colour)
        if not place:
            axes.set_yticks(at, [_short(name) for name in series.x])
        return
    if kind == "steps" and series.x:
        dash = DASHES[(place + turn) % len(DASHES)]
        axes.stairs(series.y, _ends(series.x), color=colour, linestyle=dash, label=series.name)
    if kind == "steps":
        return
    dash = DASHES[turn % len(DASHES)] if kind == "lines" else ""
    few = mark if kind == "points" or len(series.x) <= MOST else ""
    size = 3.5 if kind == "lines" else 3.0
    veil = 0.5 if kind == "points" and len(series.x) > MOST else 1.0
    how: dict[str, Any] = {"linestyle": dash or "none", "color": colour, "markersize": size, "alpha": veil}
    axes.plot(series.x, series.y, few, label=series.name, **how)
    if series.low and kind == "lines":
        axes.fill_between(series.x, _floats(series.low), _floats(series.high), color=colour, alpha=0.15, linewidth=0)
    elif series.low:
        axes.vlines(series.x, _floats(series.low), _floats(series.high), color=colour, alpha=0.5, linewidth=0.8)
    if series.left:
        axes.hlines(series.y, _floats(series.left), _floats(series.right), color=colour, alpha=0.5, linewidth=0.8)


def _boxes(axes: Axes, series: Sequence[Series]) -> None:
    known = [each for each in series if each.y]
    names = [_short(each.name) for each in known]
    values, line = [each.y for each in known], {"color": COLOURS[1]}
    axes.boxplot(values, orientation="horizontal", whis=(5, 95), sym="", medianprops=line)
    axes.set_yticks(range(1, len(names) + 1), names)


def _ends(middles: Sequence[float]) -> list[float]:
    """Ends of bins of one width by their middles."""
    half = (middles[1] - middles[0]) / 2 if len(middles) > 1 else 0.5
    return [middles[0] - half, *(middle + half for middle in middles)]


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(name: Any) -> str:
    text = one_line(str(name))
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"
