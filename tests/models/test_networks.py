"""Every registered network: latents, logits, seed, and use by the toolkit."""

from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import ndg
from ndg import config, models
from ndg.activations.batches import forward
from ndg.activations.hooks import Trace
from ndg.config import CNN, GRU, LSTM, MLP, Bert, DistilBert, ResNet, Roberta, TransFG, ViT
from ndg.data.inputs import IMAGE, TABLE, TEXT, Form
from ndg.errors import ConfigError, ShapeError

OPTIONS = ndg.RunOptions(batch=16)

NOISE = {"latent": 6, "dropout": 0.1, "latent_noise": 0.5}
TINY = {"width": 8, "depth": 1, "heads": 2, "mlp": 8, **NOISE}
CELL = {"embedding": 5, "width": 6, **NOISE}
SMALL = {
    "mlp": MLP(widths=[20, 10], **NOISE),
    "cnn": CNN(channels=[3, 4], width=12, **NOISE),
    "resnet": ResNet(width=3, blocks=[1, 2], dropout=0.1),
    "vit": ViT(**TINY),
    "transfg": TransFG(patch=4, stride=2, **{**TINY, "depth": 3}),
    "bert": Bert(**TINY),
    "roberta": Roberta(**TINY),
    "distilbert": DistilBert(**TINY),
    "lstm": LSTM(**CELL, depth=2),
    "gru": GRU(**CELL, bidirectional=False),
}
IMAGES = [Form.of((1, 8, 8)), Form.of((3, 12, 10))]
TEXTS = [Form(TEXT, (9,), 40, 0), Form(TEXT, (7,), 30, 1, 2)]
FORMS = {name: TEXTS if TEXT in models.MODELS[name].kinds else IMAGES for name in SMALL}
NO_SIGMOID = {"resnet": 6}
"""Networks whose latent layer is something else, with the number of its units."""


def numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002  (the global generator is what must not move)


def examples(form, count=5, seed=0):
    """Images, or texts of all lengths, as a loader gives them."""
    generator = torch.Generator().manual_seed(seed)
    if form.kind != TEXT:
        return torch.rand(count, *form.shape, generator=generator)
    most = form.shape[0]
    mask = torch.arange(most) < (2 + torch.arange(count) % (most - 1))[:, None]
    ids = torch.randint(2, form.vocabulary, (count, most), generator=generator)
    columns = {"input_ids": torch.where(mask, ids, form.padding), "attention_mask": mask.long()}
    if form.sentences == 2:
        columns["token_type_ids"] = (mask & (torch.arange(most) > 1)).long()
    return columns


def images(shape, count=5):
    return examples(Form.of(shape), count)


def calm(settings):
    return replace(settings, **{key: 0.0 for key in ("dropout", "latent_noise") if hasattr(settings, key)})


def test_every_model_of_a_config_can_be_built_and_is_tested_here():
    assert set(models.MODELS) == set(config.MODELS) == set(SMALL)


TITLES = {
    "mlp": "dense network of widths 20-10 with 6 sigmoid latents",
    "cnn": "convolutional network after Hu & Tian 2022: convolutions 3-4, dense 12, 6 sigmoid latents",
    "resnet": "residual network of 1-2 blocks (He et al. 2016) with a 3 x 3 stem, width 3",
    "vit": "vision transformer (Dosovitskiy et al. 2021), without selection of parts, patches of 2; "
    "head of 6 sigmoid latents, from scratch",
    "transfg": "TransFG (He et al. 2022): part selection, patches of 4 at stride 2, contrastive loss 1; "
    "head of 6 sigmoid latents, from scratch",
    "bert": "BERT (Devlin et al. 2019) of 1 layer; head of 6 sigmoid latents on the first token, from scratch",
    "roberta": "RoBERTa (Liu et al. 2019) of 1 layer; head of 6 sigmoid latents on the first token, from scratch",
    "distilbert": "DistilBERT (Sanh et al. 2019) of 1 layer; head of 6 sigmoid latents on the first token, "
    "from scratch",
    "lstm": "bidirectional LSTM (Hochreiter & Schmidhuber 1997) of 2 layers, width 6, with 6 sigmoid latents",
    "gru": "GRU (Cho et al. 2014) of 1 layer, width 6, with 6 sigmoid latents",
}


@pytest.mark.parametrize("name", SMALL)
def test_a_network_says_what_it_is(name):
    assert models.build(SMALL[name], FORMS[name][0], 4, seed=0).title == TITLES[name]


