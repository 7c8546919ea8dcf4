"""Graph as a JSON file.

Schema 3: `format` ("ndg"), `schema` (3), `digest` (of the implications), `nodes` {labels, layers: [[name, units] or
[name, units, reading]], and concepts: [name] if any}, `examples`, `tests`, `criterion`, `binarizer`, `bits_digest`,
`provenance`, `scores` {method: {measure, values: {node: number}}}, `constants` (texts), `thresholds` (null for NaN),
`on` per node, `with_label` per label and node, `antecedents`, `consequents`, `exceptions` per implication (literal
codes: 2 node + value). A graph with edge verdicts has `verdicts` {order, how, facts, q_values, counts}, of the forced
implications in their order. `checksum` covers provenance, scores and verdicts; it is missing in files of earlier
versions. `facts` names the rule of the verdicts; without such verdicts the schema is 2, as in earlier versions, whose
verdicts have no rule. Schema 1, still readable, has no tests, readings or concepts.

Schema 4 is that of a graph with conjunctions or votes; others are still written in schema 2 or 3. It has, besides,
`conjunctions` [{members: [text], consequent: text, training: [examples, found], test: [examples, turned], effects:
[number per member] or null}] and `votes` [{layer, bias: [number per label], margin, n, weights: [[number per unit] per
label]}] (`ndg.graph.conjunctions`, `ndg.graph.votes`). `digest` covers both.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ndg import atomic, checksums
from ndg.bits.file_format import plain_thresholds, thresholds_of
from ndg.errors import GraphError
from ndg.graph.conjunctions import Conjunction
from ndg.graph.verdicts import Verdicts
from ndg.graph.votes import Votes
from ndg.mining.implications import Implications
from ndg.nodes import NodeSpace
from ndg.paths import path_of

FORMAT, READABLE = "ndg", (1, 2, 3, 4)
PLAIN, RULED, CAUSAL = 2, 3, 4
"""Schema without, and with, verdicts that name their rule; with conjunctions or votes."""
ARRAYS: dict[str, Any] = {"antecedents": np.int32, "consequents": np.int32, "exceptions": np.int64}
HYPEREDGES = ("conjunctions", "votes")
KEYS = {
    *("format", "schema", "digest", "checksum", "nodes", "examples", "tests", "criterion", "binarizer", "bits_digest"),
    *("provenance", "scores", "constants", "thresholds", "verdicts", "on", "with_label", *ARRAYS),
}
AT_ONCE = 1 << 16  # numbers in one part of the text


@dataclass(frozen=True, eq=False)
class Stored:
    """Everything that a file of a graph holds."""

    implications: Implications
    provenance: dict[str, Any] = field(default_factory=dict)
    scored: dict[str, Any] = field(default_factory=dict)
    verdicts: Verdicts | None = None
    conjunctions: Sequence[Conjunction] = ()
    votes: Sequence[Votes] = ()

    def hyperedges(self) -> dict[str, Any]:
        """Conjunctions and votes in plain JSON types; empty without any."""
        nodes = self.implications.nodes
        if not (self.conjunctions or self.votes):
            return {}
        conjunctions = [each.plain(nodes) for each in self.conjunctions]
        return dict(zip(HYPEREDGES, (conjunctions, [each.plain() for each in self.votes]), strict=True))

    def digest(self) -> str:
        """Sixteen hexadecimal digits of all edges, on any machine and schema."""
        plain = digest(self.implications)
        if not (own := self.hyperedges()):
            return plain
        return hashlib.sha256(json.dumps([plain, own], sort_keys=True).encode()).hexdigest()[:16]


def digest(implications: Implications) -> str:
    """Sixteen hexadecimal digits of all implications, on any machine and schema."""
    facts: list[Any] = [
        implications.nodes.to_dict(),
        implications.examples,
        [literal.code for literal in implications.constants],
        implications.criterion,
        implications.binarizer,
        implications.bits_digest,
    ]
    facts += [implications.tests] if implications.tests else []
    state = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    arrays = (implications.antecedents, implications.consequents, implications.exceptions, implications.on)
    for array in (*arrays, implications.with_label):
        state.update(np.ascontiguousarray(array, dtype="<i8").data)
    thresholds = np.where(np.isnan(implications.thresholds), np.nan, implications.thresholds)
    state.update(np.ascontiguousarray(thresholds, dtype="<f8").data)
    return state.hexdigest()[:16]


def save(path: str | os.PathLike[str], graph: Stored) -> Path:
    """Path of the file written, streamed and atomic."""
    implications, own, hyperedges = graph.implications, graph.digest(), graph.hyperedges()
    document = {
        "format": FORMAT,
        "schema": CAUSAL if hyperedges else RULED if graph.verdicts and "rule" in graph.verdicts.facts else PLAIN,
        "digest": own,
        "nodes": implications.nodes.to_dict(),
        "examples": implications.examples,
        "tests": implications.tests,
        "criterion": implications.criterion,
        "binarizer": implications.binarizer,
        "bits_digest": implications.bits_digest,
        "provenance": graph.provenance,
        "scores": graph.scored,
        "constants": [implications.nodes.text(literal) for literal in implications.constants],
        "thresholds": plain_thresholds(implications.thresholds),
        **hyperedges,
    }
    verdicts = graph.verdicts
    try:
        document["checksum"] = _checksum(own, graph)
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
        verdicts_head = "" if verdicts is None else json.dumps(verdicts.head(), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise GraphError(
            "criterion, provenance and scores of a graph must be plain JSON (finite numbers, text, lists, dicts): "
            f"{error}"
        ) from error
    return atomic.write(path, _text(text, implications, verdicts_head, verdicts))


def _checksum(own: str, graph: Stored) -> str:
    """Checksum of what the digest leaves out."""
    verdicts = graph.verdicts
    facts = [own, graph.provenance, graph.scored, None if verdicts is None else verdicts.head()]
    plain = json.loads(json.dumps(facts))  # keys are texts then, which can be sorted
    parts: list[Any] = [json.dumps(plain, sort_keys=True).encode()]
    for name, numbers in sorted(verdicts.arrays.items()) if verdicts is not None else []:
        parts += [name.encode(), np.ascontiguousarray(numbers, dtype="<i8")]
    return checksums.checksum(parts)


def _text(head: str, implications: Implications, verdicts_head: str, verdicts: Verdicts | None) -> Iterator[str]:
    """Parts of the document, which starts with the entries of `head`."""
    yield head.removesuffix("}")
    if verdicts is not None:
        yield f', "verdicts": {verdicts_head.removesuffix("}")}, "counts": {{'
        for number, (name, numbers) in enumerate(verdicts.arrays.items()):
            yield f"{', ' if number else ''}{json.dumps(name)}: "
            yield from _list(numbers)
        yield "}}"
    yield ', "on": '
    yield from _list(implications.on)
    yield ', "with_label": ['
    for label, row in enumerate(implications.with_label):
        yield ", " if label else ""
        yield from _list(row)
    yield "]"
    for name in ARRAYS:
        yield f', "{name}": '
        yield from _list(getattr(implications, name))
    yield "}\n"


def _list(numbers: Int[np.ndarray, " number"]) -> Iterator[str]:
    yield "["
    for start in range(0, len(numbers), AT_ONCE):
        yield ", " if start else ""
        yield json.dumps(numbers[start : start + AT_ONCE].tolist())[1:-1]
    yield "]"


def load(path: str | os.PathLike[str]) -> Stored:
    """Everything that a file of a graph holds; GraphError if damaged."""
    path = path_of(path, "the file of a graph")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GraphError(f"no graph can be read at {path}: {error.strerror}; write one with NDG.save") from error
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{path} is damaged: a graph must be one JSON document ({error}); mine it again") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise GraphError(f'{path} is no graph: expected "format": "{FORMAT}" at the top; write one with NDG.save')
    if document.get("schema") not in READABLE:
        raise GraphError(
            f"this version of ndg reads graphs of schema {READABLE[0]} to {READABLE[-1]}; {path} has schema "
            f"{document.get('schema')!r}; mine it again, or use the version of ndg that wrote it"
        )
    try:
        graph, stored = _stored(document), document["digest"]
    except KeyError as error:
        raise GraphError(f"{path} is damaged: it has no {error}; mine it again") from error
    except (TypeError, ValueError, OverflowError, AttributeError, IndexError) as error:
        raise GraphError(f"{path} is damaged: {error}; mine it again") from error
    actual = graph.digest()
    if actual != stored:
        raise GraphError(f"{path} is damaged: its digest says {stored}, its content {actual}; mine it again")
    if "checksum" in document:
        actual, stored = _checksum(actual, graph), document["checksum"]
        if actual != stored:
            raise GraphError(
                f"{path} is damaged: the checksum of its provenance, scores and verdicts says {stored}, their content "
                f"{actual}; copy it again or mine it again"
            )
    if unknown := document.keys() - KEYS - set(HYPEREDGES if document["schema"] == CAUSAL else ()):
        raise GraphError(f"{path} is damaged: it has an entry {min(unknown)!r}, which no graph has; mine it again")
    return graph


def _stored(document: dict[str, Any]) -> Stored:
    """Graph of a document.

    LookupError, TypeError, ValueError and others for a damaged one.
    """
    implications = _implications(document)
    conjunctions: tuple[Conjunction, ...] = ()
    votes: tuple[Votes, ...] = ()
    provenance, scored = dict(document["provenance"]), _scores(document["scores"])
    head = document.get("verdicts")
    verdicts = None if head is None else Verdicts.read(head, head["counts"])
    if document["schema"] == CAUSAL:
        conjunctions = tuple(Conjunction.read(each, implications.nodes) for each in document["conjunctions"])
        votes = tuple(map(Votes.read, document["votes"]))
    return Stored(implications, provenance, scored, verdicts, conjunctions, votes)


def _scores(document: Any) -> dict[str, Any]:
    """Scores of a file, by method; TypeError or ValueError for others."""
    numbers = [value for each in document.values() for value in each["values"].values()]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        raise ValueError("scores must be finite numbers")
    return dict(document)


def _implications(document: dict[str, Any]) -> Implications:
    nodes = NodeSpace.from_dict(document["nodes"])
    return Implications(
        nodes,
        **{name: np.array(document[name], kind) for name, kind in ARRAYS.items()},
        on=np.array(document["on"], dtype=np.int64),
        with_label=np.array(document["with_label"], dtype=np.int64).reshape(nodes.labels, len(nodes)),
        examples=int(document["examples"]),
        tests=int(document["tests"]) if document["schema"] > 1 else 0,
        constants=tuple(nodes.literal(text) for text in document["constants"]),
        criterion=dict(document["criterion"]),
        thresholds=thresholds_of(document["thresholds"]),
        binarizer=str(document["binarizer"]),
        bits_digest=str(document["bits_digest"]),
    )
