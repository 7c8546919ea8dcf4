"""Outgoing magnitude: units are followed to the weights that read them, or refused by name where they cannot be."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.config import CNN, ResNet, ViT
from ndg.errors import LayerError
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.models import build

IMAGES = torch.randn(3, 2, 6, 6)


def outgoing(model: nn.Module, layers: str | list[str], inputs=IMAGES, norm: int = 2, each: bool = False):
    return score(
        model, [inputs], layers, "magnitude", side="outgoing", norm=norm, settings=ScoreSettings(each_position=each)
    )


def squares(*weights: torch.Tensor) -> np.ndarray:
    """The norm of the columns of matrices [reader, unit, ...] that read the same units."""
    sums = [weight.detach().double().square().transpose(0, 1).flatten(1).sum(dim=1) for weight in weights]
    return torch.stack(sums).sum(dim=0).sqrt().numpy()


def test_units_are_followed_through_activation_norm_pooling_flattening_and_dropout():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout2d(), nn.Flatten(),
        nn.Linear(16, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3),
    )  # fmt: skip
    found = outgoing(model, ["0", "1", "2", "3", "5", "6", "8"])
    channels = squares(model[6].weight.unflatten(1, (4, 4)))
    for layer in ("0", "1", "2", "3"):
        np.testing.assert_allclose(found[layer], channels, rtol=1e-9)
    np.testing.assert_allclose(found["5"], squares(model[6].weight), rtol=1e-9)
    for layer in ("6", "8"):
        np.testing.assert_allclose(found[layer], squares(model[9].weight), rtol=1e-9)
    assert found.whole["0"] == pytest.approx(float(model[6].weight.detach().norm()))
    ones = outgoing(model, "8", norm=1)["8"]
    np.testing.assert_allclose(ones, model[9].weight.detach().double().abs().sum(dim=0), rtol=1e-9)
    assert (found.facts["forward_passes"], found.examples, found.measure) == (1, 0, "norm of outgoing weights")


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_read_their_channels_whatever_their_groups(groups):
    torch.manual_seed(0)
    ahead, back = nn.Conv2d(4, 6, 3, groups=groups), nn.ConvTranspose2d(4, 6, 3, groups=groups)
    for reader in (ahead, back):
        model = nn.Sequential(nn.Conv2d(2, 4, 1), reader, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
        grads = torch.zeros(4, dtype=torch.float64)
        for channel in range(4):  # the weights that an input of one channel makes matter
            lone = torch.zeros(1, 4, 6, 6)
            lone[:, channel] = 1.0
            weight = reader.weight.detach().clone().requires_grad_()
            options = {"groups": groups}
            out = functional.conv2d(lone, weight, **options) if reader is ahead else functional.conv_transpose2d(
                lone, weight, **options
            )  # fmt: skip
            used = torch.autograd.grad(out.sum(), weight)[0] != 0
            grads[channel] = reader.weight.detach().double()[used].square().sum()
        np.testing.assert_allclose(outgoing(model, "0")["0"], grads.sqrt(), rtol=1e-6)


def test_several_readers_add_also_along_residual_sums():
    model = build(ResNet(name="resnet", width=4, blocks=[2, 1]), (2, 6, 6), 3, 0)
    found = outgoing(model, ["stem.conv", "stages.0.0.conv1", "stages.0.1.conv2", "stages.1.0.relu2"])
    first, second, third = model.stages[0][0], model.stages[0][1], model.stages[1][0]
    readers = (first.conv1, second.conv1, third.conv1, third.shortcut.conv)
    np.testing.assert_allclose(found["stem.conv"], squares_of_all(readers), rtol=1e-9)
    np.testing.assert_allclose(found["stages.0.0.conv1"], squares(first.conv2.weight), rtol=1e-9)
    np.testing.assert_allclose(found["stages.0.1.conv2"], squares_of_all(readers[2:]), rtol=1e-9)
    np.testing.assert_allclose(found["stages.1.0.relu2"], squares(model.classifier.weight), rtol=1e-9)


def squares_of_all(readers) -> np.ndarray:
    return np.sqrt(sum(squares(reader.weight) ** 2 for reader in readers))


def test_functions_views_and_joins_outside_modules_are_followed():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.beside = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
            self.out = nn.Linear(5, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            both = torch.cat([self.beside(x), functional.relu_(self.conv(x))], dim=1)
            both = both.to(torch.float64).view_as(both).float() * torch.ones(1).expand_as(both)
            return self.out((both * 2 + 1).permute(0, 2, 3, 1).reshape(len(x), -1, 5).mean(dim=1))

    model = Model()
    found = outgoing(model, ["conv", "beside"])
    np.testing.assert_allclose(found["conv"], squares(model.out.weight[:, 2:]), rtol=1e-9)
    np.testing.assert_allclose(found["beside"], squares(model.out.weight[:, :2]), rtol=1e-9)


def test_positions_can_be_scored_by_themselves():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    found = outgoing(model, "0", each=True)["0"]
    np.testing.assert_allclose(found, squares(model[3].weight), rtol=1e-9)
    pooled = nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(LayerError, match=r"those of '0' come to max_pool2d, .*several units; choose side='incoming'"):
        outgoing(pooled, "0", each=True)


def test_the_networks_of_the_house():
    model = build(CNN(name="cnn"), (1, 8, 8), 10, 0)
    images = torch.randn(2, 1, 8, 8)
    found = outgoing(model, ["encoder.conv1", "encoder.conv2", "latent"], images)
    np.testing.assert_allclose(found["encoder.conv1"], squares(model.encoder.conv2.weight), rtol=1e-9)
    dense = model.encoder.fc1.weight.unflatten(1, (len(model.encoder.conv2.weight), -1))
    np.testing.assert_allclose(found["encoder.conv2"], squares(dense), rtol=1e-9)
    np.testing.assert_allclose(found["latent"], squares(model.decoder.fc1.weight), rtol=1e-9)


def test_units_of_a_transformer_are_followed_to_their_dense_layer_and_refused_at_attention():
    config = ViT(name="vit", patch=4, width=16, depth=2, heads=2, mlp=24)
    model = build(config, (1, 8, 8), 5, 0)
    images = torch.randn(2, 1, 8, 8)
    dense = {path: module for path, module in model.vit.named_modules() if isinstance(module, nn.Linear)}
    wide = next(path for path, module in dense.items() if module.out_features > 16)
    narrow = next(module for module in dense.values() if module.in_features > 16)
    found = outgoing(model, [f"vit.{wide}"], images)[f"vit.{wide}"]
    np.testing.assert_allclose(found, squares(narrow.weight), rtol=1e-9)
    query = next(path for path in dense if "q" in path.rpartition(".")[2])
    with pytest.raises(LayerError, match=r"come to scaled_dot_product_attention; choose side='incoming'"):
        outgoing(model, f"vit.{query}", images)


def test_an_attention_module_reads_by_all_three_projections():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 8)
            self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.out(self.attention(x, x, x, need_weights=False)[0][:, 0])

    model = Model()
    found = outgoing(model, "first", torch.randn(2, 5, 3))["first"]
    np.testing.assert_allclose(found, squares(model.attention.in_proj_weight), rtol=1e-9)


def test_what_cannot_be_followed_is_refused_by_name():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.first(x).softmax(dim=1))

    with pytest.raises(LayerError, match=r"those of 'first' come to softmax; choose side='incoming'"):
        outgoing(Mixed(), "first", torch.randn(2, 4))
    with pytest.raises(LayerError, match=r"nothing with weights reads 'out'; choose a layer before the last one"):
        outgoing(Mixed(), "out", torch.randn(2, 4))

    class Summed(Mixed):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x)
            return self.out(h + h.flip(1))

    with pytest.raises(LayerError, match=r"those of 'first' come to .*add.* of several units"):
        outgoing(Summed(), "first", torch.randn(2, 4))
