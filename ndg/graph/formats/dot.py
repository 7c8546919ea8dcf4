"""DOT, as Graphviz and pygraphviz read it. The source of a picture, with its selection and colours, is another matter:
`ndg.render` writes that."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ndg.graph.export import EDGE, Condensed, flat
from ndg.graph.formats.escape import dot as quoted
from ndg.graph.formats.escape import lines, plain


def dot(graph: Condensed) -> Iterator[str]:
    """The condensed graph; values as text, lists as `flat` writes them, unknown ones left out, the facts in a comment.

    In Graphviz the label of a node is the text in it: the key. That a class holds a label is called `is_label` here.
    """
    yield f"// {json.dumps(graph.facts, ensure_ascii=False)}\ndigraph ndg {{\n"
    for key, attributes in graph.nodes():
        told = ", ".join(
            f"{quoted('is_label' if name == 'label' else name)}={quoted(plain(value))}"
            for name, value in flat(attributes).items()
        )
        yield f"{quoted(key)} [{told}];\n"
    values = (f"{name}=%s, " if kind is str else f'{name}="%s", ' for name, kind in EDGE.items())
    pieces = ["%s -> %s [", *values, "];\n"]
    for rows in graph.edge_values():
        yield lines(rows, quoted, pieces, texts=4, ends=2)
    yield "}\n"
