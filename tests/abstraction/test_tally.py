"""Tallies add up, and outcomes are counted over the originally correct examples."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndg.abstraction.tally import FIELDS, Outcome, Tallies, Tally
from ndg.errors import ShapeError

counts = st.integers(0, 10**12)


@st.composite
def tally(draw) -> Tally:
    values = {name: draw(counts) for name in FIELDS}
    return Tally(**values | {"correct": values["aligned"] + values["changed"] + values["unchanged"]})


named = st.dictionaries(st.sampled_from("abc"), tally()).map(Tallies)


@given(tally(), tally(), tally())
def test_addition_is_commutative_and_associative_with_an_empty_tally(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Tally() == a
    assert (a + b).aligned + (a + b).changed + (a + b).unchanged == (a + b).correct


@given(named, named, named)
def test_tallies_add_by_name(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    for name in "abc":
        assert (a + b)[name] == a[name] + b[name]


@given(st.dictionaries(st.tuples(st.sampled_from("ab"), st.text(), st.integers(0, 3)) | st.text(), tally()))
def test_tallies_come_back_from_json(by_name):
    found = Tallies(by_name)
    back = Tallies.from_dict(json.loads(json.dumps(found.to_dict())))
    assert back == found
    assert back.to_dict() == found.to_dict()


def test_outcomes_that_do_not_add_up_are_refused():
    with pytest.raises(ShapeError, match=r"together the originally correct ones: expected 5, got 1 \+ 1 \+ 1"):
        Tally(examples=9, correct=5, aligned=1, changed=1, unchanged=1)


def outcome(rng: np.random.Generator, examples: int) -> Outcome:
    flags = rng.random((7, examples)) < 0.5
    correct, aligned, unchanged, contradictory, empty, kept, by_graph = flags
    sizes = rng.integers(0, 9, (2, examples))
    return Outcome(
        correct, aligned, unchanged & ~aligned, contradictory, empty, sizes[0], sizes[1], kept & correct, by_graph
    )


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_parts_of_a_batch_add_up_to_the_whole(seed, examples):
    rng = np.random.default_rng(seed)
    found = outcome(rng, examples)
    classes = rng.integers(0, 4, examples)
    whole = found.tally()
    assert sum(found.by_class(classes).values(), Tally()) == whole
    for label, part in found.by_class(classes).items():
        own = classes == label
        alone = Outcome(*(getattr(found, field.name)[own] for field in fields(Outcome)))
        assert part == alone.tally()
    assert whole.examples == examples
    assert whole.aligned == sum((found.correct & found.aligned).tolist())
    assert whole.neurons_set == sum(n for n, right in zip(found.neurons_set, found.correct, strict=True) if right)


def test_rates_are_over_the_originally_correct_and_none_without_any():
    some = Tally(examples=20, correct=10, aligned=4, changed=1, unchanged=5, kept=8, kept_aligned=3)
    assert some.rate("aligned") == 0.4
    assert some.kept_rate == 3 / 8
    low, high = some.interval("aligned")
    assert low == pytest.approx(0.16818, abs=1e-5)  # Wilson 1927
    assert high == pytest.approx(0.68733, abs=1e-5)
    assert Tally(examples=3).rate("aligned") is None
    assert Tally(examples=3).interval("aligned") == (0.0, 1.0)
    assert Tally(examples=3).kept_rate is None
    assert Tally(examples=3).advantage is None


def test_the_advantage_is_a_paired_difference():
    """Of 100 examples 30 are aligned by the graph alone and 10 by the control alone."""
    value, low, high = Tally(
        examples=100, correct=100, aligned=40, changed=0, unchanged=60, graph_only=30, control_only=10
    ).advantage
    assert value == pytest.approx(0.2)
    middle, spread = 20 / 102, 1.959964 * math.sqrt((41 / 102 - (20 / 102) ** 2) / 102)
    assert (low, high) == (pytest.approx(middle - spread), pytest.approx(middle + spread))
