"""The laws of a store of run documents."""

from __future__ import annotations

import tempfile
from contextlib import closing
from typing import Any

from ndg import runs
from ndg.config import Experiment
from ndg.errors import UserError
from ndg.runs import long_values
from ndg.runs.plain import size
from ndg.runs.record import RunRecord
from ndg.testing.checks import equal, named, refused, rule, run
from ndg.testing.store_queries import Make, answering_as_defined, querying, refusing

RUN: dict[str, Any] = {
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


def check_store(make: Make) -> None:
    """Raise ConformanceError for a kind of store that breaks a law.

    Each call of `make` gives a new empty store.
    """
    run(STORE_CHECKS, make)


def round_trip(make: Make) -> None:
    """A document comes back as it was."""
    with closing(make()) as store:
        rule(store.insert(dict(RUN)), "inserting a new document gives True")
        equal(store.find({"_id": RUN["_id"]}), [RUN], "a document comes back as it was")


def empty(make: Make) -> None:
    """An empty store finds nothing and changes nothing."""
    with closing(make()) as store:
        equal(store.find(), [], "an empty store finds nothing")
        changed = store.update("no such run", {"$set": {"notes": "x"}})
        rule(changed is False, "updating a document that is not there gives False")


def unique_ids(make: Make) -> None:
    """An id is taken once."""
    with closing(make()) as store:
        rule(store.insert(dict(RUN)), "inserting a new document gives True")
        rule(not store.insert({**RUN, "notes": "another"}), "inserting an id that is taken gives False")
        equal(store.find(), [RUN], "the first document of an id stays")
        rule(store.insert({**RUN, "_id": "other"}), "another id is free")


def setting(make: Make) -> None:
    """Setting fields leaves the others as they were."""
    change: dict[str, Any] = {
        "metrics": [{"epoch": 1, "ok": True, "loss": None}],
        "results": {},
        "error": None,
        "notes": 'it\'s\n"$x"',
    }
    with closing(make()) as store:
        store.insert(dict(RUN))
        rule(store.update(str(RUN["_id"]), {"$set": change}), "updating a document gives True")
        equal(store.find(), [{**RUN, **change}], "$set changes the named fields alone")


def tagging(make: Make) -> None:
    """Tags are added once and taken away, and the rest stays."""
    with closing(make()) as store:
        store.insert(dict(RUN))
        for tag in ("new", "paper", "new"):
            rule(store.update(str(RUN["_id"]), {"$addToSet": {"tags": tag}}), "updating a document gives True")
        equal(store.find(), [{**RUN, "tags": ["paper", "x", "new"]}], "$addToSet adds a tag once, at the end")
        rule(store.update(str(RUN["_id"]), {"$pull": {"tags": "x"}}), "updating a document gives True")
        equal(store.find(), [{**RUN, "tags": ["paper", "new"]}], "$pull takes a tag away")


def replacing(make: Make) -> None:
    """Replacing puts a document in place of another or anew."""
    with closing(make()) as store:
        store.replace(dict(RUN))
        store.replace({"_id": RUN["_id"], "kind": "align"})
        equal(store.find(), [{"_id": RUN["_id"], "kind": "align"}], "replacing leaves nothing of the old document")


def projecting(make: Make) -> None:
    """Top-level fields can be kept or dropped."""
    kept = {"_id": RUN["_id"], "tags": ["paper", "x"], "notes": ""}
    with closing(make()) as store:
        store.insert(dict(RUN))
        equal(store.find(fields={"tags": 1, "notes": 1}), [kept], "fields of 1 are kept, with the id")
        left = {key: value for key, value in RUN.items() if key != "metrics"}
        equal(store.find(fields={"metrics": 0}), [left], "fields of 0 are left out")


def sorting(make: Make) -> None:
    """Sorting goes by dotted paths, null and absent first."""
    values = {"a": 0.5, "b": None, "c": 20, "d": -3.5, "e": 0.95}
    with closing(make()) as store:
        for id, value in values.items():
            store.insert({"_id": id, "kind": "train" if id < "c" else "align", "r": {"q": value}})

        def ids(*where: Any, **how: Any) -> str:
            return "".join(document["_id"] for document in store.find(*where, **how))

        equal(ids(sort="r.q"), "bdaec", "sorting goes by a dotted path, null first")
        equal(ids(sort="-r.q", limit=2), "ce", "a minus sorts downwards; a limit keeps the first")
        equal(ids(sort=["kind", ("_id", -1)]), "edcba", "several keys sort one after the other")
        equal(ids({"r.q": {"$gt": 0}}, sort=[("_id", 1)], limit=2), "ac", "a limit counts what the query finds")
        with refused(UserError, r"a sort key is a path with 1 \(upwards\) or -1"):
            store.find(sort=[("started", 2)])


def reopening(make: Make) -> None:
    """A closed store opens again."""
    with closing(make()) as store:
        store.insert(dict(RUN))
        store.close()
        equal(store.find(), [RUN], "a closed store opens again at its next use")


def large_documents(make: Make) -> None:
    """A document of five megabytes fits."""
    document = {"_id": "large", "metrics": [{"text": "x" * 1000}] * 5000}
    with closing(make()) as store:
        rule(store.insert(document), "inserting a new document gives True")
        rule(store.find({"_id": "large"}) == [document], "a document of five megabytes comes back as it was")


def rows_of_metrics(make: Make) -> None:
    """Rows of metrics are appended and replaced, and can be asked for."""
    rows: list[dict[str, Any]] = [{"epoch": i, "loss": 1 / (i + 1), "per layer": [i, None]} for i in range(1_100)]
    times = [f"2026-11-21T00:00:{i:06}Z" for i in range(1_100)]
    with closing(make()) as store:
        for count, changes in ((3, {}), (900, {}), (1_100, {}), (1_100, {1: {"epoch": 1, "other": True}}), (2, {})):
            some = [changes.get(i, row) for i, row in enumerate(rows[:count])]
            document = {"_id": "a", "kind": "train", "metrics": some, "times": times[:count]}
            store.replace(document)
            rule(store.find() == [document], f"{count} rows of metrics come back as they were")
        store.insert({"_id": "b", "metrics": [{"loss": 0.5}]})
        equal(
            store.find(fields={"metrics": 0, "times": 0}, sort="_id"),
            [{"_id": "a", "kind": "train"}, {"_id": "b"}],
            "rows are left out",
        )
        for where, expected in (
            ({"metrics.epoch": 1}, "a"),
            ({"metrics.loss": 0.5}, "ab"),
            ({"metrics.0.loss": 0.5}, "b"),
        ):
            names = "".join(document["_id"] for document in store.find(where, sort="_id"))
            equal(names, expected, f"{where} looks into rows of metrics")
        rule(store.remove("a"), "removing a document gives True")
        equal(store.find(), [{"_id": "b", "metrics": [{"loss": 0.5}]}], "removing a document leaves the others")


def long_results(make: Make) -> None:
    """Long values are files, the document is small, and both read back."""
    limit = long_values.LONG
    text = "x" * (limit - size({"value": ""}))
    pairs: dict[str, tuple[Any, Any]] = {
        "text": (text, text + "x"),
        "list": ([0.5] * (limit // 40), [0.5] * (limit // 10)),
        "rows": ({str(i): {"q": i} for i in range(limit // 60)}, {str(i): {"q": i} for i in range(limit // 15)}),
        "deep": ({"inner": {"text": text[: limit // 2]}}, {"inner": {"text": text + "x" * 9}}),
    }
    with closing(make()) as store, tempfile.TemporaryDirectory() as folder:
        with runs.start(store, "train", Experiment(name="law"), folder) as logged:
            for value in pairs["text"]:
                logged.metric({"value": value})
            for name, pair in pairs.items():
                for stage, value in zip(("short", "long"), pair, strict=True):
                    logged.result(f"{stage}.{name}", {"value": value})
            for number in range(3):
                logged.result(f"more.{number}", {"value": text, "n": number})
        record = RunRecord(store.find({"_id": logged.id})[0])
        for name, pair in pairs.items():
            path = f"{name}.value{'.inner.text' if name == 'deep' else ''}"
            for stage, value, is_moved in zip(("short", "long"), pair, (False, True), strict=True):
                equal(record.load(f"results.{stage}.{name}.value"), value, f"{name} comes back")
                place = record.figure(f"results.{stage}.{path}")
                equal(long_values.is_place(place), is_moved, f"whether the {stage} {name} is a file")
        equal(record.loaded()["metrics"], [{"value": value} for value in pairs["text"]], "rows")
        equal(record.load("results.more"), {str(i): {"value": text, "n": i} for i in range(3)}, "many stages")
        equal([record.figure(f"results.more.{i}.n") for i in range(3)], list(range(3)), "short values stay")
        rest = size({name: value for name, value in record.items() if name not in ("metrics", "times")})
        rule(rest < 1_000_000, f"a run document has at most 1 MB; got {rest} bytes")


STORE_CHECKS = named(
    *(round_trip, empty, unique_ids, setting, tagging, replacing, projecting, sorting, reopening, large_documents),
    *(rows_of_metrics, querying, answering_as_defined, refusing, long_results),
)
