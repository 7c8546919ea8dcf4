"""Curves of aligned rates against neurons changed: points, areas, differences; and the orders that they follow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ndg.abstraction.bootstrap import GROUPS
from ndg.abstraction.controls import OF_SIZE
from ndg.abstraction.counts import Counts
from ndg.abstraction.curve import EXAMPLES, Curve
from ndg.abstraction.orders import STEPS, sizes, specificity
from ndg.abstraction.trial import TrialSettings, trial, trials
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references.by_hand import ByHand, by_hand, loader
from tests.references.graph_cases import implications

SERIAL = RunOptions(executor="serial")


def curve(**orders: list[tuple[int, int, int]]) -> Curve:
    """Ten examples in each of the groups, all alike."""
    counts = {name: np.tile(np.array(points), (GROUPS, 1, 1)) for name, points in orders.items()}
    return Curve((0, 1, 2), Counts(counts | {EXAMPLES: np.full(GROUPS, 10)}), 0)


def test_areas_worked_out_by_hand():
    """Per ten examples. The graph: 0, 10, 20 changed, 0, 5, 10 aligned. The other reaches 30, and is cut at 20."""
    found = curve(graph=[(0, 0, 0), (10, 10, 5), (20, 20, 10)], other=[(0, 0, 0), (10, 10, 0), (30, 30, 10)])
    assert found.names == ("graph", "other")
    assert found.n == 10 * GROUPS
    assert found.end == 2.0
    assert found.area("graph") == pytest.approx(0.5)
    assert found.area("other") == pytest.approx((0 + 0.25) / 2)  # from 0 to 0.5 between 1 and 2 neurons changed
    difference = found.difference("other")
    assert difference.value == pytest.approx(0.375)
    assert (difference.low, difference.high) == (pytest.approx(0.375), pytest.approx(0.375))  # all groups are alike
    assert found.difference("graph").value == 0
    first = found.points("other")[1]
    assert (first["size"], first["neurons_changed"], first["neurons_changed_mean"]) == (1, 10 * GROUPS, 1.0)


def test_the_interval_is_that_of_the_examples():
    """Under the graph's order the one neuron turns every example of half the groups: the area is half their share."""
    counts = np.zeros((GROUPS, 3, 3), np.int64)
    counts[:, 1:, :2] = 10
    counts[::2, 1:, 2] = 10
    none = counts.copy()
    none[:, :, 2] = 0
    found = Curve((0, 1, 2), Counts({"graph": counts, "none": none, EXAMPLES: np.full(GROUPS, 10)}), 1)
    difference = found.difference("none")
    assert difference.value == pytest.approx(0.25)
    half = 1.96 * 0.25 / np.sqrt(GROUPS)
    assert (difference.low, difference.high) == (
        pytest.approx(0.25 - half, abs=0.015),
        pytest.approx(0.25 + half, abs=0.015),
    )


def test_where_nothing_changes_there_is_no_area():
    nothing = curve(graph=[(0, 0, 0)] * 3, other=[(0, 0, 0)] * 3)
    assert nothing.area("graph") is nothing.difference("other") is None
    nobody = Curve((0, 1, 2), Counts({**curve(graph=[(0, 0, 0)] * 3).counts.by_name, EXAMPLES: np.zeros(GROUPS)}), 0)
    assert nobody.points("graph")[0]["aligned_low"] is nobody.points("graph")[0]["aligned_high"] is None
    assert nobody.area("graph") is nobody.end is nobody.points("graph")[0]["aligned_rate"] is None
    with pytest.raises(ConfigError, match="no order 'others' on this curve; nearest: other"):
        nothing.area("others")


def test_the_document_is_plain_and_the_frame_has_the_rows():
    found = trial(ByHand(), by_hand(), loader(), "Q", settings=TrialSettings(curve=True), options=SERIAL).curve
    document = found.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document["orders"]) == {"graph", *OF_SIZE, "prototype_random"}
    assert document["sizes"] == [0, 1, 2, 3, 4]
    assert len(found.frame()) == len(found.rows()) == 5 * 5


def test_curves_grow_and_end_where_the_order_ends():
    found = trials(
        ByHand(),
        by_hand(),
        loader(),
        settings=TrialSettings(curve=True, orders={"index": np.arange(4)}),
        options=SERIAL,
    )
    for result in found.values():
        for name in result.curve.names:
            points = result.curve.points(name)
            changed = [point["neurons_changed"] for point in points]
            assert changed == sorted(changed)
            assert points[0]["neurons_set"] == 0
            whole = result.tally.neurons_set if name == "graph" else 4 * result.tally.correct
            assert points[-1]["neurons_set"] == whole
        ends = {result.curve.points(name)[-1]["aligned"] for name in result.curve.names if name != "graph"}
        assert len(ends) == 1  # the whole prototype, in whatever order
        assert result.controls["binarise"].aligned == result.curve.points("graph")[0]["aligned"]


def test_an_order_for_each_class_is_that_classs():
    """An order by class that is the same for all is the order; the surest neurons, handed in, are that control."""
    order = np.array([2, 0, 3, 1])
    surest = np.argsort(np.array([[0, 1, 2, 3]] * 3), axis=1)  # all are equally sure
    given = {"one": order, "each": np.tile(order, (3, 1)), "surest": surest}
    found = trial(
        ByHand(), by_hand(), loader(), "Q", settings=TrialSettings(curve=True, orders=given), options=SERIAL
    ).curve
    assert found.points("one") == found.points("each") != found.points("surest")
    assert found.points("surest") == found.points("prototype_surest")


def test_sizes_are_all_or_ever_further_apart():
    assert sizes(1) == (0, 1)
    assert sizes(STEPS) == tuple(range(STEPS + 1))
    for units in (17, 32, 128, 768, 4096):
        found = sizes(units)
        steps = np.diff(found)
        assert (found[:2], found[-1]) == ((0, 1), units)
        assert len(found) <= STEPS + 1
        assert (steps > 0).all()


def test_specificity_worked_out_by_hand():
    """Class 0 is predicted in 4 of 10 examples; x:0 is on in 3 of these and in 1 other, x:1 never."""
    nodes = NodeSpace(2, (LayerUnits("x", 2),))
    bits = np.array([[1, 0, 1, 0]] * 3 + [[1, 0, 0, 0]] + [[0, 1, 1, 0]] + [[0, 1, 0, 0]] * 5, np.bool_)
    graph = NDG(replace(implications(bits, nodes, []), thresholds=np.zeros(2)))
    off, on = specificity(graph, "x")
    assert on.tolist() == [[3 / 4, 0], [1 / 4, 0]]
    assert off.tolist() == [[1 / 6, 4 / 10], [5 / 6, 6 / 10]]
