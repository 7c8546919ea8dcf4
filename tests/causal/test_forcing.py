"""Effects of forcing: one by one by hand, beside factorial effects; signs of votes; prototype orders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.bits.matrix import BitMatrix
from ndg.causal import ForcingSettings, SetSettings, effects, forced_effects, recombine, sufficient_sets, votes
from ndg.causal.control_sets import set_controls
from ndg.errors import ConfigError, GraphError
from ndg.interventions.prototypes import ClassCounts, ranked
from ndg.nodes import LayerUnits, NodeSpace


@pytest.fixture(scope="module")
def loader():
    torch.manual_seed(1)
    return [(4 * torch.randn(120, 5), torch.zeros(120, dtype=torch.long))]


@pytest.fixture(scope="module")
def network(loader):
    """A network that predicts every class of some examples."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 3)).eval()
    with torch.no_grad():
        model[4].bias.sub_(model(loader[0][0]).mean(dim=0))
    return model


@pytest.fixture(scope="module")
def mined(network, loader):
    bits = ndg.extract(network, loader, ["1", "2"])
    return bits, ndg.mine(bits, "paper", alpha=2)


@pytest.fixture(scope="module")
def found(network, loader, mined):
    bits, _ = mined
    return effects(recombine(network, loader, "1", "independent", 6000, like=bits), observed=bits)


def test_forced_effects_are_those_of_one_unit_at_a_time(network, loader, mined, found):
    forced = forced_effects(network, mined[1], loader, loader, found, settings=ForcingSettings(values="boolean"))
    with torch.no_grad():
        latent = network[:2](loader[0][0])
        for unit in range(8):
            sides = []
            for value in (0.0, 1.0):
                changed = latent.clone()
                changed[:, unit] = value
                hidden = network[2](changed)
                logits = network[4](network[3](hidden))
                label = torch.nn.functional.one_hot(logits.argmax(dim=1), 3).bool()
                sides.append(
                    (
                        torch.hstack([label, hidden > 0]).double().mean(0),
                        (logits - logits.mean(1, True)).double().mean(0),
                    )
                )
            np.testing.assert_allclose(forced.effect[unit], (sides[1][0] - sides[0][0]).numpy(), atol=1e-12)
            np.testing.assert_allclose(forced.logits[unit], (sides[1][1] - sides[0][1]).numpy(), atol=1e-5)
    assert forced.n == 120
    assert forced.correlation > 0.9
    assert "correlation 0." in forced.words()


def test_some_units_on_some_examples(network, loader, mined, found):
    whole = forced_effects(network, mined[1], loader, loader, found)
    some = forced_effects(network, mined[1], loader, loader, found, settings=ForcingSettings([3, 1]))
    np.testing.assert_array_equal(some.effect, whole.effect[[3, 1]])
    few = forced_effects(network, mined[1], loader, loader, found, settings=ForcingSettings([0], examples=17))
    assert few.n == 17
    assert len(few.frame()) == len(few.later) == 12


def test_votes_have_the_sign_of_the_effect_on_their_logit(network, loader, mined, found):
    bits, graph = mined
    fitted = votes([recombine(network, loader, "1", mode, 3000, like=bits) for mode in ("mix", "independent")])
    forced = forced_effects(network, graph, loader, loader, found)
    right, of, low, high = forced.sign_survival(fitted)
    signs = np.sign(fitted.weights.T) == np.sign(forced.logits)
    strongest = np.argsort(-np.abs(fitted.weights.T).reshape(-1))[:of]
    assert of == fitted.edges // 2
    assert right == signs.reshape(-1)[strongest].sum()
    assert 0.8 < low < right / of <= high or right == of


