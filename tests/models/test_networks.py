"""Every registered network: its latents, its logits, its seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import config, models
from ndg.activations.compute import forward
from ndg.activations.trace import Trace
from ndg.config import CNN, MLP, ViT
from ndg.errors import ConfigError, ShapeError

SMALL = {
    "mlp": MLP(widths=[20, 10], latent=6, dropout=0.1, latent_noise=0.5),
    "cnn": CNN(channels=[3, 4], width=12, latent=6, dropout=0.1, latent_noise=0.5),
    "vit": ViT(width=8, depth=1, heads=2, mlp=8, latent=6, dropout=0.1, latent_noise=0.5),
}


def numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002  (the global generator is what must not move)


def images(shape, examples=5):
    return torch.rand(examples, *shape, generator=torch.Generator().manual_seed(0))


def test_every_model_of_a_config_can_be_built_and_is_tested_here():
    assert set(models.MODELS) == set(config.MODELS) == set(SMALL)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 10)])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_gives_logits_and_its_latent_layer_one_sigmoid_value_per_unit(name, shape):
    network = models.build(SMALL[name], shape, classes=4, seed=0)
    assert not network.training
    assert isinstance(network.get_submodule(network.latent_layer), nn.Sigmoid)
    with torch.no_grad(), Trace(network, [network.latent_layer]) as trace:
        logits = forward(network, images(shape))
        latents = trace[network.latent_layer]
    assert logits.shape == (5, 4)
    assert latents.shape == (5, 6)
    assert ((latents > 0) & (latents < 1)).all()


@pytest.mark.parametrize("name", SMALL)
def test_the_logits_depend_on_the_input_through_the_latents_alone(name):
    network = models.build(SMALL[name], (1, 8, 8), classes=4, seed=0)
    latent = network.get_submodule(network.latent_layer)
    with torch.no_grad():
        assert not torch.equal(*forward(network, images((1, 8, 8), 2)))
        hook = latent.register_forward_hook(lambda module, inputs, output: torch.full_like(output, 0.25))
        first, second = forward(network, images((1, 8, 8), 2))
        hook.remove()
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", SMALL)
def test_weights_come_from_the_seed_alone_and_global_generators_stay_as_they_were(name):
    torch.manual_seed(123)
    before = torch.get_rng_state(), numpy_state()
    one = models.build(SMALL[name], (1, 8, 8), 4, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]
    torch.manual_seed(321)
    same = models.build(SMALL[name], (1, 8, 8), 4, seed=7).state_dict()
    other = models.build(SMALL[name], (1, 8, 8), 4, seed=8).state_dict()
    assert all(torch.equal(one[key], same[key]) for key in one)
    weights = [key for key in one if one[key].std() > 0]
    assert weights
    assert not any(torch.equal(one[key], other[key]) for key in weights)


@pytest.mark.parametrize("name", SMALL)
def test_noise_and_dropout_act_in_training_alone(name):
    network = models.build(SMALL[name], (1, 8, 8), 4, seed=0)
    inputs = images((1, 8, 8))
    with torch.no_grad():
        assert torch.equal(forward(network, inputs), forward(network, inputs))
        network.train()
        assert not torch.equal(forward(network, inputs), forward(network, inputs))
        calm = models.build(replace(SMALL[name], dropout=0.0, latent_noise=0.0), (1, 8, 8), 4, seed=0).train()
        assert torch.equal(forward(calm, inputs), forward(calm, inputs))


def test_the_cnn_on_mnist_has_the_layers_of_the_paper():
    network = models.build(CNN(), (1, 28, 28), 10, seed=0)
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    encoder = [(32, 1, 3, 3), (64, 32, 3, 3), (128, 9216), (32, 128)]
    assert shapes == [*encoder, (128, 32), (128, 128), (10, 128)]


def test_the_decoder_of_an_mlp_has_the_widths_of_its_encoder_backwards():
    network = models.build(MLP(widths=[20, 10], latent=6), (1, 8, 8), 4, seed=0)
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(20, 64), (10, 20), (6, 10), (10, 6), (20, 10), (4, 20)]


def test_inputs_and_settings_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"images of at least 6 x 6 pixels; got 5 x 9; give model\.channels"):
        models.build(CNN(), (1, 5, 9), 4, seed=0)
    with pytest.raises(ShapeError, match=r"model\.patch must divide height and width; got patches of 3 on 8 x 8"):
        models.build(ViT(patch=3), (1, 8, 8), 4, seed=0)
    with pytest.raises(ShapeError, match=r"model\.heads must divide model\.width; got 5 heads and width 64"):
        models.build(ViT(heads=5), (1, 8, 8), 4, seed=0)
    with pytest.raises(ConfigError, match=r"got 'cmn'; nearest: cnn"):
        models.build(replace(CNN(), name="cmn"), (1, 8, 8), 4, seed=0)
