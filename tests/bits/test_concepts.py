"""Concepts become the last nodes; non-boolean columns are rejected by name."""

import numpy as np
import pandas as pd
import pytest

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError
from ndg.nodes import LayerUnits, NodeSpace


@pytest.fixture
def bits():
    values = np.random.default_rng(0).random((70, 3)) < 0.5
    return BitMatrix.from_bool(values, NodeSpace(1, (LayerUnits("a", 2),)), np.array([0.5, np.nan]), correct=9)


def wings():
    return np.arange(70) % 3 == 0


@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_a_table_and_a_mapping_give_the_same_nodes(bits, kind):
    joined = bits.with_concepts(kind({"has wings": wings(), "a: b": ~wings()}))
    assert list(joined.nodes.nodes()) == [*bits.nodes.nodes(), "concept:has wings", "concept:a: b"]
    assert (joined.to_bool() == np.column_stack([bits.to_bool(), wings(), ~wings()])).all()
    assert (joined.to_bool("concept")[:, 0] == wings()).all()
    assert (joined.words[:3] == bits.words).all()
    assert (joined.correct, joined.examples, joined.nodes.without_concepts) == (9, 70, bits.nodes)
    assert np.array_equal(joined.thresholds, bits.thresholds, equal_nan=True)
    assert joined.digest != bits.digest
    assert joined == bits.with_concepts({"has wings": wings()}).with_concepts({"a: b": ~wings()})


def test_rows_are_taken_by_place_and_objects_that_are_booleans_are_booleans(bits):
    frame = pd.DataFrame({"c": pd.array(wings(), dtype="boolean"), "d": wings().astype(object)}, index=range(70)[::-1])
    joined = bits.with_concepts(frame)
    assert (joined.to_bool("concept") == wings()[:, None]).all()
    assert bits.with_concepts({}) == bits


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"c": np.arange(70)}, r"column 'c' holds int64; make it boolean, as in frame\['c'\] > 0"),
        ({"c": np.ones(70)}, "column 'c' holds float64"),
        ({"c": ["yes"] * 70}, "column 'c' holds <U3"),
        ({"c": pd.array([True, None] * 35, dtype="boolean")}, "column 'c' holds object, such as <NA>"),
        ({"c": np.array([True, None] * 35, object)}, "column 'c' holds object, such as None"),
        ({"good": wings(), "c": wings()[1:]}, r"expected 70, column 'c' has shape \(69,\); select the rows"),
        ({"c": wings()[:, None]}, r"column 'c' has shape \(70, 1\)"),
        ({3: wings()}, "must be a non-empty string; got 3"),
        ({"": wings()}, "must be a non-empty string; got ''"),
        (pd.DataFrame(np.ones((70, 2), bool), columns=["c", "c"]), "unique; got 'c' twice; rename"),
        ({"known": wings()}, "'known' twice; rename"),
        (wings(), "a DataFrame or a mapping from names to boolean arrays; got ndarray"),
    ],
)
def test_what_is_no_concept_is_refused_by_name(bits, frame, message):
    known = bits.with_concepts({"known": wings()})
    with pytest.raises(BitsError, match=message):
        known.with_concepts(frame)
