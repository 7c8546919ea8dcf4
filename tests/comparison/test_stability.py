"""How often edges are found again: over bootstraps and over trainings."""

import json

import numpy as np
import pytest

from ndg import discovery, extraction
from ndg.bits.matrix import BitMatrix
from ndg.comparison.over_examples import bootstrap
from ndg.comparison.resampling import bootstrapped
from ndg.comparison.retraining import over_trainings, trainings
from ndg.comparison.sources import reinitialised
from ndg.comparison.units import match_units
from ndg.errors import ConfigError, DataError, GraphError
from ndg.intervals import wilson
from ndg.nodes import LayerUnits, NodeSpace
from tests.comparison.cases import LAYERS, bits, loader, network
from tests.references.graph_cases import drawn, edges_of


def planted(examples=400, seed=0):
    """u:0 -> u:1 without exception, u:2 -> u:3 on the edge of the criterion, u:4 free."""
    rng = np.random.default_rng(seed)
    values = rng.random((examples, 5)) < 0.5
    values[:, 1] |= values[:, 0]
    values[:, 3] |= values[:, 2] & (rng.random(examples) < 0.9)
    return BitMatrix.from_bool(values, NodeSpace(0, (LayerUnits("u", 5),)))


def test_an_exact_implication_is_found_in_every_bootstrap():
    found = bootstrap(planted(), alpha=4, rounds=40)
    shares = found.edges_frame().set_index(["antecedent", "consequent"])
    assert shares.loc[("u:0", "u:1"), "share"] == 1
    assert shares.loc[("~u:1", "~u:0"), "share"] == 1
    assert 0.05 < shares.loc[("u:2", "u:3"), "share"] < 0.999
    assert ((found.share >= 0) & (found.share <= 1)).all()
    low, high = wilson(found.times, np.full(len(found.times), 40))
    assert shares.share_low.tolist() == low.tolist()
    assert shares.share_high.tolist() == high.tolist()


def test_shares_are_those_of_graphs_mined_from_resampled_booleans():
    own, rounds = bits(150), 12
    found = bootstrap(own, "paper", 2, rounds=rounds, seed=3)
    graph, values = discovery.mine(own, "paper", alpha=2), own.to_bool()
    edges = [
        tuple(map(int, pair))
        for pair in zip(graph.implications.antecedents, graph.implications.consequents, strict=True)
    ]
    times, others = dict.fromkeys(edges, 0), []
    for number in range(rounds):
        drawn_values = values[bootstrapped(3, number, 150)]
        again = edges_of(discovery.mine(BitMatrix.from_bool(drawn_values, own.nodes), "paper", alpha=2))
        for edge in again & set(edges):
            times[edge] += 1
        others.append(len(again - set(edges)))
    assert found.times.tolist() == list(times.values())
    assert found.others == tuple(others)
    assert sum(others) > 0
    assert found.elsewhere == pytest.approx(sum(others) / (rounds * (2 * graph.implications.tests - len(edges))))


def test_a_bootstrap_is_told_in_rows_and_words():
    found = bootstrap(bits(), alpha=3, rounds=20)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["rows"] == found.rows()
    whole, *parts = found.rows()
    assert whole["edges"] == len(found.times) == sum(part["edges"] for part in parts)
    assert whole["share"] == pytest.approx(found.share.mean())
    assert whole["always"] <= whole["stable"] <= whole["edges"]
    assert f"{whole['stable']:,} of {whole['edges']:,} edges are found again in at least 95% of 20" in found.words()
    noise = BitMatrix.from_bool(np.random.default_rng(0).random((100, 10)) < 0.5, bits().nodes)
    none = bootstrap(noise, alpha=50, rounds=2)
    assert none.words() == "The graph has no edge."
    assert none.rows()[0]["share"] is None
    json.dumps(none.to_dict(), allow_nan=False)
    with pytest.raises(ConfigError, match="at least once; got 0 rounds"):
        bootstrap(bits(), rounds=0)


