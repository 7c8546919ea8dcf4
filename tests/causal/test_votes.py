"""Votes: the signs of a linear network, sparse and whole-number weights, abstention, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

import ndg
from ndg.bits.matrix import BitMatrix
from ndg.causal import Votes, recombine, votes
from ndg.causal.regression import fit
from ndg.errors import ConfigError, DataError, GraphError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace

UNITS, LABELS = 9, 4


class Linear(nn.Module):
    """Sigmoid latents near 0 and 1, and one linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.latent, self.out = nn.Sigmoid(), nn.Linear(UNITS, LABELS)

    def forward(self, x):
        return self.out(self.latent(x))


@pytest.fixture(scope="module")
def network():
    return Linear().eval()


@pytest.fixture(scope="module")
def hybrids(network):
    torch.manual_seed(4)
    x = 30 * torch.randn(1500, UNITS).sign()
    loader = [(x, torch.zeros(len(x), dtype=torch.long))]
    like = ndg.extract(network, loader, ["latent"])
    return [
        recombine(network, loader, "latent", mode, n, like=like) for mode, n in (("mix", 4500), ("independent", 1500))
    ]


@pytest.fixture(scope="module")
def fitted(hybrids):
    return votes(hybrids)


def test_votes_recover_the_signs_of_a_linear_network(network, fitted):
    """Up to what all labels share, which changes no argmax."""
    weights = network.out.weight.detach().numpy()
    relative = weights - weights.mean(axis=0)
    own = fitted.weights - fitted.weights.mean(axis=0)
    strong = np.abs(relative) > 0.08
    assert strong.sum() > 15
    assert (np.sign(own) == np.sign(relative))[strong].all()


def test_votes_predict_what_the_network_does(hybrids, fitted):
    label = hybrids[0].to_bool("label").argmax(axis=1)
    assert (fitted.predict(hybrids[0]) == label).mean() > 0.97
    scores = np.where(hybrids[0].to_bool("latent"), 1.0, -1.0) @ fitted.weights.T + fitted.bias
    np.testing.assert_allclose(fitted.scores(hybrids[0]), scores)
    np.testing.assert_array_equal(fitted.predict(hybrids[0].to_bool("latent")), scores.argmax(axis=1))


def test_the_fit_is_the_minimum_of_the_cross_entropy():
    generator = np.random.default_rng(0)
    signs, label = generator.choice([-1.0, 1.0], (300, 4)), generator.integers(0, 3, 300)

    def loss(flat):
        weights, bias = flat[:12].reshape(3, 4), flat[12:]
        logits = signs @ weights.T + bias
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(300), label])

    def penalised(flat):
        return loss(flat) + 0.01 * np.abs(flat[:12]).sum()

    weights, bias = fit(signs, label, 3, 0.0)
    assert loss(np.append(weights, bias)) == pytest.approx(minimize(loss, np.zeros(15)).fun, abs=1e-6)
    weights, bias = fit(signs, label, 3, 0.01)
    best = penalised(np.append(weights, bias))
    assert (weights == 0).any()
    for _ in range(200):
        assert penalised(np.append(weights, bias) + generator.normal(0, 0.01, 15)) >= best - 1e-9


def test_a_larger_penalty_leaves_fewer_edges_and_each_label_keeps_as_many_as_asked(hybrids):
    assert votes(hybrids, l1=3e-2).edges < votes(hybrids, l1=0.0).edges == UNITS * LABELS
    few = votes(hybrids, per_label=3)
    assert (np.count_nonzero(few.weights, axis=1) == 3).all()
    assert few.edges == 3 * LABELS


def test_whole_weights_lie_from_minus_three_to_three(hybrids, fitted):
    whole = votes(hybrids, integers=True)
    assert set(np.unique(whole.weights)) <= set(range(-3, 4))
    label = hybrids[0].to_bool("label").argmax(axis=1)
    assert (whole.predict(hybrids[0]) == label).mean() > 0.9


def test_below_the_margin_no_label_is_given(hybrids, fitted):
    careful = fitted.abstaining(hybrids[1], 0.8)
    given = careful.predict(hybrids[1])
    assert (given >= 0).mean() == pytest.approx(0.8, abs=0.02)
    label = hybrids[1].to_bool("label").argmax(axis=1)
    assert (given == label)[given >= 0].mean() >= (fitted.predict(hybrids[1]) == label).mean()
    assert (fitted.abstaining(hybrids[1], 1.0).predict(hybrids[1]) >= 0).all()
    with pytest.raises(ConfigError, match="above 0, at most 1; got 0"):
        fitted.abstaining(hybrids[1], 0)


def test_edges_name_the_literal_that_speaks_for_the_label():
    known = Votes("latent", np.array([[2.0, 0.0], [-3.0, 1.0]]), np.zeros(2), 10)
    assert known.rows() == [
        {"literal": "~latent:0", "label": 1, "weight": 3.0},
        {"literal": "latent:0", "label": 0, "weight": 2.0},
        {"literal": "latent:1", "label": 1, "weight": 1.0},
    ]
    graph = known.to_networkx()
    assert graph.edges["~latent:0", "label:1"]["weight"] == 3
    assert known.edges == graph.number_of_edges() == 3
    assert known.words() == "3 votes of 2 of 2 units of latent for 2 labels, fitted to 10 hybrids."
    assert known.predict(np.array([[True, False], [False, False]])).tolist() == [0, 1]


def test_votes_are_the_same_when_read_back_and_damage_is_refused(fitted, hybrids, tmp_path):
    path = fitted.abstaining(hybrids[1], 0.9).save(tmp_path / "votes.json")
    again = Votes.load(path)
    np.testing.assert_array_equal(again.weights, fitted.weights)
    assert again.margin > 0
    text = path.read_text()
    plain = json.loads(text)
    plain["weights"][0][0] += 0.5
    for damaged in (json.dumps(plain), text[:-20], "[]", "{}", text.replace("ndg votes", "others")):
        path.write_text(damaged)
        with pytest.raises(GraphError, match=r"a file that Votes\.save wrote"):
            Votes.load(path)


def test_what_has_no_votes_is_named(hybrids, fitted):
    values = hybrids[0].to_bool()
    nodes = hybrids[0].nodes
    with pytest.raises(ConfigError, match="layer of the hybrids, latent; got 'fc'"):
        votes(hybrids, "fc")
    with pytest.raises(ConfigError, match="at least 1 vote"):
        votes(hybrids, per_label=0)
    with pytest.raises(ConfigError, match="l1 is a number of at least 0"):
        votes(hybrids, l1=-1.0)
    with pytest.raises(DataError, match="got none"):
        votes([])
    fewer = BitMatrix.from_bool(values[:, :-1], NodeSpace(LABELS, (LayerUnits("latent", UNITS - 1),)))
    with pytest.raises(ShapeError, match="the same nodes"):
        votes([hybrids[0], fewer])
    more = np.insert(values, LABELS, False, axis=1)
    with pytest.raises(DataError, match="every label is predicted of some hybrid; 4 of 5"):
        votes(BitMatrix.from_bool(more, NodeSpace(LABELS + 1, nodes.layers)))
    with pytest.raises(ShapeError, match="votes are of 9 units"):
        fitted.predict(np.zeros((2, 5), bool))
    with pytest.raises(ShapeError, match="a bias per label"):
        Votes("latent", np.zeros((2, 3)), np.zeros(3), 1)
