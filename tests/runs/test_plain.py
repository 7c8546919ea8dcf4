"""Plain values: what is turned, what is refused, and how large it is to a server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

import bson
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import StoreError, UserError
from ndg.runs.plain import DEPTH, iso, plain, size
from ndg.runs.query import validated


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: float
    where: Path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.str_("a"), "a"),
        ((1, "a", None), [1, "a", None]),
        ({"b", "a"}, ["a", "b"]),
        (Path("runs") / "x", "runs/x"),
        ({1: {np.int64(2): True}}, {"1": {"2": True}}),
        (Color.RED, "red"),
        (Point(0.5, Path("y")), {"x": 0.5, "where": "y"}),
        (datetime(2026, 11, 21, 1, 12, tzinfo=timezone(timedelta(hours=1))), "2026-11-21T00:12:00.000Z"),
    ],
)
def test_values_of_other_types_become_plain(value, expected):
    found, lost = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    assert lost == []


def test_numbers_that_are_not_finite_become_null_and_their_paths_are_kept():
    value = {"loss": float("nan"), "rows": [1.0, np.array([np.inf, 2.0])], "deep": {"x": np.float32("-inf"), "ok": 1}}
    assert plain(value, "results.train") == (
        {"loss": None, "rows": [1.0, [None, 2.0]], "deep": {"x": None, "ok": 1}},
        ["results.train.loss", "results.train.rows.1.0", "results.train.deep.x"],
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"a run document holds numbers, text, lists and dictionaries; got a object at x; .*run\.artefact"),
        (b"bytes", r"got a bytes at x"),
        (1 + 2j, r"got a complex at x"),
        ({"a\\": 1}, r"no backslash at its end.*; got 'a\\\\' in x; rename it"),
        ({"a.b": 1, "a\uff0eb": 2}, r"must differ as text; 'a\uff0eb' comes twice in x"),
        ({"$set": 1}, r"got '\$set' in x"),
        ({"": 1}, r"got '' in x"),
        ({"deep": [2**63]}, r"x\.deep\.0 must fit in 64 bits; got 9223372036854775808; store it as text"),
    ],
)
def test_what_has_no_plain_form_is_refused_with_its_place(value, message):
    with pytest.raises(StoreError, match=message):
        plain(value, "x")


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
keys = st.text(st.characters(exclude_characters=".$\0", exclude_categories=["Cs"]), min_size=1, max_size=5)
keys = keys.filter(lambda key: not key.endswith("\\"))
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=12) | st.dictionaries(keys, inner, max_size=4))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(keys, values, max_size=5))
def test_the_size_of_a_document_is_that_of_its_bson(document):
    assert size(document) == len(bson.encode(document))


@settings(max_examples=50, deadline=None)
@given(values)
def test_plain_values_are_json_and_stay_as_they_are(value):
    found, _ = plain(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert plain(found) == (found, [])


def test_times_sort_as_text():
    early, late = datetime(2026, 1, 2, 3, 4, 5, 6000, UTC), datetime(2026, 1, 2, 3, 4, 5, 70_000, UTC)
    assert (iso(early), iso(late)) == ("2026-01-02T03:04:05.006Z", "2026-01-02T03:04:05.070Z")
    assert iso(early) < iso(late)


def test_keys_that_are_equal_as_text_are_refused():
    for value in ({1: "a", "1": "b"}, {"x": {None: 0, "None": 1}}, {Color.RED: 1, "red": 2}):
        with pytest.raises(
            StoreError, match=r"keys of a run document must differ as text; '\w+' comes twice.*rename one"
        ):
            plain(value, "results.s")


def nested(levels, value=1):
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_values_have_at_most_ninety_levels():
    assert plain(nested(DEPTH))[0] == nested(DEPTH)
    with pytest.raises(StoreError, match=r"at most 90 levels .*; results.* has more; make it flatter"):
        plain(nested(DEPTH + 1), "results")
    with pytest.raises(StoreError, match="at most 90 levels"):
        plain(nested(5000))
    with pytest.raises(UserError, match=r"no run document holds: .*at most 90 levels"):
        validated({"name": {"$in": [nested(900)]}})
