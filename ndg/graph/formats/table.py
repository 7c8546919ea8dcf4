"""Edge table as CSV and Parquet, with the columns of `NDG.edges_frame`.

That of a graph with conjunctions or votes has further rows for them, and further columns: the `kind` of edge; `n`,
`turned`, `low` and `high` of conjunctions; the `weight` of votes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ndg.escape import cell
from ndg.extras import require
from ndg.graph import causal_rows
from ndg.graph.edges import frames, plain
from ndg.graph.export import Condensed

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 1 << 16  # rows
TEXTS = ("antecedent", "consequent", "antecedent_layer", "consequent_layer", "kind")
FURTHER = ("kind", "n", "turned", "low", "high", "weight")
"""Columns of a graph with conjunctions or votes."""


def csv(graph: Condensed, raw: bool = False) -> Iterator[str]:
    """Comma-separated values in UTF-8 with a header; unknown figures are empty.

    Cells that a spreadsheet may run as a formula begin with `'`, unless `raw`.
    """
    text = cache(_quoted if raw else lambda value: _quoted(cell(value)))
    for number, frame in enumerate(_frames(graph)):
        if not number:
            yield ",".join(frame.columns) + "\n"
        columns: list[Iterable[Any]] = []
        for name in frame.columns:
            if frame[name].dtype.kind == "O":
                columns.append(map(text, frame[name].tolist()))
                continue
            values = plain(frame[name].to_numpy())
            columns.append(["" if value is None else value for value in values] if None in values else values)
        form = ",".join(["%s"] * len(columns)) + "\n"
        yield "".join([form % row for row in zip(*columns, strict=True)])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text


def parquet(graph: Condensed) -> Iterator[bytes]:
    """Apache Parquet, with the facts as metadata `ndg`; MissingPackageError without pyarrow."""
    require("pyarrow", "Parquet", "CSV needs no package")
    import pyarrow as pa
    from pyarrow import parquet as pq

    drain, writer = _Drain(), None
    for frame in _frames(graph):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if writer is None:
            texts = [
                field.with_type(pa.string()) if frame[field.name].dtype.kind == "O" else field for field in table.schema
            ]
            schema = pa.schema(texts, {"ndg": json.dumps(graph.facts, ensure_ascii=False)})
            writer = pq.ParquetWriter(drain, schema)
        writer.write_table(table.cast(writer.schema))
        yield drain.take()
    if writer is not None:
        writer.close()
    yield drain.take()


def _frames(graph: Condensed) -> Iterator[pd.DataFrame]:
    selected = None if graph.only is None else graph.edge_rows()
    if not graph.causal:
        yield from frames(graph.implications, AT_ONCE, selected)
        return
    import pandas as pd

    columns: list[str] = []
    for frame in frames(graph.implications, AT_ONCE, selected):
        columns = columns or [*frame.columns, *FURTHER]
        yield _wide(frame.assign(kind=causal_rows.IMPLICATION), columns)
    rows = list(causal_rows.table(graph.shown.values(), graph.shown_votes, graph.implications.nodes))
    for start in range(0, len(rows), AT_ONCE):
        yield _wide(pd.DataFrame(rows[start : start + AT_ONCE]), columns)


def _wide(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Table of text, numbers that may be missing, and the converse."""
    frame = frame.reindex(columns=list(columns))
    frame["equivalent"] = frame["equivalent"].eq(True)
    numbers = [name for name in columns if name not in (*TEXTS, "equivalent")]
    return frame.astype(dict.fromkeys(numbers, float))


class _Drain(io.RawIOBase):
    """Binary stream that returns what was written since the last `take`."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, part) -> int:
        self._parts.append(bytes(part))
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
