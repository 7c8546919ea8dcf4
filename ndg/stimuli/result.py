"""Examples of a neuron or of an edge's exceptions, as a result with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ndg.errors import GraphError, check_kind
from ndg.escape import html
from ndg.plots import Plot, Series
from ndg.results import Result, Row

IMAGE, TEXT, TABLE, OTHER = KINDS = ("image", "text", "table", "other")
OPEN, CLOSE = "⟦", "⟧"
"""Signs around the marked token of a text."""


@dataclass(frozen=True)
class Example:
    """One example: its number in the loader, and what the unit does on it.

    `value` is the activation (of a label: its logit), `text` the tokens with the one that counts most in `⟦ ⟧`,
    `image` a PNG as data URI, `features` the numbers of a row.
    """

    number: int
    value: float
    text: str = ""
    image: str = ""
    features: tuple[float, ...] = ()


@dataclass(frozen=True)
class FeatureRange:
    """Quantiles of a feature where a literal holds, and elsewhere.

    They are 5 %, the median and 95 %.
    """

    feature: str
    holds: tuple[float, float, float] | None
    else_: tuple[float, float, float] | None

    @property
    def shift(self) -> float:
        """Distance of the medians over the spread of both ranges."""
        if self.holds is None or self.else_ is None:
            return 0.0
        spread = max(self.holds[2], self.else_[2]) - min(self.holds[0], self.else_[0])
        return abs(self.holds[1] - self.else_[1]) / spread if spread else 0.0

    def words(self) -> str:
        """Both ranges: 5 %, median and 95 %."""
        return f"{_range(self.holds)} where it holds; {_range(self.else_)} elsewhere"


@dataclass(frozen=True)
class Examples(Result):
    """What a literal sees, or the exceptions of an edge.

    `of` is a literal or `p -> q`, `kind` one of image, text, table and other. Of a literal, `top` has the examples with
    the largest activation (for `~` the smallest), and `count` of the `n` examples make it hold; of an edge, `top` has
    the exceptions with the largest activation of p, and `count` of the `n` examples with p are exceptions. `mean_holds`
    and `mean_else` are mean images where it holds and where not, `ranges` those of the features of a table, the most
    different first. `threshold` is that of the unit.

    >>> seen = ndg.examples(net, data, "1:2", like=graph)
    >>> seen.kind, seen.n, len(seen.top)
    ('table', 300, 9)
    """

    of: str
    kind: str
    top: tuple[Example, ...]
    count: int
    n: int
    threshold: float | None = None
    mean_holds: str = ""
    mean_else: str = ""
    ranges: tuple[FeatureRange, ...] = ()

    @property
    def edge(self) -> bool:
        """Whether these are exceptions of an edge."""
        return "->" in self.of

    def rows(self) -> list[Row]:
        """One row per example: number, value, text or features."""
        rows: list[Row] = []
        for place, example in enumerate(self.top, 1):
            row: Row = {"of": self.of, "place": place, "number": example.number, "value": example.value}
            row |= {"text": example.text} if self.kind == TEXT else {}
            rows.append(row | {f"feature {i}": value for i, value in enumerate(example.features)})
        return rows

    def words(self) -> str:
        """On how many examples the literal holds, or the edge fails."""
        if self.edge:
            return f"{self.of} fails on {self.count:,} of the {self.n:,} examples on which its antecedent holds."
        return f"{self.of} holds on {self.count:,} of {self.n:,} examples."

    def plotted(self) -> Plot:
        """Activation of each example shown."""
        rows = [{"example": f"example {each.number}", "value": each.value} for each in self.top]
        return Plot(self.words(), "", "activation", (Series.of(self.of, rows, "example", "value"),), "rows")

    def to_dict(self) -> Row:
        """Plain JSON types with all pictures; inverse of `from_dict`."""
        document = {name: value for name, value in asdict(self).items() if name not in ("top", "ranges")}
        for name in ("top", "ranges"):
            document[name] = [
                {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(each).items()}
                for each in getattr(self, name)
            ]
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Examples:
        """Examples of a document of `to_dict`; GraphError for another value."""
        check_kind(document, Mapping, "examples are read from a dictionary", "pass the result of to_dict", GraphError)
        top = (Example(**{**each, "features": tuple(each["features"])}) for each in document["top"])
        ranges = (
            FeatureRange(each["feature"], *(each[key] and tuple(each[key]) for key in ("holds", "else_")))
            for each in document["ranges"]
        )
        return cls(**{**document, "top": tuple(top), "ranges": tuple(ranges)})

    def fewer(self, most: int) -> Examples:
        """At most so many examples and features."""
        return replace(self, top=self.top[:most], ranges=self.ranges[:most])

    def _repr_html_(self) -> str:
        return f"{self.pictures()}<p>{html(self.words())}</p>"

    def pictures(self) -> str:
        """Thumbnails, texts or ranges as an HTML table.

        Pictures are data URIs.
        """
        if self.kind == IMAGE:
            means = [("mean where it holds", self.mean_holds), ("mean elsewhere", self.mean_else)]
            shown = [(f"{each.number}: {each.value:.3g}", each.image) for each in self.top]
            cells = "".join(
                f'<td><img src="{html(image)}" alt="{html(name)}" width="56" /><p>{html(name)}</p></td>'
                for name, image in [*([] if self.edge else means), *shown]
                if image
            )
            return f"<table><tbody><tr>{cells}</tr></tbody></table>" if cells else ""
        if self.kind == TABLE and self.ranges and not self.edge:
            head = ("feature", "where it holds: 5 %, median, 95 %", "elsewhere")
            lines = [(each.feature, *(_range(ends) for ends in (each.holds, each.else_))) for each in self.ranges]
            return _table(head, lines)
        rows = self.rows()
        columns = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in ("of", "place")]
        lines = [tuple(_cell(row[name]) for name in columns) for row in rows]
        return _table(tuple(columns), lines) if rows else ""


def _table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{html(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _range(ends: tuple[float, float, float] | None) -> str:
    return "never" if ends is None else ", ".join(f"{end:.3g}" for end in ends)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
