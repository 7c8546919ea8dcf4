"""Units matched by equivalence: exact for a permuted copy, and by the best of all assignments elsewhere."""

import json
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import discovery, extraction
from ndg.bits.matrix import BitMatrix
from ndg.comparison import units
from ndg.comparison.difference import diff
from ndg.comparison.units import in_units_of, match_units, unlike
from ndg.errors import ConfigError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace
from tests.comparison.cases import LAYERS, bits, loader, network


def permuted(model, seed=0):
    """A network that computes the same with the units of both layers in another order, and these orders."""
    copy, orders = network(hidden=8), []
    copy.load_state_dict(model.state_dict())
    with torch.no_grad():
        for before, after in ((0, 2), (2, 4)):
            order = torch.from_numpy(np.random.default_rng([seed, before]).permutation(8))
            copy[before].weight.copy_(copy[before].weight[order])
            copy[before].bias.copy_(copy[before].bias[order])
            copy[after].weight.copy_(copy[after].weight[:, order])
            orders.append(order.numpy())
    return copy, orders


def test_a_permuted_copy_of_a_network_is_matched_exactly():
    model = network()
    copy, _ = permuted(model)
    a = extraction.extract(model, loader(600), LAYERS)
    b = extraction.extract(copy, loader(600), like=a)
    assert a != b
    match = match_units(a, b)
    assert (match.agreement == 1).all()
    assert [row["agreement"] for row in match.rows()] == [1, 1]
    assert in_units_of(b, match) == a
    found = diff(discovery.mine(a, alpha=3), discovery.mine(b, alpha=3), match)
    assert (found.overlap.only_a, found.overlap.only_b) == (0, 0)
    assert found.overlap.both == len(discovery.mine(a, alpha=3).implications) > 50
    assert diff(discovery.mine(a, alpha=3), discovery.mine(b, alpha=3)).overlap.jaccard < 1


def flipped(examples=300, seed=0):
    """Bits of two layers, and the same with units in another order and some of them negated."""
    own, rng = bits(examples, seed=seed), np.random.default_rng(seed + 1)
    values, orders = own.to_bool(), np.arange(10)
    for where in (slice(2, 6), slice(6, 10)):
        orders[where] = rng.permutation(orders[where])
    signs = np.concatenate([np.zeros(2, bool), rng.random(8) < 0.5])
    return own, BitMatrix.from_bool(values[:, orders] ^ signs, own.nodes), orders, signs


@pytest.mark.parametrize("seed", range(4))
def test_order_and_sign_of_units_are_found(seed):
    own, other, orders, signs = flipped(seed=seed)
    match = match_units(own, other)
    assert (match.partner == orders).all()
    assert (match.same == ~signs).all()
    assert (match.agreeing == 300).all()
    assert (match.codes == np.stack([2 * orders + signs, 2 * orders + ~signs], axis=1).reshape(-1)).all()
    assert in_units_of(other, match).to_bool().tolist() == own.to_bool().tolist()
    graph, again = discovery.mine(own, alpha=5), discovery.mine(other, alpha=5)
    assert diff(graph, again, match).overlap.jaccard == 1
    assert match.rows()[0]["negated"] == signs[2:6].sum()
    assert match.rows()[0]["shuffled"] < 0.7


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 40, 70]))
@settings(max_examples=40, deadline=None)
def test_the_sum_of_agreements_is_the_largest_of_all_assignments(seed, here, there, examples):
    rng = np.random.default_rng(seed)
    first, second = (rng.random((examples, size)) < 0.4 for size in (here, there))
    a, b = (BitMatrix.from_bool(v, NodeSpace(0, (LayerUnits("u", v.shape[1]),))) for v in (first, second))
    match = match_units(a, b)
    agree = (first[:, :, None] == second[:, None, :]).sum(axis=0)
    best = np.maximum(agree, examples - agree)
    if here >= there:
        sums = [sum(best[i, j] for j, i in enumerate(p)) for p in permutations(range(here), there)]
    else:
        sums = [sum(best[i, j] for i, j in enumerate(p)) for p in permutations(range(there), here)]
    matched = match.partner >= 0
    assert matched.sum() == min(here, there)
    assert match.agreeing[matched].sum() == max(sums)
    assert len(set(match.partner[matched].tolist())) == matched.sum()
    for j in np.flatnonzero(matched):
        i = match.partner[j]
        assert match.agreeing[j] == (agree[i, j] if match.same[j] else examples - agree[i, j])
        p, q = first[:, i].mean(), second[:, j].mean()
        assert match.chance[j] == pytest.approx(max(p * q + (1 - p) * (1 - q), p * (1 - q) + q * (1 - p)))


def test_tiles_make_no_difference(monkeypatch):
    a, b = bits(500, units=9), bits(500, units=9, seed=1)
    whole = unlike(a, b, slice(2, 11), slice(2, 11))
    monkeypatch.setattr(units, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(units, "WORDS_AT_ONCE", 3)
    assert (unlike(a, b, slice(2, 11), slice(2, 11)) == whole).all()
    values = a.to_bool(), b.to_bool()
    assert (whole == (values[0][:, 2:11, None] != values[1][:, None, 2:11]).sum(axis=0)).all()


def test_units_that_hardly_agree_have_no_partner():
    own, other, _, _ = flipped()
    noise = other.to_bool()
    noise[:, 9] = np.random.default_rng(5).random(300) < 0.5
    loud = BitMatrix.from_bool(noise, own.nodes)
    match = match_units(own, loud, at_least=0.9)
    assert (np.flatnonzero(match.partner < 0) == [9]).all()
    assert np.isnan(match.agreement[9])
    assert match.rows()[1]["matched"] == 3
    assert len(match.units_frame()) == 7
    found = diff(discovery.mine(own, alpha=5), discovery.mine(loud, alpha=5), match)
    assert found.unmatched == sum(
        "v:3" in text for text in discovery.mine(loud, alpha=5).edges_frame()[["antecedent", "consequent"]].sum(axis=1)
    )
    with pytest.raises(ShapeError, match=r"every node of the first network needs a partner; v:\d has none"):
        in_units_of(loud, match)


def test_concepts_are_matched_by_name():
    a, b = bits(concepts=("odd", "old")), bits(concepts=("new", "odd"))
    match = match_units(a, b)
    assert match.partner[-2:].tolist() == [-1, 10]
    assert match.agreeing[-1] == (a.to_bool("concept")[:, 0] == b.to_bool("concept")[:, 1]).sum()


def test_a_matching_is_told_in_rows():
    match = match_units(bits(), bits(seed=3))
    document = json.loads(json.dumps(match.to_dict(), allow_nan=False))
    assert document["rows"] == match.rows()
    for row in match.rows():
        assert row["low"] < row["agreement"] < row["high"] <= 1
        assert row["agreement"] >= 0.5
        assert row["matched"] == row["units"] == 4
    frame = match.units_frame()
    assert len(frame) == 8
    assert (frame.agreement >= 0.5).all()
    assert frame.partner.nunique() == 4


def test_bits_that_cannot_be_matched_are_refused():
    with pytest.raises(ShapeError, match=r"the same examples in the same order; got 200 and 100; extract both"):
        match_units(bits(200), bits(100))
    with pytest.raises(ShapeError, match="layers of the same names, and labels with labels; got 2 labels"):
        match_units(bits(), bits(labels=3))
    with pytest.raises(ConfigError, match="a share of the examples, from 0 to 1; got 2"):
        match_units(bits(), bits(), at_least=2)
    with pytest.raises(ShapeError, match="must have the nodes of the matching"):
        in_units_of(bits(units=5), match_units(bits(), bits()))