def test_one_training_over_and_over_keeps_every_edge():
    graph = discovery.mine(bits(), alpha=3)
    found = over_trainings([graph, graph, graph], rounds=10)
    assert set(found.times.tolist()) == {3}
    assert [row["edges"] for row in found.rows()] == [0, 0, len(graph.implications)]
    assert found.rows()[-1]["edges_shuffled"] < len(graph.implications)
    assert f"{len(graph.implications):,} edges of the first training are in all 3 trainings" in found.words()


def test_trainings_are_compared_by_the_first_ones_units():
    own = [bits(300, seed=seed) for seed in range(3)]
    values = [each.to_bool() for each in own]
    order = np.array([0, 1, 4, 2, 3, 5, 6, 7, 8, 9])
    moved = [own[0], *(BitMatrix.from_bool(v[:, order], own[0].nodes) for v in values[1:])]
    same = [BitMatrix.from_bool(values[0][:, order], own[0].nodes)] * 2
    matches = [match_units(own[0], each) for each in same]
    found = over_trainings([discovery.mine(each, alpha=3) for each in moved], matches, rounds=0)
    sets = [edges_of(discovery.mine(each, alpha=3)) for each in own]
    expected = {edge: sum(edge in each for each in sets) for edge in set.union(*sets)}
    size = 2 * len(own[0].nodes)
    assert dict(zip(zip(found.keys // size, found.keys % size, strict=True), found.times, strict=True)) == expected
    assert found.rows()[-1]["edges_shuffled"] is None
    assert found.rows()[-1]["edges"] == sum(times == 3 for times in expected.values())
    frame = found.edges_frame()
    assert len(frame) == len(expected)
    assert frame.in_first.sum() == len(sets[0])
    assert (frame.share == frame.times / 3).all()
    json.dumps(found.to_dict(), allow_nan=False)


def test_networks_are_read_mined_and_matched_in_one_call():
    models = [network(0), network(1), network(0)]
    graphs, matches = trainings(models, loader(300), LAYERS, mining={"alpha": 3})
    mined = [extraction.extract(model, loader(300), LAYERS) for model in models]
    assert graphs == [discovery.mine(one, alpha=3) for one in mined]
    assert (matches[0].partner == match_units(mined[0], mined[1]).partner).all()
    assert (matches[1].agreement == 1).all()
    found = over_trainings(graphs, matches, rounds=5)
    assert found.times[found.first].min() >= 2
    controls, alike = trainings(
        [models[0], *(reinitialised(models[1], seed).model for seed in (1, 2))],
        loader(300),
        LAYERS,
        mining={"alpha": 3},
    )
    beside = over_trainings(graphs, matches, controls=controls[1:], control_matches=alike, rounds=0)
    expected = [row["edges"] for row in over_trainings(controls, alike, rounds=0).rows()]
    assert [row["edges_control"] for row in beside.rows()] == expected
    assert f"matched alike, in the place of all others: {expected[-1]:,}." in beside.words()
    assert [row["edges_control"] for row in found.rows()] == [None] * 3
    with pytest.raises(ConfigError, match="one for each; expected 2, got 1"):
        over_trainings(graphs, matches, controls=controls[1:2], control_matches=alike[:1])
    with pytest.raises(DataError, match="an iterator can be read once"):
        trainings(models, iter(loader(300)), LAYERS)


def test_trainings_that_cannot_be_compared_are_refused():
    graph = discovery.mine(bits(), alpha=3)
    with pytest.raises(ConfigError, match="got 1 graphs and none matchings"):
        over_trainings([graph])
    with pytest.raises(ConfigError, match="got 2 graphs and 2 matchings"):
        over_trainings([graph, graph], [match_units(bits(), bits())] * 2)
    with pytest.raises(GraphError, match="over the same nodes"):
        over_trainings([graph, drawn()])
