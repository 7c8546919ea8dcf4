"""The laws of the query language of stores of run documents."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any

from ndg.errors import UserError
from ndg.runs.store import Store
from ndg.testing.checks import equal, refused

Make = Callable[[], Store]
"""Makes an empty store that no other call made."""

ROUNDS = 40
"""Random sets of documents and queries."""

ABSENT = object()

QUERIES: list[tuple[dict[str, Any], str]] = [
    ({"kind": "train"}, "ab"),
    ({"_id": "a"}, "a"),
    ({"r.q": {"$gt": 0.9}}, "c"),
    ({"r.q": {"$gte": 0.5, "$lt": 20}}, "a"),
    ({"r.q": {"$lte": 0.5}}, "a"),
    ({"r.q": {"$exists": True}}, "abc"),
    ({"r.q": {"$exists": False}}, "d"),
    ({"r.q": None}, "bd"),
    ({"r.q": {"$ne": None}}, "ac"),
    ({"r.q": {"$eq": 20}}, "c"),
    ({"r": {"$exists": True}}, "abc"),
    ({"kind": {"$in": ["align", "other"]}}, "cd"),
    ({"kind": {"$nin": ["align", "other"]}}, "ab"),
    ({"kind": {"$ne": "train"}}, "cd"),
    ({"tags": "paper"}, "ab"),
    ({"tags": {"$ne": "paper"}}, "cd"),
    ({"tags": {"$in": ["new", "none"]}}, "bc"),
    ({"tags": {"$all": ["paper", "new"]}}, "b"),
    ({"name": {"$regex": "^digits_c"}}, "b"),
    ({"name": {"$regex": "CNN$", "$options": "i"}}, "bc"),
    ({"name": re.compile("Mlp", re.IGNORECASE)}, "a"),
    ({"started": {"$gte": "2026-11-21T00:00:02"}}, "bcd"),
    ({"$or": [{"kind": "align"}, {"r.q": 0.5}]}, "acd"),
    ({"$and": [{"kind": "train"}, {"tags": "new"}]}, "b"),
    ({"$nor": [{"kind": "align"}, {"tags": "new"}]}, "a"),
    ({"flags.on": True}, "a"),
    ({"results.by_class.3.aligned": {"$gt": 1}}, "a"),
    ({"attempts.status": "FAILED"}, "bc"),
    ({"attempts.0.status": "FAILED"}, "b"),
    ({"attempts.status": {"$ne": "FAILED"}}, "ad"),
    ({"attempts.status": None}, "d"),
    ({"attempts.epochs": {"$gt": 2, "$lt": 2}}, "c"),
    ({"attempts": {"$gt": 0}}, ""),
    ({"attempts.0": {"$exists": True}}, "abc"),
    ({"attempts.2.status": {"$exists": False}}, "abcd"),
    ({"größe (50%)": 3}, "d"),
    ({"it's": {"$exists": True}}, "d"),
    ({r"conv1\.weight": {"$gt": 1}}, "d"),
    ({"flags.on": {"$in": [0, 1]}}, ""),
    ({"kind": {"$gt": 1}}, ""),
    ({}, "abcd"),
]

FOUR: list[dict[str, Any]] = [
    {"_id": "a", "kind": "train", "name": "digits_mlp", "started": "2026-11-21T00:00:01.000Z", "tags": ["paper"]}
    | {"r": {"q": 0.5, "other": None}, "flags": {"on": True}, "results": {"by_class": {"3": {"aligned": 10}}}}
    | {"attempts": [{"status": "COMPLETED", "epochs": 2}]},
    {"_id": "b", "kind": "train", "name": "digits_cnn", "started": "2026-11-21T00:00:02.000Z"}
    | {"r": {"q": None}, "tags": ["paper", "new"], "flags": {"on": False}, "results": {}}
    | {"attempts": [{"status": "FAILED"}, {"status": "COMPLETED"}]},
    {"_id": "c", "kind": "align", "name": "mnist_cnn", "started": "2026-11-21T00:00:03.000Z"}
    | {"r": {"q": 20}, "tags": ["new"], "results": {}}
    | {"attempts": [{"status": "COMPLETED", "epochs": 1}, {"status": "FAILED", "epochs": 3}]},
    {"_id": "d", "kind": "align", "name": None, "started": "2026-11-21T00:00:04.000Z", "tags": [], "results": {}}
    | {"größe (50%)": 3, "it's": None, "conv1\uff0eweight": 2},
]


def querying(make: Make) -> None:
    """Each part of the query language is answered."""
    with closing(make()) as store:
        for document in FOUR:
            store.insert(dict(document))
        for where, expected in QUERIES:
            answer = "".join(document["_id"] for document in store.find(where, sort="_id"))
            equal(answer, expected, f"the answer to {where}")


def matches(document: dict[str, Any], where: dict[str, Any]) -> bool:
    """Whether a document fits a query. The slow reference of `ndg.runs.query`."""
    for key, condition in where.items():
        if key in ("$and", "$or", "$nor"):
            answers = [matches(document, query) for query in condition]
            fits = {"$and": all(answers), "$or": any(answers), "$nor": not any(answers)}[key]
        elif isinstance(condition, dict):
            fits = all(holds(named_by(document, key.split(".")), *each) for each in condition.items())
        else:
            fits = holds(named_by(document, key.split(".")), "$eq", condition)
        if not fits:
            return False
    return True


def named_by(value: Any, path: list[str]) -> list[Any]:
    """All values that a path names, in lists by element and by number."""
    if not path:
        return [*value, value] if isinstance(value, list) else [value]
    if isinstance(value, dict):
        return named_by(value[path[0]], path[1:]) if path[0] in value else [ABSENT]
    if not isinstance(value, list):
        return [ABSENT]
    every = [inner for item in value if isinstance(item, dict) for inner in named_by(item, path)]
    if path[0] in map(str, range(len(value))):
        item = value[int(path[0])]
        if len(path) == 1:
            every.append(item)
        elif isinstance(item, dict | list):
            every += named_by(item, path[1:])
    return every


def equals(value: Any, operand: Any) -> bool:
    if operand is None:
        return value is None or value is ABSENT
    return isinstance(value, bool) == isinstance(operand, bool) and value == operand


def holds(every: list[Any], name: str, operand: Any) -> bool:
    """Whether a condition holds for any value (`$ne`, `$nin`: for none)."""
    match name:
        case "$eq" | "$ne":
            return any(equals(value, operand) for value in every) == (name == "$eq")
        case "$in" | "$nin":
            return any(equals(value, item) for value in every for item in operand) == (name == "$in")
        case "$all":
            return all(any(equals(value, item) for value in every) for item in operand)
        case "$exists":
            return any(value is not ABSENT for value in every) == operand
        case "$regex":
            return any(isinstance(value, str) and re.search(operand, value) is not None for value in every)
    kind: Any = str if isinstance(operand, str) else int | float
    compare = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}[name]
    return any(isinstance(value, kind) and not isinstance(value, bool) and compare(value, operand) for value in every)


WORDS = ["train", "align", "a", "digits_mlp", "it's", "é"]
NUMBERS = [0, 1, 2, -3, 0.5, 20, 0.95]
PATTERNS = ["^a", "t", "i.*t", "[a-d]", "'"]
TEXT_FIELDS = ["kind", "tags", "note", "r.t.x", "no.such", "rows.name", "rows.1.name", "tags.0"]
NUMBER_FIELDS = ["n", "r.q", "alpha", "r.no", "rows.x", "rows.0.x", "rows.x.y", "alpha.1", "n.x", "flag"]


def random_document(draw: random.Random) -> dict[str, Any]:
    """A document with some of the fields that queries ask for."""
    result: dict[str, Any] = {"q": draw.choice([*NUMBERS, None])}
    if draw.random() < 0.5:
        result["t"] = {"x": draw.choice(WORDS)}
    whole = {
        "kind": draw.choice(WORDS),
        "tags": draw.sample(WORDS, draw.randint(0, 3)),
        "note": draw.choice([*WORDS, None]),
        "n": draw.choice([*NUMBERS, None]),
        "r": result,
        "alpha": draw.choices(NUMBERS, k=draw.randint(1, 2)),
        "flag": draw.choice([True, False]),
        "rows": [random_row(draw) for _ in range(draw.randint(0, 3))],
    }
    return {name: value for name, value in whole.items() if draw.random() < 0.6}


def random_row(draw: random.Random) -> Any:
    """An element of a list: a dictionary, number, list or null."""
    row: dict[str, Any] = {"name": draw.choice([*WORDS, None]), "x": draw.choice([*NUMBERS, [1, 2], {"y": 1}, True])}
    some = {name: value for name, value in row.items() if draw.random() < 0.8}
    return draw.choice([some, some, some, some, 1, None, [2, {"x": 1}]])


def random_condition(draw: random.Random, values: list[Any], patterns: bool) -> Any:
    """A value to be equal to, or one or two operators."""

    def operation() -> dict[str, Any]:
        several = draw.choices([*values, None], k=draw.randint(1, 3))
        choices: dict[str, Any] = {"$in": several, "$nin": several, "$all": several, "$exists": draw.random() < 0.5}
        choices |= {name: draw.choice([*values, None]) for name in ("$eq", "$ne")}
        choices |= {name: draw.choice(values) for name in ("$gt", "$gte", "$lt", "$lte")}
        if patterns:
            choices["$regex"] = draw.choice(PATTERNS)
        name = draw.choice(list(choices))
        return {name: choices[name]}

    return draw.choice([draw.choice([*values, None]), operation(), operation() | operation()])


def random_query(draw: random.Random, depth: int = 2) -> dict[str, Any]:
    """Conditions on one or two fields, or queries joined by $and, $or, $nor."""
    if depth and draw.random() < 0.4:
        joined = [random_query(draw, depth - 1) for _ in range(draw.randint(1, 3))]
        return {draw.choice(["$and", "$or", "$nor"]): joined}
    text = draw.random() < 0.5
    fields = draw.sample(TEXT_FIELDS if text else NUMBER_FIELDS, draw.randint(1, 2))
    return {field: random_condition(draw, WORDS if text else NUMBERS, text) for field in fields}


def answering_as_defined(make: Make) -> None:
    """Random queries are answered as the slow reference answers them."""
    for seed in range(ROUNDS):
        draw = random.Random(seed)
        documents = [{"_id": f"run-{i:02}", **random_document(draw)} for i in range(draw.randint(1, 12))]
        with closing(make()) as store:
            for document in documents:
                store.insert(dict(document))
            for where in (random_query(draw) for _ in range(draw.randint(1, 20))):
                expected = [document["_id"] for document in documents if matches(document, where)]
                answer = [document["_id"] for document in store.find(where, sort="_id")]
                equal(answer, expected, f"the answer to {where} over {documents}")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"r.q": {"$not": {"$gt": 1}}}, r"r\.q cannot be asked by '\$not'; nearest: \$ne"),
    ({"r.q": {"$greater": 1}}, r"cannot be asked by '\$greater'; nearest: .*\$gt"),
    ({"$where": "1"}, r"no '\$where' at the top"),
    ({"config": {"name": "x"}}, r"config cannot be asked by 'name'; name a field inside it with a dot"),
    ({"tags": ["a"]}, r"compared with one number, text, boolean or null; got \['a'\]; use \$in"),
    ({"tags": {"$in": []}}, r"\$in takes a list of one or more values"),
    ({"r.q": {"$gt": None}}, r"\$gt compares numbers or text"),
    ({"r.q": float("nan")}, r"compared with a finite number"),
    ({"r.q": b"x"}, r"a value that no run document holds"),
    ({"$or": []}, r"\$or takes a list of one or more queries"),
    ({"a.$b": 1}, r"a field is a dotted path such as .* got 'a\.\$b'"),
    ({"a..b": 1}, r"a field is a dotted path"),
    ({"name": {"$regex": "("}}, r"is not a regular expression"),
    (
        {"name": {"$regex": "(a+)+b"}},
        r"may not repeat what repeats or has alternatives, since its",
    ),
    ({"name": {"$regex": "(a|ab)*c"}}, r"may not repeat what repeats or has alternatives"),
    ({"name": {"$regex": r"(a)\1"}}, r"may not refer to its groups"),
    ({"name": {"$regex": "a" * 2000}}, r"a pattern has at most 1000 characters; got 2000"),
    ({"r.q": 2**70}, r"a value that no run document holds"),
    ({"name": {"$options": "i"}}, r"\$options belongs to a \$regex"),
    ({"name": {}}, r"name is asked by a dictionary of fields or operators; got \{\}"),
]


def refusing(make: Make) -> None:
    """Queries that stores answer differently are refused."""
    with closing(make()) as store:
        for where, message in REFUSED:
            with refused(UserError, message):
                store.find(where)
