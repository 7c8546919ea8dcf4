"""A rotated network is the same function, and its coordinates are an ordinary layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ndg.activations.batches import fixed, forward
from ndg.activations.hooks import Overwrite, Trace
from ndg.errors import DataError, LayerError, ShapeError
from ndg.extraction import ReadingSettings, extract
from ndg.interventions.replay import Replay
from ndg.rotation.basis import Rotation, localist, random_rotation
from ndg.rotation.principal import outputs, pca
from tests.activations.networks import drawn, made

INPUTS, UNITS = 8, 6


class Inner(nn.Module):
    """A layer inside another module, which returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(INPUTS, UNITS)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
        return self.dense(x).tanh(), "more"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"inner": Inner()})
        self.out = nn.Linear(UNITS, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.body["inner"](x)[0])


NETWORKS = {
    "1": lambda: nn.Sequential(nn.Linear(INPUTS, UNITS), nn.Sigmoid(), nn.Linear(UNITS, 3)),
    "body.inner.dense": Net,
    "body.inner": Net,
}


@pytest.fixture(params=NETWORKS)
def case(request):
    return made(NETWORKS[request.param]), request.param


def test_the_function_stays_to_the_bit_and_the_caller_network_is_untouched(case):
    model, layer = case
    inputs, names = drawn(9, INPUTS), [name for name, _ in model.named_modules()]
    turned = random_rotation(layer, UNITS, seed=3).apply(model)
    with fixed(model), fixed(turned):
        assert torch.equal(forward(model, inputs), forward(turned, inputs))
        with Overwrite(turned, f"{layer}.rotated", torch.clone):  # an intervention that changes nothing
            assert torch.equal(forward(model, inputs), forward(turned, inputs))
    assert [name for name, _ in model.named_modules()] == names


def test_whole_coordinates_that_are_written_decide_what_the_layer_gives(case):
    """Coordinates of other examples, written, make the network predict what it predicts of those."""
    model, layer = case
    rotation = pca(model, [drawn(40, INPUTS)], layer)
    turned, here, there = rotation.apply(model), drawn(9, INPUTS), drawn(9, INPUTS, seed=2)
    with fixed(turned):
        with Trace(turned, [rotation.path]) as trace:
            expected = forward(turned, there)
            coordinates = trace[rotation.path]
        with Overwrite(turned, rotation.path, lambda output: coordinates):
            torch.testing.assert_close(forward(turned, here), expected, atol=1e-5, rtol=0)


def test_coordinates_are_those_of_the_definition(case):
    model, layer = case
    inputs = drawn(30, INPUTS)
    rotation = pca(model, [inputs], layer)
    expected = (outputs(model, [inputs], layer) - rotation.mean) @ rotation.matrix
    np.testing.assert_allclose(outputs(rotation.apply(model), [inputs], rotation.path), expected, atol=1e-5)
    np.testing.assert_allclose(expected.mean(axis=0), 0, atol=1e-7)


def test_a_localist_basis_is_the_layer_itself():
    model, inputs = made(NETWORKS["1"]), drawn(50, INPUTS)
    rotation = localist("1", UNITS)
    own = extract(model, [inputs], ["1"], settings=ReadingSettings(binarizer="median"))
    turned = extract(rotation.apply(model), [inputs], [rotation.path], settings=ReadingSettings(binarizer="median"))
    assert np.array_equal(own.to_bool(), turned.to_bool())


def test_replayed_passes_of_a_rotated_network_are_those_of_the_whole():
    rotation = random_rotation("1", UNITS)
    turned, inputs = rotation.apply(made(NETWORKS["1"])), drawn(8, INPUTS)
    replay = Replay(turned, [rotation.path])
    with fixed(turned):
        with replay.recording():
            forward(turned, inputs)
        with Overwrite(turned, rotation.path, torch.relu):
            expected = forward(turned, inputs)
            with replay.replaying():
                assert torch.equal(forward(turned, torch.zeros_like(inputs)), expected)


def test_principal_components_are_orthogonal_uncorrelated_and_ordered():
    model, inputs = made(NETWORKS["1"]), drawn(200, INPUTS)
    rotation = pca(model, [inputs], "1")
    np.testing.assert_allclose(rotation.matrix.T @ rotation.matrix, np.eye(UNITS), atol=1e-12)
    covariance = np.cov((outputs(model, [inputs], "1") - rotation.mean) @ rotation.matrix, rowvar=False)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-12)
    assert (np.diff(np.diag(covariance)) <= 0).all()
    assert (rotation.matrix[np.abs(rotation.matrix).argmax(axis=0), np.arange(UNITS)] > 0).all()


def test_principal_components_do_not_depend_on_batches_and_read_what_they_are_given_alone():
    model, inputs = made(NETWORKS["1"]), drawn(70, INPUTS)
    whole = pca(model, [inputs], "1")
    again = pca(model, list(inputs.split(7)), "1")
    assert np.array_equal(whole.matrix, again.matrix)
    assert np.array_equal(whole.mean, outputs(model, [inputs], "1").mean(axis=0))
    assert not np.allclose(whole.matrix, pca(model, [inputs[:40]], "1").matrix)


def test_random_rotations_are_orthogonal_and_follow_their_seed():
    matrix = random_rotation("1", 20, seed=1).matrix
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(20), atol=1e-12)
    assert np.array_equal(matrix, random_rotation("1", 20, seed=1).matrix)
    assert not np.allclose(matrix, random_rotation("1", 20, seed=2).matrix)


def test_what_does_not_fit_is_said():
    model = made(NETWORKS["1"])
    with pytest.raises(ShapeError, match="columns of a rotation must be orthonormal"):
        Rotation.about_zero("1", np.ones((3, 3)), "mine")
    with pytest.raises(ShapeError, match="must be 3 by 3"):
        Rotation.about_zero("1", np.eye(3)[:, :2], "mine")
    with pytest.raises(LayerError, match="no layer 'latent'"):
        random_rotation("latent", UNITS).apply(model)
    with pytest.raises(LayerError, match="it has 5 units, '1' gives 6"):
        forward(random_rotation("1", 5).apply(model), drawn(2, INPUTS))
    with pytest.raises(DataError, match="at least 1 example"):
        pca(model, [], "1")
    conv = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(6, 2))
    with pytest.raises(LayerError, match="one value per unit"):
        pca(conv, [drawn(3, 1, 4)], "0")
