"""Interchange accuracy: hybrids on booleans by hand, control votes by hand, rows and intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.activations.sampling import Subset
from ndg.bits.matrix import BitMatrix
from ndg.causal import AccuracySettings, Votes, interchange_accuracy
from ndg.causal.accuracy import BITS, CROSSED, FITTED, OWN_RANDOM, SHUFFLED, WITHOUT_INTERVENTION
from ndg.causal.control_votes import hamming, mean_gradient, naive_bayes, shuffled
from ndg.causal.later import reinitialised_rest
from ndg.causal.recombination import givers, hybrids, mixed
from ndg.errors import ConfigError, DataError, LayerError
from ndg.nodes import LayerUnits, NodeSpace

EXAMPLES, PAIRS = 90, 130


@pytest.fixture(scope="module")
def loader():
    torch.manual_seed(1)
    return [(4 * torch.randn(EXAMPLES, 5), torch.zeros(EXAMPLES, dtype=torch.long))]


@pytest.fixture(scope="module")
def network(loader):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 3)).eval()
    with torch.no_grad():
        model[4].bias.sub_(model(loader[0][0]).mean(dim=0))
    return model


def test_hybrids_have_the_labels_of_base_source_and_outcome_also_on_the_bits(network, loader):
    bits = ndg.extract(network, loader, ["1"])
    numbers = np.arange(PAIRS)
    with torch.no_grad():
        latent = network[:2](loader[0][0])
        label = network[2:](latent).argmax(dim=1).numpy()
        base, source = numbers % EXAMPLES, givers(0, numbers, EXAMPLES, 1)[:, 0]
        mix = torch.where(torch.from_numpy(mixed(0, numbers, 8)), latent[source], latent[base])
        outcomes = {False: network[2:](mix), True: network[2:]((mix > 0.5).float())}
    for on_bits, logits in outcomes.items():
        for batch in (32, 90, 256):
            options = ndg.RunOptions(batch=batch)
            found = hybrids(
                network, loader, "1", n=PAIRS, like=bits, options=options, written=loader if on_bits else None
            )
            np.testing.assert_array_equal(found.label, logits.argmax(dim=1).numpy())
            np.testing.assert_array_equal(found.base, label[base])
            np.testing.assert_array_equal(found.source, label[source])
            np.testing.assert_array_equal(found.number, base)
            np.testing.assert_array_equal(found.bits.to_bool("1"), (mix > 0.5).numpy())


def test_hybrids_of_drawn_examples_are_those_of_the_same_examples_in_a_loader(network, loader):
    numbers = np.arange(3, 90, 4)
    some, plain = Subset(loader, numbers), [tuple(column[numbers] for column in loader[0])]
    bits = ndg.extract(network, loader, ["1"])
    for n in (9, 60):
        first, second = (hybrids(network, each, "1", n=n, like=bits) for each in (some, plain))
        assert first.bits == second.bits
        np.testing.assert_array_equal(first.base, second.base)
        np.testing.assert_array_equal(first.number, second.number)


def test_what_is_written_for_the_bits_comes_from_the_examples_that_are_passed(loader):
    """Means of a ReLU layer on the training examples, never on those that are judged."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    bits = ndg.extract(model, loader, ["1"])
    train = [(4 * torch.randn(70, 5, generator=torch.Generator().manual_seed(9)), torch.zeros(70, dtype=torch.long))]
    numbers = np.arange(EXAMPLES)
    with torch.no_grad():
        fitted, latent = model[:2](train[0][0]), model[:2](loader[0][0])
        on = torch.stack([fitted[fitted[:, unit] > 0, unit].mean() for unit in range(8)])
        source = givers(0, numbers, EXAMPLES, 1)[:, 0]
        mix = torch.where(torch.from_numpy(mixed(0, numbers, 8)), latent[source], latent)
        expected = model[2]((mix > 0) * on).argmax(dim=1).numpy()
    found = hybrids(model, loader, "1", n=EXAMPLES, like=bits, written=train)
    np.testing.assert_array_equal(found.label, expected)