def test_networks_of_papers_are_called_so_with_their_own_sizes_alone():
    image = Form.of((1, 28, 28))
    assert models.build(CNN(), image, 10, seed=0).title.startswith("CNN of Hu & Tian 2022: convolutions 32-64")
    assert models.build(CNN(width=64), image, 10, seed=0).title.startswith("convolutional network after Hu & Tian")
    assert models.build(ResNet(width=4), image, 10, seed=0).title.startswith("ResNet-18 (He et al. 2016)")
    thin = models.build(ResNet(width=2, blocks=[3, 4, 6, 3]), image, 10, seed=0)
    assert thin.title == "ResNet-34 (He et al. 2016) with a 3 x 3 stem, width 2"


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_gives_logits_and_its_latent_layer_one_sigmoid_value_per_unit(name, which):
    form = FORMS[name][which]
    network = models.build(SMALL[name], form, classes=4, seed=0)
    assert not network.training
    assert isinstance(network.get_submodule(network.latent_layer), nn.Sigmoid) != (name in NO_SIGMOID)
    with torch.no_grad(), Trace(network, [network.latent_layer, network.second_layer]) as trace:
        logits = forward(network, examples(form))
        latents, second = trace[network.latent_layer], trace[network.second_layer]
    assert logits.shape == (5, 4)
    assert latents.shape == (5, NO_SIGMOID.get(name, 6))
    assert ((latents >= 0) & (latents < (np.inf if name in NO_SIGMOID else 1))).all()
    assert len(second) == 5
    assert network.second_layer != network.latent_layer


@pytest.mark.parametrize("name", SMALL)
def test_the_logits_depend_on_the_input_through_the_latents_alone(name):
    form = FORMS[name][0]
    network = models.build(SMALL[name], form, classes=4, seed=0)
    latent = network.get_submodule(network.latent_layer)
    with torch.no_grad():
        assert not torch.equal(*forward(network, examples(form, 2)))
        hook = latent.register_forward_hook(lambda module, inputs, output: torch.full_like(output, 0.25))
        first, second = forward(network, examples(form, 2))
        hook.remove()
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", SMALL)
def test_weights_come_from_the_seed_alone_and_global_generators_stay_as_they_were(name):
    form = FORMS[name][0]
    torch.manual_seed(123)
    before = torch.get_rng_state(), numpy_state()
    one = models.build(SMALL[name], form, 4, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]
    torch.manual_seed(321)
    same = models.build(SMALL[name], form, 4, seed=7).state_dict()
    other = models.build(SMALL[name], form, 4, seed=8).state_dict()
    assert all(torch.equal(one[key], same[key]) for key in one)
    weights = [key for key in one if one[key].is_floating_point() and one[key].numel() > 1 and one[key].std() > 0]
    assert weights
    assert not any(torch.equal(one[key], other[key]) for key in weights)


@pytest.mark.parametrize("name", SMALL)
def test_weights_can_be_written_as_they_are(name):
    state = models.build(SMALL[name], FORMS[name][0], 4, seed=0).state_dict()
    assert safetensors.torch.load(safetensors.torch.save(state)).keys() == state.keys()  # shared tensors are refused


@pytest.mark.parametrize("name", SMALL)
def test_noise_and_dropout_act_in_training_alone(name):
    form = FORMS[name][0]
    network = models.build(SMALL[name], form, 4, seed=0)
    inputs = examples(form)
    with torch.no_grad():
        assert torch.equal(forward(network, inputs), forward(network, inputs))
        network.train()
        assert not torch.equal(forward(network, inputs), forward(network, inputs))
        still = models.build(calm(SMALL[name]), form, 4, seed=0).train()
        assert torch.equal(forward(still, inputs), forward(still, inputs))


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_training_moves_every_weight(name):
    form = FORMS[name][1]
    network = models.build(calm(SMALL[name]), form, 4, seed=0).train()
    before = {key: weight.detach().clone() for key, weight in network.named_parameters()}
    inputs, labels = examples(form, 12), torch.arange(12) % 4
    output = network(**inputs) if isinstance(inputs, dict) else network(inputs)
    loss = nn.functional.cross_entropy(output[0] if isinstance(output, tuple) else output, labels)
    if hasattr(network, "extra_loss"):
        loss = loss + network.extra_loss(output, labels)
    loss.backward()
    torch.optim.SGD(network.parameters(), lr=1.0).step()
    # what is added to all keys of an attention alike changes no map, and its gradient is rounding
    still = [key for key, weight in network.named_parameters() if torch.equal(weight, before[key])]
    assert not [key for key in still if "k_" not in key and "key" not in key]


