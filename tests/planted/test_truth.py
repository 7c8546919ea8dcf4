"""Comparison of mined implications with a truth."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ndg import seeds
from ndg.bits.matrix import BitMatrix
from ndg.errors import ShapeError
from ndg.mining.miner import find
from ndg.nodes import LayerUnits, NodeSpace
from ndg.planted.mechanism import plant
from ndg.planted.truth import Recovery, Truth
from tests.references.graph_cases import implications

SPACE = NodeSpace(2, (LayerUnits("a", 3),))


def code(text):
    return SPACE.literal(text).code


def joint_of(values):
    literals = np.stack([~values, values], axis=2).reshape(len(values), -1).astype(float)
    return literals.T @ literals / len(values)


def truth_of(pairs, near=()):
    relations = []
    for some in (pairs, near):
        relation = np.zeros((10, 10), bool)
        for p, q in some:
            relation[code(p), code(q)] = relation[code(q) ^ 1, code(p) ^ 1] = True
        relations.append(relation)
    return Truth(SPACE, *relations)


def mined(pairs):
    values = np.random.default_rng(0).random((50, 5)) < 0.5
    return implications(values, SPACE, {(code(p), code(q)) for p, q in pairs})


def test_each_pair_counts_once_and_near_ones_and_labels_for_no_side():
    truth = truth_of([("a:0", "a:1"), ("a:1", "~a:2"), ("label:0", "~label:1")], near=[("a:0", "a:2")])
    assert len(truth) == 2
    found = mined([("a:0", "a:1"), ("a:0", "a:2"), ("a:2", "a:0"), ("label:0", "~label:1"), ("label:1", "a:0")])
    assert truth.recovered(found) == Recovery(true=1, false=2, missed=1, near=1)
    assert truth.texts() == {("a:0", "a:1"), ("~a:1", "~a:0"), ("a:1", "~a:2"), ("a:2", "~a:1")}


def test_the_figures_are_their_definitions():
    some = Recovery(true=6, false=2, missed=4, near=3)
    assert (some.precision, some.recall, some.false_discovery) == (0.75, 0.6, 0.25)
    assert some.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    none = Recovery(true=0, false=0, missed=4, near=3)
    assert math.isnan(none.precision)
    assert none.recall == none.f1 == none.false_discovery == 0
    empty = Recovery(true=0, false=0, missed=0, near=0)
    assert math.isnan(empty.recall)
    assert math.isnan(empty.f1)


def test_a_strong_accident_is_near_and_rare_strangers_are_not():
    rng = np.random.default_rng(1)
    values = rng.random((100_000, 5)) < np.array([0.5, 0.5, 0.3, 0.04, 0.04])
    values[:, 1] = values[:, 0] ^ (rng.random(100_000) < 0.05)  # nearly equal, not planted
    near = Truth.of(SPACE, np.zeros((10, 10), bool), joint_of(values)).near
    both_ways = {(p, q) for p in (0, 1, 2, 3) for q in (0, 1, 2, 3) if p >> 1 != q >> 1 and p & 1 == q & 1}
    assert set(map(tuple, np.argwhere(near).tolist())) == both_ways
    precision = 1 - values[:, 3][values[:, 4]].mean()
    assert precision > 0.9  # a:2 hardly ever comes with a:1, as with anything, and that is no implication


@pytest.mark.parametrize("seed", range(5))
def test_near_is_never_planted_is_closed_under_contraposition_and_leaves_no_close_call_among_the_false(seed):
    truth = plant(seed=seed).truth()
    turned = np.arange(80) ^ 1
    assert not (truth.near & truth.follows).any()
    assert np.array_equal(truth.near, truth.near[turned][:, turned].T)
    joint = joint_of(plant(seed=seed).population())
    rate, exceptions = joint.diagonal(), joint[:, turned]
    margins = np.minimum(rate[:, None], rate[turned][None, :])
    rest = ~truth.follows & truth.judged
    precise = exceptions < 0.1 * margins
    assert (exceptions[rest & precise] >= 0.5 * (rate[:, None] * rate[turned][None, :])[rest & precise]).all()
    assert (exceptions[rest] > 0).all()
    assert (exceptions[truth.follows] == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_in_shuffled_columns_fisher_finds_almost_nothing(seed):
    mechanism = plant(seed=seed)
    values = seeds.generator(seed, "shuffled").permuted(mechanism.values(2000, 0.01, seed), axis=0)
    nothing = np.zeros((80, 80), bool)
    void = Truth(mechanism.nodes, nothing, nothing)
    found = find(BitMatrix.from_bool(values, mechanism.nodes), "fisher")
    assert void.recovered(found).false <= 2  # of 3,120 tests
    real = mechanism.truth().recovered(find(mechanism.bits(2000, 0.01, seed), "fisher"))
    assert real.true > 30


def test_implications_over_other_nodes_are_refused():
    truth = plant(5, 2, depth=1, equivalent=0).truth()
    found = mined([("a:0", "a:1")])
    with pytest.raises(ShapeError, match=r"over the truth's nodes: expected NodeSpace.*planted.*; mine the bits of"):
        truth.recovered(found)
    assert replace(truth, nodes=SPACE).recovered(found).false == 1
