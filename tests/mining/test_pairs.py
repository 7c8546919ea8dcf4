"""Pairs of layers, and their number of tests."""

from itertools import combinations

import numpy as np
import pytest

from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError
from ndg.literal import Literal
from ndg.mining.miner import find
from ndg.mining.pairs import candidates, constants
from ndg.nodes import LayerUnits, NodeSpace

NODES = NodeSpace(3, (LayerUnits("a", 4), LayerUnits("b", 5)), ("red", "big"))


@pytest.fixture
def bits():
    """Labels, two layers and two concepts that depend on one hidden number."""
    rng = np.random.default_rng(0)
    hidden = rng.random((600, 1))
    values = hidden < rng.uniform(0.2, 0.8, len(NODES))
    values[:, :3] = np.eye(3, dtype=bool)[(hidden[:, 0] * 2.99).astype(int)]
    values[:, 5] = True
    without = BitMatrix.from_bool(values[:, :-2], NODES.without_concepts)
    return without.with_concepts({"red": values[:, -2], "big": values[:, -1]})


def groups(implications):
    names = [NODES.layer(node) for node in range(len(NODES))]
    ends = zip(implications.antecedents >> 1, implications.consequents >> 1, strict=True)
    return {tuple(sorted((names[p], names[q]))) for p, q in ends}


def edges(implications):
    return set(zip(implications.antecedents.tolist(), implications.consequents.tolist(), strict=True))


def test_all_pairs_are_those_between_and_those_within(bits):
    every, between, within = (find(bits, alpha=1.5, pairs=kind) for kind in ("all", "between", "within"))
    assert edges(every) == edges(between) | edges(within)
    assert not edges(between) & edges(within)
    assert all(p != q for p, q in groups(between))
    assert all(p == q for p, q in groups(within))
    assert {("a", "label"), ("a", "b"), ("concept", "label"), ("b", "concept")} <= groups(between)
    assert every.tests == between.tests + within.tests


@pytest.mark.parametrize("mask", [[("a", "b")], [("b", "b"), ("label", "a")], [["concept", "b"]]])
def test_a_mask_keeps_the_pairs_of_layers_that_it_names(bits, mask):
    every, masked = find(bits, alpha=1.5), find(bits, alpha=1.5, pairs=mask)
    wanted = {tuple(sorted(pair)) for pair in mask}
    assert groups(masked) == wanted
    kept = {(p, q) for p, q in edges(every) if tuple(sorted((NODES.layer(p >> 1), NODES.layer(q >> 1)))) in wanted}
    assert edges(masked) == kept


def test_tests_are_four_for_each_pair_of_nodes_that_vary_and_are_not_both_labels_or_both_concepts(bits):
    found = candidates(NODES, bits.on(), bits.examples)
    constant = {5}
    count = 0
    for p, q in combinations(range(len(NODES)), 2):
        alike = NODES.layer(p) == NODES.layer(q) and NODES.layer(p) in ("label", "concept")
        count += 4 * (not alike and not {p, q} & constant)
    assert found.tests == find(bits, alpha=2).tests == count
    whole = slice(0, len(NODES))
    assert 4 * found.mask(whole, whole).sum() == count


@pytest.mark.parametrize("edge", [1, 2, 5, 8, 100])
def test_the_tiles_hold_each_candidate_once(bits, edge):
    for kind in ("all", "between", "within", [("label", "b")]):
        found = candidates(NODES, bits.on(), bits.examples, kind)
        seen = np.zeros((len(NODES), len(NODES)), int)
        for rows, columns in found.tiles(edge):
            seen[rows, columns] += found.mask(rows, columns)
        whole = slice(0, len(NODES))
        assert (seen == found.mask(whole, whole)).all()


def test_concepts_imply_each_other_only_as_equivalents(bits):
    columns = bits.to_bool("concept")
    columns[:, 1] = columns[:, 0] | (np.arange(len(columns)) % 3 == 0)
    nodes = NODES.without_concepts
    labels_and_units = BitMatrix.from_bool(bits.to_bool()[:, : len(nodes)], nodes)
    one_way = labels_and_units.with_concepts({"red": columns[:, 0], "big": columns[:, 1]})
    assert ("concept", "concept") not in groups(find(one_way, alpha=1.5))
    same = labels_and_units.with_concepts({"red": columns[:, 0], "big": columns[:, 0]})
    assert ("concept", "concept") in groups(find(same, alpha=1.5))


def test_bad_masks_are_refused(bits):
    with pytest.raises(ConfigError, match="all, between, within or pairs of layers; got 'betwen'; nearest: between"):
        find(bits, pairs="betwen")
    with pytest.raises(ConfigError, match=r"mining\.pairs must name layers of the network; got 'c'; there is: label"):
        find(bits, pairs=[("a", "c")])
    with pytest.raises(ConfigError, match=r"a pair of layers must be two names, as in .* got \['a'\]"):
        find(bits, pairs=[["a"]])


def test_a_node_varies_from_one_example_in_ten_thousand_on():
    on = np.array([0, 1, 9_999, 10_000])
    varies = candidates(NodeSpace(0, (LayerUnits("a", 4),)), on, 10_000).varies
    assert varies.tolist() == [False, True, True, False]


def test_a_constant_node_has_the_value_of_more_than_half_of_the_examples():
    literals = constants(np.zeros(3, bool), np.array([4, 5, 6]), 10)
    assert literals == (Literal(0, False), Literal(1, False), Literal(2, True))
