"""Alignment search finds variables that were planted in rotated directions, and nothing where there is nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import ConfigError, LayerError, ShapeError
from ndg.options import RunOptions
from ndg.rotation.alignment import SearchSettings, best_places, das
from ndg.rotation.basis import Rotation, localist, random_rotation
from ndg.rotation.interchange import Interchanges, interchanged, leading, locate

UNITS = 6


def planted(seed: int = 0) -> tuple[nn.Sequential, np.ndarray]:
    """A network that hides the signs of its first two inputs in two directions that no unit is near.

    Layer 0 is a rotation of the inputs; the rest reads the two directions back, steeply, and tells whether the signs
    are alike.
    """
    turn = torch.tensor(random_rotation("0", UNITS, seed).matrix, dtype=torch.float32)
    model = nn.Sequential(
        nn.Linear(UNITS, UNITS, bias=False), nn.Linear(UNITS, 2, bias=False), nn.Tanh(), nn.Linear(2, 4), nn.ReLU(),
        nn.Linear(4, 2),
    )  # fmt: skip
    with torch.no_grad():
        model[0].weight.copy_(turn.T)
        model[1].weight.copy_(20 * turn[:2])
        model[3].weight.copy_(torch.tensor([[1.0, 1], [-1, -1], [1, -1], [-1, 1]]))  # alike: |a + b|, else |a - b|
        model[3].bias.zero_()
        model[5].weight.copy_(torch.tensor([[0.0, 0, 1, 1], [1, 1, 0, 0]]))
        model[5].bias.zero_()
    return model, turn.numpy()


def pairs(count: int, seed: int) -> Interchanges:
    """Bases and sources with the signs of their first two inputs; one or both signs are taken from the sources."""
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(3, count, UNITS, generator=draw)
    inputs[..., :2] += 0.3 * inputs[..., :2].sign()
    signs = inputs[..., :2] > 0
    which = torch.randint(0, 3, (count,), generator=draw)
    swapped = torch.stack([which != 1, which != 0], dim=1)
    after = torch.where(swapped, torch.stack([signs[1, :, 0], signs[2, :, 1]], dim=1), signs[0])
    labels, own = ((values[:, 0] == values[:, 1]).long() for values in (after, signs[0]))
    return Interchanges(inputs[0], inputs[1:], swapped, labels, own)


@pytest.fixture(scope="module")
def learned():
    model, _ = planted()
    return das(
        model,
        "0",
        pairs(3000, 1),
        [1, 1],
        settings=SearchSettings(steps=300, learning_rate=0.03),
        options=RunOptions(batch=128),
    )


def test_planted_directions_are_found(learned):
    model, turn = planted()
    found = interchanged(locate(model, "0", pairs(2000, 2)), learned, leading([1, 1]))
    assert found.row()["iia_low"] > 0.95
    assert found.row()["moved_iia_low"] > 0.95
    for variable in (0, 1):  # the direction is that of the planted one, up to its sign
        assert abs(turn[variable] @ learned.matrix[:, variable]) > 0.95


def test_no_pair_of_units_does_as_well(learned):
    model, _ = planted()
    validation, held_out = (locate(model, "0", pairs(1000, seed)) for seed in (3, 4))
    places = best_places(validation, localist("0", UNITS), [1, 1])
    best = interchanged(held_out, localist("0", UNITS), places)
    assert best.correct < 0.8 * interchanged(held_out, learned, leading([1, 1])).correct


def test_the_search_over_units_finds_what_trying_all_of_them_finds():
    model, _ = planted(3)
    located, basis = locate(model, "0", pairs(300, 3)), random_rotation("0", UNITS, 8)
    every = [
        interchanged(located, basis, [np.array([i]), np.array([j])]).correct
        for i, j in itertools.permutations(range(UNITS), 2)
    ]
    places = best_places(located, basis, [1, 1], starts=8)
    assert interchanged(located, basis, places).correct == max(every)


def test_in_the_planted_basis_the_search_is_exact():
    model, turn = planted()
    located = locate(model, "0", pairs(500, 3))
    basis = Rotation.about_zero("0", turn.T.astype(np.float64)[:, [3, 1, 2, 0, 4, 5]], "planted")
    places = best_places(located, basis, [1, 1])
    assert [own.tolist() for own in places] == [[3], [1]]
    assert interchanged(located, basis, places).correct == 500


def test_a_search_follows_its_seed_and_leaves_network_and_generator_alone():
    model, _ = planted()
    before = [one.clone() for one in model.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (
        das(model, "0", pairs(200, 1), [1, 1], settings=SearchSettings(steps=3), options=RunOptions(seed=seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(1), expected)
    assert np.array_equal(first.matrix, again.matrix)
    assert not np.allclose(first.matrix, other.matrix)
    np.testing.assert_allclose(first.matrix.T @ first.matrix, np.eye(UNITS), atol=1e-12)
    for one, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(one, old)
        assert one.grad is None
        assert one.requires_grad


def test_swapping_all_coordinates_gives_the_prediction_of_the_source():
    model, _ = planted()
    given = pairs(400, 6)
    source = model(given.sources[0]).argmax(dim=1)
    whole = Interchanges(given.base, given.sources[:1], torch.ones(400, 1, dtype=torch.bool), source, given.base_labels)
    for basis in (localist("0", UNITS), random_rotation("0", UNITS)):
        assert interchanged(locate(model, "0", whole), basis, leading([UNITS])).correct == 400


def test_swapping_nothing_gives_the_prediction_of_the_base():
    model, _ = planted()
    given = pairs(400, 6)
    own = model(given.base).argmax(dim=1)
    nothing = Interchanges(given.base, given.sources, torch.zeros(400, 2, dtype=torch.bool), own, own)
    found = interchanged(locate(model, "0", nothing), random_rotation("0", UNITS), leading([2, 2]), batch=7)
    assert (found.correct, found.moved, found.row()["moved_iia"]) == (400, 0, None)


def test_batches_do_not_change_the_counts(learned):
    model, _ = planted()
    located = locate(model, "0", pairs(150, 7))
    assert len({interchanged(located, learned, leading([1, 1]), batch=size) for size in (1, 7, 150)}) == 1


def test_what_does_not_fit_is_said(learned):
    model, _ = planted()
    given = pairs(20, 1)
    with pytest.raises(ConfigError, match="at most the 6 of '0'"):
        das(model, "0", given, [4, 3], settings=SearchSettings(steps=1))
    with pytest.raises(ConfigError, match="each of 2 variables"):
        das(model, "0", given, [2], settings=SearchSettings(steps=1))
    with pytest.raises(ConfigError, match="needs steps, pairs and a rate above 0"):
        das(model, "0", given, [1, 1], settings=SearchSettings(steps=0))
    with pytest.raises(LayerError, match="no layer 'latent'"):
        das(model, "latent", given, [1, 1], settings=SearchSettings(steps=1))
    with pytest.raises(ShapeError, match="must be used where it was fitted"):
        interchanged(locate(model, "1", given), learned, leading([1, 1]))
    with pytest.raises(ConfigError, match="needs coordinates of its own"):
        interchanged(locate(model, "0", given), learned, [np.array([0]), np.array([0])])
    with pytest.raises(ShapeError, match="a source of the base's shape"):
        Interchanges(given.base, given.sources[:1], given.swapped, given.labels, given.base_labels)
