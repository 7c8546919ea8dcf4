"""Scores as a value: ranks, frames, nodes, and the way to the run log and back."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ndg.errors import LayerError, ShapeError
from ndg.importance.scores import Scores
from ndg.nodes import LayerUnits, NodeSpace

finite = st.floats(-1e6, 1e6)
units = st.integers(1, 9).flatmap(lambda n: arrays(np.float64, n, elements=finite))


def scores_of(**values: list[float] | np.ndarray) -> Scores:
    arrays_of = {layer: np.array(units, dtype=np.float64) for layer, units in values.items()}
    return Scores("gndi", arrays_of, dict.fromkeys(values, 9.0), "all logits", "zero activation", 12)


def test_a_frame_has_one_row_per_unit():
    frame = scores_of(fc1=[0.5, -2.0, 1.0], fc2=[0.25]).frame()
    assert list(frame.columns) == ["layer", "unit", "node", "score", "rank"]
    assert frame["node"].tolist() == ["fc1:0", "fc1:1", "fc1:2", "fc2:0"]
    assert frame["layer"].tolist() == ["fc1", "fc1", "fc1", "fc2"]
    assert frame["unit"].tolist() == [0, 1, 2, 0]
    assert frame["score"].tolist() == [0.5, -2.0, 1.0, 0.25]
    assert frame["rank"].tolist() == [3, 1, 2, 1]


@given(units)
def test_a_rank_is_one_more_than_the_number_of_larger_scores(values):
    ranks = scores_of(fc=values).rank("fc")
    assert ranks.tolist() == [1 + sum(abs(other) > abs(value) for other in values) for value in values]


@given(units, st.randoms(use_true_random=False))
def test_permuting_units_permutes_ranks(values, random):
    order = random.sample(range(len(values)), len(values))
    assert (scores_of(fc=values[order]).rank("fc") == scores_of(fc=values).rank("fc")[order]).all()


def test_scores_find_their_nodes():
    space = NodeSpace(3, (LayerUnits("fc0", 2), LayerUnits("fc1", 3)))
    scores = scores_of(fc1=[0.5, -2.0, 1.0], fc2=[0.25])
    assert scores.by_node(space) == {5: 0.5, 6: -2.0, 7: 1.0}
    assert {space.name(node) for node in scores.by_node(space)} == {"fc1:0", "fc1:1", "fc1:2"}


def test_scores_of_another_network_are_refused():
    scores = scores_of(fc1=[0.5, -2.0])
    with pytest.raises(ShapeError, match=r"layer 'fc1' has 3 nodes but 2 scored units; score the network that"):
        scores.by_node(NodeSpace(2, (LayerUnits("fc1", 3),)))
    with pytest.raises(ShapeError, match=r"scored: fc1; the nodes have: fc2; score the layers that were extracted"):
        scores.by_node(NodeSpace(2, (LayerUnits("fc2", 3),)))
    with pytest.raises(LayerError, match=r"layer 'fc' was not scored; nearest: fc1"):
        scores["fc"]


@given(st.dictionaries(st.sampled_from(["a", "b.c", "d:e"]), units, min_size=1))
def test_the_run_log_gives_back_what_it_was_given(values):
    facts = {"steps": 3, "completeness": [{"layer": "a", "mean": 0.1, "max": 0.2}]}
    scores = Scores("conductance", values, dict.fromkeys(values, 0.1), 2, "zero input", 7, facts=facts)
    document = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    again = Scores.from_dict(document)
    assert again.to_dict() == scores.to_dict() == document
    assert all((again[layer] == scores[layer]).all() for layer in values)


def test_scores_are_frozen_and_travel():
    scores = scores_of(fc=[1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        scores["fc"][0] = 3.0
    assert pickle.loads(pickle.dumps(scores)).to_dict() == scores.to_dict()


def test_a_score_that_is_not_a_number_names_layer_and_unit():
    with pytest.raises(LayerError, match=r"must be finite; gndi of unit 1 of layer 'fc' is nan; look for NaN"):
        scores_of(fc=[1.0, float("nan")])


def test_a_layer_has_one_score_per_unit_and_one_as_a_whole():
    with pytest.raises(ShapeError, match=r"one score per unit; got an array of shape \(0,\) for 'fc'"):
        scores_of(fc=[])
    with pytest.raises(ShapeError, match=r"name the same layers; got \['fc'\] and \['gc'\]"):
        Scores("gndi", {"fc": np.ones(2)}, {"gc": 1.0}, 0, "zero activation", 1)


def test_a_notebook_shows_the_first_units_and_says_how_many_are_left():
    shown = scores_of(**{"a<b": np.arange(25.0)})._repr_html_()
    assert "a&lt;b:24</td><td>24</td><td>1</td>" in shown
    assert "a&lt;b:5<" in shown
    assert "a&lt;b:4<" not in shown
    assert "and 5 more of a&lt;b" in shown
    assert "mean over 12 examples, target all logits, baseline zero activation" in shown


def test_a_notebook_shows_facts_in_words():
    facts = {"steps": 3, "logit_change": 4.56789, "completeness": [{"layer": "fc", "mean": 0.00123, "max": 0.5}]}
    scores = Scores("conductance", {"fc": np.ones(1)}, {"fc": 1.0}, 0, "zero input", 1, facts=facts)
    assert "; steps 3; logit change 4.57; completeness fc mean 0.00123 max 0.5<" in scores._repr_html_()
