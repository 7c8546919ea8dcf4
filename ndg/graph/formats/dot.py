"""DOT export, for Graphviz and pygraphviz; `ndg.render` draws pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ndg.graph.export import EDGE, Condensed, flat
from ndg.graph.formats.escape import dot as quoted
from ndg.graph.formats.escape import lines, plain


def dot(graph: Condensed) -> Iterator[str]:
    """Condensed graph as DOT text; its attribute `label` is called `is_label`."""
    yield f"// {json.dumps(graph.facts, ensure_ascii=False)}\ndigraph ndg {{\n"
    for key, attributes in graph.nodes():
        values_text = ", ".join(
            f"{quoted('is_label' if name == 'label' else name)}={quoted(plain(value))}"
            for name, value in flat(attributes).items()
        )
        yield f"{quoted(key)} [{values_text}];\n"
    values = (f"{name}=%s, " if kind is str else f'{name}="%s", ' for name, kind in EDGE.items())
    pieces = ["%s -> %s [", *values, "];\n"]
    for rows in graph.edge_values():
        yield lines(rows, quoted, pieces, texts=4, ends=2)
    yield "}\n"