def test_prototype_orders_by_hand():
    label = np.array([True] * 10 + [False] * 10)
    on = np.zeros((20, 3), bool)
    on[:9, 0] = True  # 9 of 10 in the class, none elsewhere
    on[:, 1] = True  # always on
    on[10:15, 2] = True  # never in the class, half elsewhere
    bits = BitMatrix.from_bool(np.hstack([label[:, None], ~label[:, None], on]), NodeSpace(2, (LayerUnits("a", 3),)))
    orders = ranked(ClassCounts.of(ndg.mine(bits, alpha=1.5), "a"))
    assert {name: np.argsort(order.place[0]).tolist() for name, order in orders.items()} == {
        "surest": [1, 2, 0],
        "contrast": [0, 2, 1],
        "log_odds": [0, 2, 1],
    }
    assert orders["contrast"].values[0].tolist() == orders["log_odds"].values[0].tolist() == [True, False, False]
    assert orders["surest"].values[0].tolist() == [True, True, False]


def test_sets_beside_prototypes_are_counted_one_by_one(network, loader, mined, found):
    bits, graph = mined
    settings = SetSettings(at_most=3, examples=60, whole=True, values="boolean")
    sets = sufficient_sets(network, graph, loader, loader, found, ["label:0", "label:2"], settings=settings)
    table = set_controls(network, graph, loader, loader, sets)
    orders, label = ranked(ClassCounts.of(graph, "1")), bits.to_bool("label").argmax(axis=1)
    before, aligned = bits.to_bool("1"), {}
    for each, target in zip(sets.sets, (0, 2), strict=True):
        literals = [graph.nodes.literal(member) for member in each.members]
        units = [literal.node - graph.nodes.labels for literal in literals]
        for example in np.flatnonzero(label != target):
            ways = {("sufficient sets", "equal size"): (units, [literal.value for literal in literals])}
            changes = sum(before[example, unit] != literal.value for unit, literal in zip(units, literals, strict=True))
            for name, order in orders.items():
                first = np.argsort(order.place[target]).tolist()
                until, flips = [], 0
                for unit in first:
                    if flips == changes:
                        break
                    until.append(unit)
                    flips += before[example, unit] != order.values[target, unit]
                ways[name, "equal size"] = (first[:3], order.values[target, first[:3]])
                ways[name, "equal changes"] = (until, order.values[target, until])
            for way, (chosen, values) in ways.items():
                latent = network[:2](loader[0][0][example]).detach()
                latent[chosen] = torch.tensor(np.array(values), dtype=torch.float)
                aligned.setdefault(way, []).append((example, int(network[2:](latent).argmax() == target), len(chosen)))
    own = aligned["sufficient sets", "equal size"]
    for row in table.table:
        way = aligned[row.name, row.equal]
        assert row.aligned == (sum(turned for _, turned, _ in way), len(way))
        assert row.members == pytest.approx(np.mean([size for *_, size in way]))
        if row.name == "sufficient sets":
            assert row.lead is None
            continue
        assert row.lead == pytest.approx((sum(turned for _, turned, _ in own) - row.aligned[0]) / len(way))
        leads, tries = np.zeros(120), np.zeros(120)
        for (example, mine, _), (_, other, _) in zip(own, way, strict=True):
            leads[example] += mine - other
            tries[example] += 1
        error = 1.96 * np.sqrt(((leads - row.lead * tries) ** 2).sum()) / len(way)
        assert row.lead_interval == pytest.approx((row.lead - error, row.lead + error))
    assert table.best().aligned[0] == max(row.aligned[0] for row in table.table[1:4])
    sized = table.table[0].changed
    assert all(row.changed <= sized + 1e-9 for row in table.table if row.equal == "equal changes")


def test_prototypes_are_controls_of_sets_of_labels_alone(network, loader, mined, found):
    hidden = sufficient_sets(network, mined[1], loader, loader, found, ["2:0"], settings=SetSettings(examples=20))
    with pytest.raises(ConfigError, match="sets of labels; got sets of 2:0; find sets of label:0"):
        set_controls(network, mined[1], loader, loader, hidden)


def test_what_cannot_be_forced_is_named(network, loader, mined, found):
    with pytest.raises(ConfigError, match="at least 1 example"):
        ForcingSettings(examples=0)
    other = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 3))
    with pytest.raises(GraphError, match="the network that it was mined from"):
        forced_effects(other, mined[1], loader, loader, found)