@pytest.mark.parametrize("name", SMALL)
def test_mixed_precision_gives_about_the_same_loss_and_gradients_that_are_numbers(name):
    form = FORMS[name][0]
    network = models.build(calm(SMALL[name]), form, 4, seed=0).train()
    inputs, labels = examples(form, 12), torch.arange(12) % 4
    losses = []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            output = network(**inputs) if isinstance(inputs, dict) else network(inputs)
            loss = nn.functional.cross_entropy(output[0] if isinstance(output, tuple) else output, labels)
            if hasattr(network, "extra_loss"):
                loss = loss + network.extra_loss(output, labels)
        losses.append(float(loss.detach()))
    loss.backward()
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_bits_scores_and_trials_at_the_latents_are_those_of_any_batch_size(name):
    form = FORMS[name][0]
    network = models.build(SMALL[name], form, classes=3, seed=1)
    layers = [network.latent_layer, network.second_layer]
    inputs, labels = examples(form, 41), torch.arange(41) % 3

    def loader(size):
        rows = [slice(start, start + size) for start in range(0, 41, size)]
        pick = (lambda row: {key: c[row] for key, c in inputs.items()}) if form.kind == TEXT else inputs.__getitem__
        return [(pick(row), labels[row]) for row in rows]

    bits = ndg.extract(network, loader(41), layers=layers, options=OPTIONS)
    assert bits == ndg.extract(network, loader(5), layers=layers, options=OPTIONS)
    scores = [ndg.score(network, loader(size), options=OPTIONS) for size in (41, 5)]
    assert np.array_equal(scores[0][network.latent_layer], scores[1][network.latent_layer])
    assert scores[0][network.latent_layer].max() > 0
    graph = ndg.mine(
        ndg.extract(network, loader(41), settings=ndg.ReadingSettings(binarizer="median"), options=OPTIONS), alpha=2
    )
    options = ndg.RunOptions(batch=16, executor="serial")
    tallies = [ndg.trial(network, graph, loader(size), fit=loader(41), options=options).controls for size in (41, 5)]
    assert tallies[0] == tallies[1]


@pytest.mark.parametrize("name", SMALL)
def test_conductance_follows_pixels_and_embeddings(name):
    form = FORMS[name][0]
    network = models.build(SMALL[name], form, classes=3, seed=1)
    found = ndg.score(network, [examples(form, 6)], method="conductance", settings=ndg.ScoreSettings(n_steps=2))
    assert np.isfinite(found[network.latent_layer]).all()
    assert np.abs(found[network.latent_layer]).max() > 0


@pytest.mark.parametrize("name", [name for name, settings in SMALL.items() if hasattr(settings, "head")])
def test_other_heads_have_relus_or_the_state_itself_as_latents(name):
    form = FORMS[name][0]
    relu = models.build(replace(SMALL[name], head="relu"), form, 4, seed=0)
    assert isinstance(relu.get_submodule(relu.latent_layer), nn.ReLU)
    linear = models.build(replace(SMALL[name], head="linear"), form, 4, seed=0)
    with torch.no_grad(), Trace(linear, [linear.latent_layer]) as trace:
        logits = forward(linear, examples(form))
        latents = trace[linear.latent_layer]
    last = linear.get_submodule(linear.latent_layer.rpartition(".")[0]).decoder
    assert latents.shape == (5, 8)
    assert torch.equal(last(latents), logits)


def test_a_network_is_told_which_kinds_of_inputs_it_takes():
    with pytest.raises(ConfigError, match=r"model\.name=bert takes text inputs; the data give image inputs"):
        models.build(Bert(), (1, 8, 8), 4, seed=0)
    with pytest.raises(ConfigError, match=r"model\.name=resnet takes image inputs; the data give text inputs"):
        models.build(ResNet(), TEXTS[0], 4, seed=0)
    assert {kind for network in models.MODELS.values() for kind in network.kinds} == {IMAGE, TABLE, TEXT}


def test_the_cnn_on_mnist_has_the_layers_of_the_paper():
    network = models.build(CNN(), (1, 28, 28), 10, seed=0)
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    encoder = [(32, 1, 3, 3), (64, 32, 3, 3), (128, 9216), (32, 128)]
    assert shapes == [*encoder, (128, 32), (128, 128), (10, 128)]
    biases = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("bias")]
    assert biases == [(32,), (64,), (128,), (32,), (128,), (128,), (10,)]
    assert sum(p.numel() for p in network.parameters()) == 1_224_746
    kinds = [type(module).__name__ for module in network.encoder] + [type(network.latent).__name__]
    assert " ".join(kinds) == "Conv2d ReLU Conv2d ReLU MaxPool2d Flatten Linear ReLU Linear Sigmoid"
    with torch.no_grad():
        assert network.encoder[:6](images((1, 28, 28), 1)).shape == (1, 9216)


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
