"""TransFG follows its equations; without parts it is the vision transformer."""

import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ndg import models
from ndg.activations.hooks import Trace
from ndg.config import TransFG, ViT
from ndg.errors import ConfigError, ShapeError
from ndg.models import pretrained
from ndg.models.transfg import Attention, QueryKey, contrastive, select
from ndg.models.vit import interpolated
from tests.references import transfg as reference

SETTINGS = TransFG(patch=4, stride=3, width=12, depth=4, heads=3, mlp=16, latent=5)
SHAPE = (3, 13, 16)


def looks(layers, seed, tokens=9):
    generator = torch.Generator().manual_seed(seed)
    return [QueryKey(*torch.randn(2, 4, 3, tokens, 5, generator=generator)) for _ in range(layers)]


def maps(looks):
    """Attention by the equation: one softmax over all tokens per query."""
    return [torch.einsum("ehtp,ehsp->ehts", query, key).div(5**0.5).softmax(dim=-1) for query, key in looks]


def pixels(count=3):
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_parts_are_the_largest_of_the_product_of_all_attention_maps(layers):
    for seed in range(5):
        given = looks(layers, seed)
        assert select(given).tolist() == reference.selected(maps(given))


def test_the_order_of_layers_matters_to_the_parts():
    given = looks(3, 0)
    assert select(given).tolist() != select(given[::-1]).tolist()


@pytest.mark.parametrize("labels", [[0, 1, 0, 2, 1], [3, 3, 3, 3, 3], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_the_contrastive_loss_is_that_of_the_paper(labels, margin):
    states = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)) + 0.5
    found = contrastive(states, torch.tensor(labels), margin)
    assert float(found) == pytest.approx(reference.contrastive(states, labels, margin), abs=1e-6)


def test_equal_states_of_one_class_and_opposite_states_of_two_cost_nothing():
    same = torch.ones(3, 4)
    assert float(contrastive(same, torch.zeros(3, dtype=torch.int64), 0.4)) == pytest.approx(0, abs=1e-6)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert float(contrastive(opposite, torch.tensor([0, 1]), 0.4)) == 0
    assert float(contrastive(same, torch.arange(3), 0.4)) == pytest.approx(6 / 9 * 0.6)


def test_the_extra_loss_is_weighted_and_can_be_switched_off():
    labels = torch.tensor([0, 1, 0])
    for contrast in (0.0, 1.0, 2.5):
        network = models.build(replace(SETTINGS, contrast=contrast), SHAPE, 4, seed=0)
        output = network(pixels())
        loss = network.extra_loss(output, labels)
        assert float(loss.detach()) == pytest.approx(
            contrast * reference.contrastive(output.state.detach(), labels.tolist(), 0.4), abs=1e-5
        )
        if contrast:
            weight = network.vit.layers[-1].mlp.fc2.weight
            assert torch.autograd.grad(loss, weight)[0].abs().max() > 0


def test_patches_overlap_row_by_row():
    network = models.build(SETTINGS, SHAPE, 4, seed=0)
    inputs = pixels()
    projection = network.vit.embeddings.patch_embeddings.projection
    cut = torch.stack([torch.stack(reference.patches(image, 4, 3)) for image in inputs])
    expected = cut.flatten(2) @ projection.weight.flatten(1).T + projection.bias
    assert cut.shape[1] == 4 * 5 == network.vit.embeddings.position_embeddings.shape[1] - 1
    assert torch.allclose(network.vit.embeddings.patch_embeddings(inputs), expected, atol=1e-5)


def test_the_last_layer_sees_the_first_token_and_one_part_per_head_and_nothing_else():
    network = models.build(SETTINGS, SHAPE, 4, seed=0)
    layers = [f"vit.layers.{number}" for number in range(4)]
    with torch.no_grad(), Trace(network, [*layers, "vit.layers.3.layernorm_before"]) as trace:
        output = network(pixels())
        before, last = trace["vit.layers.2"], trace["vit.layers.3"]
        given = []
        for number in range(3):
            layer = network.vit.layers[number]
            tokens = trace[f"vit.layers.{number - 1}"] if number else network.vit.embeddings(pixels())
            given.append(layer.attention(layer.layernorm_before(tokens))[1].maps())
        assert output.parts.tolist() == reference.selected(given)
        seen = torch.stack([before[i, [0, *parts]] for i, parts in enumerate(output.parts.tolist())])
        assert last.shape == (3, 1 + 3, 12)
        assert torch.allclose(network.vit.layers[3](seen)[0], last, atol=1e-6)
        assert torch.allclose(network.vit.layernorm(last[:, 0]), output.state, atol=1e-6)
        assert torch.equal(network.classifier(output.state), output.logits)


def test_layers_compute_what_those_of_transformers_do():
    network = models.build(replace(SETTINGS, stride=4), (3, 12, 16), 4, seed=0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 16}
    vit = pretrained.transformer("vit", {**sizes, "image_size": [12, 16], "patch_size": 4, "num_channels": 3})
    vit.load_state_dict(network.vit.state_dict())
    vit.eval()
    inputs = pixels()[:, :, :12]
    with torch.no_grad():
        tokens = network.vit.embeddings(inputs)
        for layer in network.vit.layers:
            tokens, _ = layer(tokens)
        assert torch.allclose(network.vit.layernorm(tokens), vit(inputs).last_hidden_state, atol=1e-5)


