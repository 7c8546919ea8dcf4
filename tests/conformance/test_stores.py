"""Every store in the registry keeps documents as they are, answers one query language, and fails with one error."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndg.errors import ConfigError, StoreError, UserError
from ndg.runs.store import STORES, Store, connect
from tests.mongo_server import free_port

ABSENT = object()
RUN = {
    "_id": "20261121-001200-digits_mlp-train-3f2a",
    "kind": "train",
    "name": 'it\'s "digits" é ☃ $x a.b\n',
    "config": {"data": {"name": "digits", "dir": None}, "criterion": {"alpha": [20.0, 50.0]}, "flags": {"on": True}},
    "dirty": True,
    "metrics": [{"epoch": 1, "loss": 0.5, "best": True}, {"epoch": 2, "loss": None, "nested": [[1, 2], [3.5, None]]}],
    "results": {"trial": {"q": {"test": {"aligned": 0.95, "tiny": 1e-300, "by_class": {"3": {"aligned": 10}}}}}},
    "large": 2**62,
    "negative": -(2**63),
    "empty": {},
    "tags": ["paper", "x"],
    "notes": "",
}


@pytest.fixture(scope="module", params=sorted(STORES))
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """Makes an empty store of each kind. A new kind of store adds its line here."""
    uris: dict[str, Callable[[], str]] = {
        "file": lambda: str(tmp_path_factory.mktemp("store") / "made" / "log.db"),
        "mongodb": lambda: f"{request.getfixturevalue('mongo_uri')}/{uuid.uuid4().hex}",
    }
    return lambda: connect(uris[request.param]())


@pytest.fixture
def store(make: Callable[[], Store]) -> Iterator[Store]:
    made = make()
    yield made
    made.close()


def test_a_document_comes_back_as_it_was(store: Store):
    assert store.insert(dict(RUN))
    assert store.find({"_id": RUN["_id"]}) == [RUN]


def test_an_empty_store_finds_nothing_and_changes_nothing(store: Store):
    assert store.find() == []
    assert store.update("no such run", {"$set": {"notes": "x"}}) is False


def test_an_id_is_taken_once(store: Store):
    assert store.insert(dict(RUN))
    assert not store.insert({**RUN, "notes": "another"})
    assert store.find() == [RUN]
    assert store.insert({**RUN, "_id": "other"})


def test_setting_fields_leaves_the_others_as_they_were(store: Store):
    store.insert(dict(RUN))
    change = {"metrics": [{"epoch": 1, "ok": True, "loss": None}], "results": {}, "error": None, "notes": 'it\'s\n"$x"'}
    assert store.update(str(RUN["_id"]), {"$set": change})
    assert store.find() == [{**RUN, **change}]


def test_tags_are_added_once_and_taken_away_and_the_rest_is_as_it_was(store: Store):
    store.insert(dict(RUN))
    for tag in ("new", "paper", "new"):
        assert store.update(str(RUN["_id"]), {"$addToSet": {"tags": tag}})
    assert store.find() == [{**RUN, "tags": ["paper", "x", "new"]}]
    assert store.update(str(RUN["_id"]), {"$pull": {"tags": "x"}})
    assert store.find() == [{**RUN, "tags": ["paper", "new"]}]


def test_replacing_puts_a_document_in_place_or_anew(store: Store):
    store.replace(dict(RUN))
    store.replace({"_id": RUN["_id"], "kind": "align"})
    assert store.find() == [{"_id": RUN["_id"], "kind": "align"}]


def test_top_level_fields_can_be_kept_or_dropped(store: Store):
    store.insert(dict(RUN))
    assert store.find(fields={"tags": 1, "notes": 1}) == [{"_id": RUN["_id"], "tags": ["paper", "x"], "notes": ""}]
    assert store.find(fields={"metrics": 0}) == [{key: value for key, value in RUN.items() if key != "metrics"}]


def test_sorting_goes_by_dotted_paths_with_null_and_absent_first_and_takes_a_limit(store: Store):
    values = {"a": 0.5, "b": None, "c": 20, "d": -3.5, "e": 0.95}
    for id, value in values.items():
        store.insert({"_id": id, "kind": "train" if id < "c" else "align", "r": {"q": value}})
    assert [d["_id"] for d in store.find(sort="r.q")] == ["b", "d", "a", "e", "c"]
    assert [d["_id"] for d in store.find(sort="-r.q", limit=2)] == ["c", "e"]
    assert [d["_id"] for d in store.find(sort=["kind", ("_id", -1)])] == ["e", "d", "c", "b", "a"]
    assert [d["_id"] for d in store.find({"r.q": {"$gt": 0}}, sort=[("_id", 1)], limit=2)] == ["a", "c"]


def test_a_closed_store_opens_again(store: Store):
    store.insert(dict(RUN))
    store.close()
    assert store.find() == [RUN]


def test_a_large_document_fits(store: Store):
    document = {"_id": "large", "metrics": [{"text": "x" * 1000}] * 5000}
    assert store.insert(document)
    assert store.find({"_id": "large"}) == [document]


ASKED = [
    ({"kind": "train"}, "ab"),
    ({"_id": "a"}, "a"),
    ({"r.q": {"$gt": 0.9}}, "c"),
    ({"r.q": {"$gte": 0.5, "$lt": 20}}, "a"),
    ({"r.q": {"$lte": 0.5}}, "a"),
    ({"r.q": {"$exists": True}}, "ac"),
    ({"r.q": {"$exists": False}}, "bd"),
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
    ({}, "abcd"),
]


@pytest.fixture(scope="module")
def four(make: Callable[[], Store]) -> Iterator[Store]:
    store = make()
    common: dict[str, Any] = {"results": {}}
    store.insert(
        {"_id": "a", "kind": "train", "name": "digits_mlp", "started": "2026-11-21T00:00:01.000Z", "tags": ["paper"]}
        | {"r": {"q": 0.5, "other": None}, "flags": {"on": True}, "results": {"by_class": {"3": {"aligned": 10}}}}
    )
    store.insert(
        {"_id": "b", "kind": "train", "name": "digits_cnn", "started": "2026-11-21T00:00:02.000Z", "r": {"q": None}}
        | {"tags": ["paper", "new"], "flags": {"on": False}}
        | common
    )
    store.insert(
        {"_id": "c", "kind": "align", "name": "mnist_cnn", "started": "2026-11-21T00:00:03.000Z", "r": {"q": 20}}
        | {"tags": ["new"]}
        | common
    )
    store.insert(
        {"_id": "d", "kind": "align", "name": None, "started": "2026-11-21T00:00:04.000Z", "tags": []} | common
    )
    yield store
    store.close()


@pytest.mark.parametrize(("where", "expected"), ASKED, ids=[str(where) for where, _ in ASKED])
def test_each_part_of_the_query_language_is_answered(four: Store, where: dict[str, Any], expected: str):
    assert "".join(found["_id"] for found in four.find(where, sort="_id")) == expected


def matches(document: dict[str, Any], where: dict[str, Any]) -> bool:
    """The language as `ndg.runs.query` defines it, document by document. Exists only to be obviously right."""
    for key, asked in where.items():
        if key in ("$and", "$or", "$nor"):
            answers = [matches(document, query) for query in asked]
            if not {"$and": all(answers), "$or": any(answers), "$nor": not any(answers)}[key]:
                return False
        elif not isinstance(asked, dict):
            if not equals(at(document, key), asked):
                return False
        elif not all(holds(at(document, key), operator, value) for operator, value in asked.items()):
            return False
    return True


def at(document: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(document, dict) or part not in document:
            return ABSENT
        document = document[part]
    return document


def equals(value: Any, asked: Any) -> bool:
    if asked is None:
        return value is None or value is ABSENT
    if isinstance(value, list):
        return asked in value
    return value is not ABSENT and value == asked


def holds(value: Any, operator: str, asked: Any) -> bool:
    match operator:
        case "$eq":
            return equals(value, asked)
        case "$ne":
            return not equals(value, asked)
        case "$in":
            return any(equals(value, one) for one in asked)
        case "$nin":
            return not any(equals(value, one) for one in asked)
        case "$all":
            return all(equals(value, one) for one in asked)
        case "$exists":
            return (value is not ABSENT and value is not None) == asked
        case "$regex":
            return isinstance(value, str) and re.search(asked, value) is not None
    if isinstance(asked, str):
        comparable = isinstance(value, str)
    else:
        comparable = isinstance(value, int | float) and not isinstance(value, bool)
    if not comparable:
        return False
    return {"$gt": value > asked, "$gte": value >= asked, "$lt": value < asked, "$lte": value <= asked}[operator]


words = st.sampled_from(["train", "align", "a", "digits_mlp", "it's", "é"])
numbers = st.sampled_from([0, 1, 2, -3, 0.5, 20, 0.95])
runs = st.fixed_dictionaries(
    {},
    optional={
        "kind": words,
        "tags": st.lists(words, max_size=3, unique=True),
        "note": words | st.none(),
        "n": numbers | st.none(),
        "r": st.fixed_dictionaries({"q": numbers | st.none()}, optional={"t": st.fixed_dictionaries({"x": words})}),
        "alpha": st.lists(numbers, min_size=1, max_size=2),
    },
)
TEXTS, NUMBERS = ["kind", "tags", "note", "r.t.x", "no.such"], ["n", "r.q", "alpha", "r.no"]


def conditions(values: st.SearchStrategy[Any], patterns: bool) -> st.SearchStrategy[Any]:
    several = st.lists(values | st.none(), min_size=1, max_size=3)
    parts = {"$in": several, "$nin": several, "$all": several, "$exists": st.booleans()}
    parts |= {operator: values | st.none() for operator in ("$eq", "$ne")}
    parts |= dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), values)
    if patterns:
        parts["$regex"] = st.sampled_from(["^a", "t", "i.*t", "[a-d]", "'"])
    one = st.one_of(*(st.fixed_dictionaries({operator: value}) for operator, value in parts.items()))
    return values | st.none() | one | st.tuples(one, one).map(lambda pair: pair[0] | pair[1])


fields = st.one_of(
    st.dictionaries(st.sampled_from(TEXTS), conditions(words, True), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(NUMBERS), conditions(numbers, False), min_size=1, max_size=2),
)
queries = st.recursive(
    fields,
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=1
    ),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(runs, min_size=1, max_size=12), asked=st.lists(queries, min_size=1, max_size=8))
def test_every_store_answers_as_the_definition_of_the_language_does(make: Callable[[], Store], documents, asked):
    store = make()
    try:
        for i, document in enumerate(documents):
            store.insert({"_id": f"run-{i:02}", **document})
        for where in asked:
            expected = [f"run-{i:02}" for i, document in enumerate(documents) if matches(document, where)]
            assert [found["_id"] for found in store.find(where, sort="_id")] == expected, where
    finally:
        store.close()


REFUSED = [
    ({"r.q": {"$not": {"$gt": 1}}}, r"r\.q cannot be asked by '\$not'; nearest: \$ne"),
    ({"r.q": {"$greater": 1}}, r"cannot be asked by '\$greater'; nearest: .*\$gt"),
    ({"$where": "1"}, r"no '\$where' at the top"),
    ({"config": {"name": "x"}}, r"config cannot be asked by 'name'; name a field inside it with a dot"),
    ({"tags": ["a"]}, r"compared with one number, text, boolean or null; got \['a'\]; use \$in"),
    ({"tags": {"$in": []}}, r"\$in takes a list of one or more values"),
    ({"r.q": {"$gt": None}}, r"\$gt compares numbers or text"),
    ({"r.q": float("nan")}, r"compared with one number"),
    ({"r.q": b"x"}, r"a value that no run document holds"),
    ({"$or": []}, r"\$or takes a list of one or more queries"),
    ({"a'b": 1}, r"a field is a dotted path such as .* got \"a'b\""),
    ({"a..b": 1}, r"a field is a dotted path"),
    ({"name": {"$regex": "("}}, r"is not a regular expression"),
    ({"name": {"$options": "i"}}, r"\$options belongs to a \$regex"),
    ({"name": {}}, r"name is asked by a dictionary of fields or operators; got \{\}"),
]


@pytest.mark.parametrize(("where", "message"), REFUSED, ids=[str(where) for where, _ in REFUSED])
def test_what_stores_would_answer_differently_is_refused_as_the_users_mistake(store: Store, where, message):
    with pytest.raises(UserError, match=message):
        store.find(where)


def test_a_sort_key_that_is_none_is_refused(store: Store):
    with pytest.raises(UserError, match=r"a sort key is a path with 1 \(upwards\) or -1"):
        store.find(sort=[("started", 2)])


def test_reading_makes_no_file_and_no_folder(tmp_path: Path):
    assert connect(tmp_path / "runs" / "ndg.db").find() == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path):
    assert connect(tmp_path).path == (tmp_path / "ndg.db").resolve()
    assert connect(f"{tmp_path}/new/").path == (tmp_path / "new" / "ndg.db").resolve()
    assert connect(f"file://{tmp_path}/x.db").path == (tmp_path / "x.db").resolve()


def test_a_file_deleted_under_an_open_store_is_made_anew(tmp_path: Path):
    store = connect(tmp_path / "log.db")
    store.insert(dict(RUN))
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.find() == []
    store.replace(dict(RUN))
    store.close()
    assert connect(tmp_path / "log.db").find() == [RUN]


def test_a_file_that_is_no_run_log_is_named_in_the_error(tmp_path: Path):
    (tmp_path / "ndg.db").write_bytes(b"not a database, and long enough to be read as one" * 30)
    with pytest.raises(
        StoreError, match=r"the run log .*ndg\.db failed: file is not a database; check that it is a file"
    ):
        connect(tmp_path / "ndg.db").find()


def test_a_folder_that_cannot_be_made_is_named_in_the_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"the run log .*ndg\.db failed: .*; check that it is a file"):
        connect(tmp_path / "file" / "ndg.db").insert(dict(RUN))


def test_a_server_that_does_not_answer_is_an_error_without_the_password():
    store = connect(f"mongodb://user:secret@127.0.0.1:{free_port()}/ndg?serverSelectionTimeoutMS=200")
    with pytest.raises(
        StoreError, match=r"the run log mongodb://user:\*\*\*@127\.0\.0\.1:\d+/ndg.* failed: "
    ) as caught:
        store.find()
    assert "secret" not in str(caught.value)
    assert "check that the server runs" in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("postgres://u:secret@h/d", r"store\.uri is a file path or mongodb://\.\.\.; got postgres://u:\*\*\*@h/d"),
        ("mongo://h", r"nearest: mongodb"),
        ("mongodb://", r"store\.uri mongodb:// is not a MongoDB URI"),
        ("mongodb://u:sec/ret@h", r"store\.uri mongodb://u:\*\*\*@h is not a MongoDB URI"),
        ("mongodb://h:port", r"is not a MongoDB URI: "),
    ],
)
def test_a_uri_that_cannot_be_right_is_the_users_mistake_and_keeps_its_secret(uri: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        connect(uri)
    assert "secret" not in str(caught.value)
    assert "sec/ret" not in str(caught.value)
