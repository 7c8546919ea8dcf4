"""Held-out precision and recall against counting example by example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import ShapeError
from ndg.graph import evaluate
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.mining.miner import find
from tests.references.graph_cases import drawn, mined, pack

COLUMNS = [
    "antecedent",
    "consequent",
    "precision",
    "precision_low",
    "precision_high",
    "recall",
    "recall_low",
    "recall_high",
    "n_antecedent",
    "n_consequent",
    "exceptions",
    "mined_precision",
    "mined_recall",
]


@given(mined(), st.integers(0, 130), st.sampled_from([0.02, 0.5]), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_held_out_figures_are_counted_on_the_held_out_examples(case, examples, rate, seed):
    graph, values, labels = case
    held = np.random.default_rng(seed).random((examples, values.shape[1])) < rate
    frame = graph.evaluate(pack(held, labels))
    assert list(frame.columns) == COLUMNS
    assert len(frame) == len(graph)
    for row, own in zip(frame.itertuples(), graph.edges_frame().itertuples(), strict=True):
        p, q = graph.literal(row.antecedent), graph.literal(row.consequent)
        has_p, has_q = held[:, p.node] == p.value, held[:, q.node] == q.value
        n_p, n_q, both = int(has_p.sum()), int(has_q.sum()), int((has_p & has_q).sum())
        assert (row.n_antecedent, row.n_consequent, row.exceptions) == (n_p, n_q, n_p - both)
        for n, found in (
            (n_p, (row.precision, row.precision_low, row.precision_high)),
            (n_q, (row.recall, row.recall_low, row.recall_high)),
        ):
            expected = (both / n, *wilson(both, n)) if n else (np.nan,) * 3
            assert found == pytest.approx(tuple(map(float, expected)), nan_ok=True)
        assert (row.mined_precision, row.mined_recall) == (own.precision, own.recall)


@given(mined())
@settings(max_examples=30, deadline=None)
def test_on_the_mined_examples_held_out_figures_are_the_mined_ones(case):
    graph, values, labels = case
    frame = graph.evaluate(pack(values, labels))
    assert (frame.precision == frame.mined_precision).all()
    assert (frame.recall == frame.mined_recall).all()
    assert (frame.exceptions == graph.implications.exceptions).all()


@given(mined(), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_means_are_over_implications_whose_antecedent_or_consequent_occurs(case, seed):
    graph, values, labels = case
    held = pack(np.random.default_rng(seed).random((20, values.shape[1])) < 0.05, labels)
    frame, means = graph.evaluate(held), graph.held_out(held)
    assert (means.implications, means.examples) == (len(graph), 20)
    judged, recalled = frame[frame.n_antecedent > 0], frame[frame.n_consequent > 0]
    assert (means.judged, means.recalled) == (len(judged), len(recalled))
    for found, column in (
        (means.precision, judged.precision),
        (means.mined_precision, judged.mined_precision),
        (means.recall, recalled.recall),
        (means.mined_recall, recalled.mined_recall),
    ):
        assert found == (pytest.approx(column.mean()) if len(column) else None)
    assert means.base_rate == (pytest.approx((judged.n_consequent / 20).mean()) if len(judged) else None)
    assert means.to_dict()["precision"] == means.precision


def test_pairs_are_counted_a_chunk_at_a_time_with_the_same_result(monkeypatch):
    values = np.random.default_rng(0).random((200, 12)) < 0.5
    values[:, 6:] |= values[:, :6]
    graph = NDG(find(pack(values, 2), alpha=1.5))
    whole = graph.evaluate(pack(values, 2))
    monkeypatch.setattr(evaluate, "BLOCK_WORDS", 9)
    assert graph.evaluate(pack(values, 2)).equals(whole)
    assert len(whole) > 10


def test_bits_of_other_nodes_or_thresholds_are_refused():
    graph = drawn()
    with pytest.raises(ShapeError, match=r"must have the graph's nodes: expected .* extract the same layers"):
        graph.evaluate(pack(np.ones((3, 2), bool), 1))
    values = np.random.default_rng(0).random((60, 3)) < 0.5
    values[:, 2] = values[:, 1]
    mined_here = NDG(find(pack(values, 1, np.zeros(2)), alpha=2))
    other = pack(values, 1, np.ones(2))
    with pytest.raises(ShapeError, match=r"must have the graph's thresholds; extract them with like=graph"):
        mined_here.evaluate(other)
    assert (mined_here.evaluate(other, any_thresholds=True).precision == 1).all()
    assert mined_here.held_out(other, any_thresholds=True).precision == 1