def test_positions_are_interpolated_over_the_grid_and_the_first_token_keeps_its_own():
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    plane = torch.stack([rows, columns], dim=2).flatten(0, 1)  # about linear stays about linear
    own = torch.full((1, 1, 2), 9.0)
    wide = interpolated(torch.cat([own, plane[None]], dim=1), (6, 8), (12, 16))
    assert torch.equal(wide[:, :1], own)
    inner = wide[0, 1:].reshape(12, 16, 2)[5:7, 6:10]
    assert torch.allclose(inner[:, :, 0], torch.tensor([[2.25], [2.75]]).expand(2, 4), atol=0.05)
    assert torch.allclose(inner[:, :, 1], torch.tensor([2.75, 3.25, 3.75, 4.25]).expand(2, 4), atol=0.05)
    assert interpolated(wide, (12, 16), (12, 16)) is wide


class Alive(TorchDispatchMode):
    """Counter of live tensors with a number per pair of tokens."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens, self.maps, self.most = tokens, [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.shape[-2:] == (self.tokens, self.tokens):
            self.maps.append(weakref.ref(result))
            living = [one for each in self.maps if (one := each()) is not None]
            self.most = max(self.most, len({one.untyped_storage().data_ptr() for one in living}))
        return result


@pytest.mark.parametrize("depth", [3, 9])
def test_no_more_maps_live_at_a_time_however_deep_the_network(depth):
    network = models.build(replace(SETTINGS, depth=depth), SHAPE, 4, seed=0)
    with torch.no_grad(), Alive(tokens=1 + 4 * 5) as alive:
        network(pixels())
    assert alive.most == 2  # a layer's products, and what becomes of them


def test_nothing_is_kept_for_the_choice_in_training():
    network = models.build(SETTINGS, SHAPE, 4, seed=0).train()
    found = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: found.append(one) or one, lambda one: one):
        output = network(pixels())
    square = [one for one in found if one.shape[-2:] == (21, 21)]
    assert len({one.data_ptr() for one in square}) == 3  # one for each of the layers that see all tokens
    assert not output.parts.requires_grad


def test_attention_has_the_dropout_of_the_settings():
    settings = {"num_attention_heads": 2, "qkv_bias": True, "hidden_size": 8}
    layer = Attention({**settings, "attention_probs_dropout_prob": 0.5})
    tokens = torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (_, look), (mixed, same) = layer.train()(tokens), layer(tokens)
        assert not torch.allclose(mixed, layer(tokens)[0])
        assert torch.equal(look.maps(), same.maps())  # the choice of parts is by maps without dropout
        assert torch.equal(layer.eval()(tokens)[0], layer(tokens)[0])


def test_a_title_says_what_of_the_paper_is_there():
    titles = {
        change: models.build(replace(SETTINGS, **dict(change)), SHAPE, 4, seed=0).title
        for change in ((), (("stride", 4),), (("contrast", 0.0),), (("head", "linear"), ("contrast", 0.5)))
    }
    assert list(titles.values()) == [
        "TransFG (He et al. 2022): part selection, patches of 4 at stride 3, contrastive loss 1; "
        "head of 5 sigmoid latents, from scratch",
        "TransFG (He et al. 2022): part selection, patches of 4 side by side (no overlap), contrastive loss 1; "
        "head of 5 sigmoid latents, from scratch",
        "TransFG (He et al. 2022): part selection, patches of 4 at stride 3, no contrastive loss; "
        "head of 5 sigmoid latents, from scratch",
        "TransFG (He et al. 2022): part selection, patches of 4 at stride 3, contrastive loss 0.5; "
        "linear head, from scratch",
    ]


def test_it_is_told_from_a_plain_vision_transformer():
    assert "TransFG" in models.build(SETTINGS, SHAPE, 4, seed=0).title
    plain = models.build(ViT(patch=1, width=4, depth=1, heads=1, mlp=4), SHAPE, 4, seed=0)
    assert "without selection of parts" in plain.title
    assert not hasattr(plain, "extra_loss")
    assert isinstance(plain.normalise, nn.Identity)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"model\.stride must be at most the side of a patch.*got 5 and patches of 4"):
        models.build(replace(SETTINGS, stride=5), SHAPE, 4, seed=0)
    with pytest.raises(ConfigError, match=r"depth must be at least 2, .*; got 1; raise it, or use model\.name=vit"):
        models.build(replace(SETTINGS, depth=1), SHAPE, 4, seed=0)
    with pytest.raises(ShapeError, match=r"at least one patch; got patches of 4 on 3 x 16 pixels"):
        models.build(SETTINGS, (3, 3, 16), 4, seed=0)
    with pytest.raises(ShapeError, match=r"of 20 patches; got \(2, 3, 16, 16\), 25 patches; scale or crop"):
        models.build(SETTINGS, SHAPE, 4, seed=0)(torch.rand(2, 3, 16, 16))
