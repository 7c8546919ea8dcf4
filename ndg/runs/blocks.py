"""Metrics of a run apart from its document: one document per name and block of rows.

    {"_id": "RUN/0/2/loss", "run_id": "RUN", "name": "loss", "set": 0, "block": 2,
     "steps": [1000, ...], "values": [0.5, ...], "timestamps": ["2026-11-21T00:12:00.000Z", ...]}

`steps` are numbers of rows, from 0. A block of large values is parted: the ids of further parts have 2.1, 2.2 in place
of 2. Times of rows without values are in blocks of the name "". Instead of rows a document has
`{"rows": 1200, "names": [...], "set": 0}`. Rows are appended to the last block; where earlier rows change, a new set of
blocks takes the place of the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ndg.runs.plain import size

SIZE: Final = 500
"""Rows of a block."""
LARGE: Final = 600_000
"""Bytes of the values of a part of a block."""

Document = dict[str, Any]


def split(document: Document, number: int = 0) -> tuple[Document, list[Document]]:
    """A document without its rows, and their blocks as the set of that number."""
    rows, times = document.get("metrics"), document.get("times")
    whole = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    if not whole or not rows or (times is not None and len(times) != len(rows)):
        return document, []
    names = list(dict.fromkeys(name for row in rows for name in row))
    empty = [""] if times and not all(rows) else []
    blocks = []
    for first in range(0, len(rows), SIZE):
        for name in [*names, *empty]:
            of_block = range(first, min(first + SIZE, len(rows)))
            steps = [i for i in of_block if (name in rows[i] if name else not rows[i])]
            for part, some in enumerate(_parts(steps, [rows[i].get(name) for i in steps])):
                block = first // SIZE
                blocks.append(
                    {
                        "_id": f"{document['_id']}/{number}/{block}{f'.{part}' if part else ''}/{name}",
                        "run_id": document["_id"],
                        "name": name,
                        "set": number,
                        "block": block,
                        "steps": some,
                        "values": [rows[i].get(name) for i in some],
                        "timestamps": [times[i] for i in some] if times else [],
                    }
                )
    small = {key: value for key, value in document.items() if key != "times"}
    return small | {"metrics": {"rows": len(rows), "names": names, "set": number}}, blocks


def _parts(steps: list[int], values: list[Any]) -> Iterator[list[int]]:
    """Steps of a block, in parts of at most `LARGE` bytes of values."""
    if any(isinstance(value, dict | list | str) for value in values):
        total = first = 0
        for place, value in enumerate(values):
            total += (length := size(value))
            if total > LARGE and place > first:
                yield steps[first:place]
                first, total = place, length
        steps = steps[first:]
    if steps:
        yield steps


def is_split(document: Document) -> bool:
    """Whether the rows of a document are in blocks."""
    return isinstance(metrics := document.get("metrics"), dict) and {"rows", "names", "set"} == set(metrics)


def join(document: Document, blocks: Iterable[Document]) -> Document:
    """The document with its rows.

    With fewer values where blocks are missing, which its checksum shows.
    """
    if not is_split(document):
        return document
    facts = document["metrics"]
    by_name: dict[str, list[Document]] = {name: [] for name in [*facts["names"], ""]}
    for block in blocks:
        if block["set"] == facts["set"] and block["name"] in by_name:
            by_name[block["name"]].append(block)
    rows: list[Document] = [{} for _ in range(facts["rows"])]
    times: list[Any] = [None] * len(rows)
    for name, of_name in by_name.items():
        for block in of_name:
            stamps = block["timestamps"] or [None] * len(block["steps"])
            for step, value, stamp in zip(block["steps"], block["values"], stamps, strict=True):
                if step < len(rows):  # another process may have appended meanwhile
                    times[step] = stamp
                    if name:
                        rows[step][name] = value
    timed = {"times": times} if None not in times else {}
    return {key: rows if key == "metrics" else value for key, value in document.items()} | timed
