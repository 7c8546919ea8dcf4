"""Examples of neurons, and exceptions of edges, for pages of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ndg.activations.sampling import subset
from ndg.errors import GraphError, UserError
from ndg.graph.ndg import NDG
from ndg.options import RunOptions
from ndg.progress import log
from ndg.runs.record import RunRecord
from ndg.stimuli.collect import examples
from ndg.stimuli.result import Examples
from ndg.workflows.subject import Subject

FILE = "examples.json"
EXAMPLES = 1000
"""Held-out examples that are looked at, drawn by the seed."""
LITERALS, EDGES, MOST = 64, 12, 6
"""Nodes and edges that have examples, and examples of each."""


def of_graph(subject: Subject, graph: NDG, edges: Sequence[dict[Any, Any]], options: RunOptions) -> list[Examples]:
    """Examples of the nodes with most implications, then of the edges with the lowest held-out precision."""
    degree = [0] * len(graph.nodes)
    for codes in (graph.implications.antecedents, graph.implications.consequents):
        for node in (codes >> 1).tolist():
            degree[node] += 1
    nodes = sorted((node for node in range(len(degree)) if degree[node]), key=lambda node: -degree[node])[:LITERALS]
    wanted = [graph.nodes.name(node) for node in sorted(nodes) if not graph.nodes.is_concept(node)]
    weak = sorted((edge for edge in edges if edge["exceptions"]), key=lambda edge: edge["precision"])[:EDGES]
    wanted += [f"{edge['antecedent']} -> {edge['consequent']}" for edge in weak]
    if not wanted:
        return []
    loader = subset(subject.loaders[subject.held_out], EXAMPLES, options.seed)
    try:
        seen = examples(subject.network, loader, wanted, like=graph, most=MOST, words=subject.words, options=options)
    except UserError as error:  # pages are complete without them
        log.warning("no examples of neurons: %s", error)
        return []
    return list(seen) if isinstance(seen, list) else [seen]


def text(seen: Sequence[Examples]) -> str:
    """JSON text of examples."""
    return json.dumps([each.to_dict() for each in seen], ensure_ascii=False, allow_nan=False)


def of_run(record: RunRecord) -> list[Examples]:
    """Examples that a run saved, if any.

    Raises GraphError for a damaged file, or one of a newer version.
    """
    path = Path(record.folder) / FILE
    if not path.is_file():
        return []
    try:
        content = path.read_bytes()
        if sha256(content).hexdigest() not in (logged := _logged(record)) and logged:
            raise ValueError("its SHA-256 is not the one that was logged")
        return [Examples.from_dict(each) for each in json.loads(content)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GraphError(
            f"{path} must hold examples as this version writes them; it is damaged, or of a newer version ({error}); "
            "align again, or remove the file for pages without examples"
        ) from error


def _logged(record: RunRecord) -> list[str]:
    """SHA-256 of the file in the log; none in logs that lack it."""
    return [artefact["sha256"] for artefact in record.get("artefacts") or () if artefact.get("path") == FILE]