def test_prototype_votes_by_hand():
    label = np.array([0, 0, 0, 1, 1])
    on = np.array([[1, 0], [1, 0], [0, 0], [0, 1], [0, 1]], bool)
    values = np.hstack([np.eye(2, dtype=bool)[label], on])
    bits = BitMatrix.from_bool(values, NodeSpace(2, (LayerUnits("a", 2),)))
    assert hamming(bits, "a").weights.tolist() == [[1, -1], [-1, 1]]
    bayes = naive_bayes(bits, "a")
    rates = np.array([[3 / 5, 1 / 5], [1 / 4, 3 / 4]])
    for setting in ([0, 0], [0, 1], [1, 0], [1, 1]):
        chance = np.prod(np.where(setting, rates, 1 - rates), axis=1) * np.array([4, 3])
        scores = bayes.scores(np.array([setting], bool))[0]
        assert scores[0] - scores[1] == pytest.approx(np.log(chance[0] / chance[1]))


def test_mean_gradient_votes_of_a_linear_rest_are_its_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Sigmoid(), nn.Linear(6, 3)).eval()
    x = 30 * torch.randn(80, 5)
    loader = [(x, torch.zeros(80, dtype=torch.long))]
    bits = ndg.extract(model, loader, ["1"])
    found = mean_gradient(model, loader, bits, "1", ndg.RunOptions(batch=32))
    with torch.no_grad():
        latent = model[:2](x)
    on = bits.to_bool("1")
    half = [(latent[on[:, unit], unit].mean() - latent[~on[:, unit], unit].mean()) / 2 for unit in range(6)]
    np.testing.assert_allclose(found.weights, (model[2].weight.detach() * torch.stack(half)).numpy(), rtol=1e-4)
    assert (found.predict(bits) == bits.to_bool("label").argmax(axis=1)).mean() > 0.9


def test_shuffled_votes_have_the_weights_of_other_units():
    votes = Votes("a", np.arange(12.0).reshape(2, 6), np.zeros(2), 5)
    other = shuffled(votes, 1)
    assert sorted(other.weights[0].tolist()) == votes.weights[0].tolist()
    assert (other.weights != votes.weights).any()
    np.testing.assert_array_equal(other.weights[1] - other.weights[0], np.full(6, 6.0))


def test_only_the_rest_is_drawn_anew(network, loader):
    fresh = reinitialised_rest(network, loader, "1", 0)
    assert torch.equal(fresh[0].weight, network[0].weight)
    assert not torch.equal(fresh[2].weight, network[2].weight)
    assert not torch.equal(fresh[4].weight, network[4].weight)
    with pytest.raises(LayerError, match="nothing after '4' has"):
        reinitialised_rest(network, loader, "4", 0)


def test_the_table_has_the_votes_and_every_control(network, loader):
    settings = AccuracySettings(fit=1500, pairs=400)
    found = interchange_accuracy(network, loader, loader, loader, "1", settings=settings)
    assert [row.name for row in found.table] == [FITTED, *WITHOUT_INTERVENTION, SHUFFLED, BITS, OWN_RANDOM, CROSSED]
    own = found[FITTED]
    for row in found.table:
        assert 0 <= row.interval[0] <= row.right[0] / row.right[1] <= row.interval[1] <= 1
        if row.lead is not None:
            assert row.right[1] == own.right[1]
            assert row.lead == pytest.approx((own.right[0] - row.right[0]) / own.right[1])
            assert row.lead_interval[0] <= row.lead <= row.lead_interval[1]
    constant = found["constant base"].right[0] + found["constant source"].right[0] + own.neither[1]
    assert constant == own.right[1]
    assert found["constant base"].neither[0] == 0
    assert own.right[0] / own.right[1] > found[SHUFFLED].right[0] / found[SHUFFLED].right[1]
    assert own.coverage == pytest.approx(0.8, abs=0.1)
    assert found.best_control.name in WITHOUT_INTERVENTION
    assert found.best_control.name in found.words()
    assert len(found.frame()) == len(found.table)


def test_what_has_no_accuracy_is_named(network):
    with pytest.raises(ConfigError, match="4 hybrids at least"):
        AccuracySettings(fit=3)
    x = torch.zeros(9, 5)
    same = [(x, torch.zeros(9, dtype=torch.long))]
    with pytest.raises(DataError, match=r"every label is predicted|different labels"):
        interchange_accuracy(network, same, same, same, "1", settings=AccuracySettings(fit=40, pairs=20))
