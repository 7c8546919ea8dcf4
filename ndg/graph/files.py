"""Graph as a JSON file.

Schema 3: `format` ("ndg"), `schema` (3), `digest` (of the implications), `nodes` {labels, layers: [[name, units] or
[name, units, reading]], and concepts: [name] if any}, `examples`, `tests`, `criterion`, `binarizer`, `bits_digest`,
`provenance`, `scores` {method: {measure, values: {node: number}}}, `constants` (texts), `thresholds` (null for NaN),
`on` per node, `with_label` per label and node, `antecedents`, `consequents`, `exceptions` per implication (literal
codes: 2 node + value). A graph with edge verdicts has `verdicts` {order, how, facts, q_values, counts}, of the forced
implications in their order. `checksum` covers provenance, scores and verdicts; it is missing in files of earlier
versions. `facts` names the rule of the verdicts; without such verdicts the schema is 2, as in earlier versions, whose
verdicts have no rule. Schema 1, still readable, has no tests, readings or concepts.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ndg import atomic, checksums
from ndg.bits.file_format import plain_thresholds, thresholds_of
from ndg.errors import GraphError
from ndg.graph.verdicts import Verdicts
from ndg.mining.implications import Implications
from ndg.nodes import NodeSpace
from ndg.paths import plain_path

FORMAT, READABLE = "ndg", (1, 2, 3)
PLAIN, RULED = 2, 3  # the schema without, and with, verdicts that name their rule
ARRAYS: dict[str, Any] = {"antecedents": np.int32, "consequents": np.int32, "exceptions": np.int64}
KEYS = {
    *("format", "schema", "digest", "checksum", "nodes", "examples", "tests", "criterion", "binarizer", "bits_digest"),
    *("provenance", "scores", "constants", "thresholds", "verdicts", "on", "with_label", *ARRAYS),
}
AT_ONCE = 1 << 16  # numbers in one part of the text


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


def save(
    path: str | os.PathLike[str],
    implications: Implications,
    provenance: dict[str, Any],
    scored: dict[str, Any],
    verdicts: Verdicts | None = None,
) -> Path:
    """Path of the file written, streamed and atomic."""
    implications_digest = digest(implications)
    document = {
        "format": FORMAT,
        "schema": RULED if verdicts is not None and "rule" in verdicts.facts else PLAIN,
        "digest": implications_digest,
        "nodes": implications.nodes.to_dict(),
        "examples": implications.examples,
        "tests": implications.tests,
        "criterion": implications.criterion,
        "binarizer": implications.binarizer,
        "bits_digest": implications.bits_digest,
        "provenance": provenance,
        "scores": scored,
        "constants": [implications.nodes.text(literal) for literal in implications.constants],
        "thresholds": plain_thresholds(implications.thresholds),
    }
    try:
        document["checksum"] = _checksum(implications_digest, provenance, scored, verdicts)
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
        verdicts_head = "" if verdicts is None else json.dumps(verdicts.head(), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise GraphError(
            "criterion, provenance and scores of a graph must be plain JSON (finite numbers, text, lists, dicts): "
            f"{error}"
        ) from error
    return atomic.write(path, _text(text, implications, verdicts_head, verdicts))


def _checksum(implications: str, provenance: Any, scored: Any, verdicts: Verdicts | None) -> str:
    """Checksum of what the digest of the implications leaves out."""
    facts = [implications, provenance, scored, None if verdicts is None else verdicts.head()]
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


def load(path: str | os.PathLike[str]) -> tuple[Implications, dict[str, Any], dict[str, Any], Verdicts | None]:
    """Implications, provenance, scores and verdicts of a file; GraphError if damaged."""
    path = plain_path(path, "the file of a graph")
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
            f"this version of ndg reads graphs of schema {' and '.join(map(str, READABLE))}; {path} has schema "
            f"{document.get('schema')!r}; mine it again, or use the version of ndg that wrote it"
        )
    try:
        implications = _implications(document)
        provenance, scored, stored = dict(document["provenance"]), _scores(document["scores"]), document["digest"]
        verdicts_head = document.get("verdicts")
        verdicts = None if verdicts_head is None else Verdicts.read(verdicts_head, verdicts_head["counts"])
    except KeyError as error:
        raise GraphError(f"{path} is damaged: it has no {error}; mine it again") from error
    except (TypeError, ValueError, OverflowError, AttributeError, IndexError) as error:
        raise GraphError(f"{path} is damaged: {error}; mine it again") from error
    actual = digest(implications)
    if actual != stored:
        raise GraphError(f"{path} is damaged: its digest says {stored}, its content {actual}; mine it again")
    if "checksum" in document:
        actual, stored = _checksum(actual, provenance, scored, verdicts), document["checksum"]
        if actual != stored:
            raise GraphError(
                f"{path} is damaged: the checksum of its provenance, scores and verdicts says {stored}, their content "
                f"{actual}; copy it again or mine it again"
            )
    if unknown := document.keys() - KEYS:
        raise GraphError(f"{path} is damaged: it has an entry {min(unknown)!r}, which no graph has; mine it again")
    return implications, provenance, scored, verdicts


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
