"""Activation, gradient, their product, internal influence and HRank: against loops, captum, and by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import ConfigError, DataError, LayerError
from ndg.importance.evaluation.spec import stepping
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings, Settings
from ndg.options import RunOptions
from tests.importance.test_gndi import convolutional, dense
from tests.references import importance_cheap as reference

BATCH_4 = RunOptions(batch=4)
nets = pytest.mark.parametrize(("make", "shape"), [(dense, (5,)), (convolutional, (1, 6, 6))])


def inputs_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(7, *shape, generator=torch.Generator().manual_seed(1))


@nets
def test_activation_is_the_mean_size_over_examples_and_positions(make, shape):
    model, inputs = make(), inputs_of(shape)
    found = score(model, [inputs], "encoder", "activation", options=BATCH_4)
    np.testing.assert_allclose(found["encoder"], reference.activation(model.encoder, inputs), rtol=1e-5)
    assert found.whole["encoder"] == pytest.approx(found["encoder"].mean())
    deviation = score(
        model, [inputs], "encoder", "activation", settings=ScoreSettings(baselines="mean"), options=BATCH_4
    )["encoder"]
    hidden = model.encoder(inputs).detach().flatten(2) if len(shape) > 1 else model.encoder(inputs).detach()[:, :, None]
    np.testing.assert_allclose(deviation, (hidden - hidden.mean(0)).abs().mean((0, 2)), rtol=1e-4)


@nets
def test_gradient_is_that_of_explicit_jacobians(make, shape):
    model, inputs = make(), inputs_of(shape)
    found = score(model, [inputs], "encoder", "gradient", options=BATCH_4)
    np.testing.assert_allclose(found["encoder"], reference.gradient(model.encoder, model.head, inputs), rtol=1e-5)


@nets
@pytest.mark.parametrize("absolute", [False, True])
def test_gradient_x_activation_is_that_of_explicit_jacobians(make, shape, absolute):
    model, inputs = make(), inputs_of(shape)
    found = score(model, [inputs], "encoder", "gradient_x_activation", absolute=absolute, options=BATCH_4)
    expected = reference.gradient_x_activation(model.encoder, model.head, inputs, absolute)
    np.testing.assert_allclose(found["encoder"], expected, rtol=1e-4, atol=1e-6)
    if not absolute:
        assert found.whole["encoder"] == pytest.approx(found["encoder"].sum())


@nets
def test_influence_is_the_mean_gradient_along_the_path(make, shape):
    model, inputs = make(), inputs_of(shape)
    found = score(model, [inputs], "encoder", "influence", settings=ScoreSettings(n_steps=6), options=BATCH_4)
    expected = reference.influence(model.encoder, model.head, inputs, 6)
    np.testing.assert_allclose(found["encoder"], expected, rtol=1e-4, atol=1e-6)
    assert found.facts["backward_passes"] == 2 * 6
    assert score(model, [inputs], "encoder", "influence", options=BATCH_4).facts["steps"] == 50


def test_influence_is_the_gradient_where_it_does_not_change():
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    found = score(model, [torch.randn(5, 4)], "0", "influence", target=1, options=BATCH_4)["0"]
    np.testing.assert_allclose(found, model[1].weight[1].detach(), rtol=1e-5)


@nets
def test_captum_gives_the_same(make, shape):
    attr = pytest.importorskip("captum.attr")
    model, inputs = make().eval(), inputs_of(shape)
    target = model(inputs).argmax(dim=1)

    def units(values: torch.Tensor) -> np.ndarray:
        return values.detach().reshape(7, values.shape[1], -1).sum(dim=2).double().mean(dim=0).numpy()

    product = attr.LayerGradientXActivation(model, model.encoder).attribute(inputs, target=target)
    found = score(model, [inputs], "encoder", "gradient_x_activation", options=BATCH_4)["encoder"]
    np.testing.assert_allclose(found, units(product), rtol=1e-4, atol=1e-6)
    internal = attr.InternalInfluence(model, model.encoder)
    theirs = internal.attribute(inputs, target=target, n_steps=12, method="riemann_middle")
    ours = score(model, [inputs], "encoder", "influence", settings=ScoreSettings(n_steps=12), options=BATCH_4)[
        "encoder"
    ]
    np.testing.assert_allclose(ours, units(theirs), rtol=1e-4, atol=1e-5)


class Words(nn.Module):
    """Tokens of two numbers, a dense layer on each, and their masked mean."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask[:, :, None]
        return self.out((self.hidden(inputs) * mask).sum(1) / mask.sum(1))


@pytest.mark.parametrize("method", ["activation", "gradient", "gradient_x_activation", "influence"])
def test_padding_does_not_count(method):
    torch.manual_seed(0)
    model, texts, lengths = Words(), torch.randn(3, 5, 2), [2, 5, 3]
    mask = torch.tensor([[position < length for position in range(5)] for length in lengths])
    texts[~mask] = 100.0
    steps = {"settings": stepping(method, Settings(n_steps=3))}
    together = score(model, [{"inputs": texts, "attention_mask": mask}], "hidden", method, target=None, **steps)
    alone = [
        score(
            model,
            [{"inputs": text[None, :length], "attention_mask": torch.ones(1, length)}],
            "hidden",
            method,
            **steps,
        )["hidden"]
        for text, length in zip(texts, lengths, strict=True)
    ]
    np.testing.assert_allclose(together["hidden"], np.mean(alone, axis=0), rtol=1e-4, atol=1e-6)


def test_each_position_can_be_scored_by_itself():
    model, inputs = convolutional(), inputs_of((1, 6, 6))
    for method in ("activation", "gradient"):
        each = score(model, [inputs], "encoder", method, settings=ScoreSettings(each_position=True), options=BATCH_4)[
            "encoder"
        ]
        together = score(model, [inputs], "encoder", method, options=BATCH_4)["encoder"]
        np.testing.assert_allclose(each.reshape(4, 36).mean(axis=1), together, rtol=1e-5)


def test_hrank_is_the_mean_rank_of_the_maps():
    model, inputs = convolutional(), inputs_of((1, 6, 6))
    inputs[3:] = inputs[3:, :, :1] * torch.ones(6, 1)  # all rows alike
    found = score(model, [inputs], "encoder.0", "hrank", options=BATCH_4)
    np.testing.assert_allclose(found["encoder.0"], reference.hrank(model.encoder[0](inputs).detach()))
    assert (found["encoder.0"] < 6).all()


def test_hrank_of_maps_by_hand():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 1], maps[0, 2], maps[1, 1] = torch.eye(4), 1.0, torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0]))
    model = nn.Sequential(nn.Conv2d(3, 3, 1, groups=3, bias=False), nn.Flatten(), nn.Linear(48, 2))
    model[0].weight.data.fill_(2.0)
    assert score(model, [maps], "0", "hrank")["0"].tolist() == [0.0, 3.0, 0.5]
    assert score(model.half(), [maps.half()], "0", "hrank")["0"].tolist() == [0.0, 3.0, 0.5]


def test_what_these_scores_refuse():
    model, inputs = convolutional(), inputs_of((1, 6, 6))
    with pytest.raises(LayerError, match=r"hrank needs maps of rows .* 'head.3' gives \(7, 5\)"):
        score(model, [inputs], "head.3", "hrank")
    with pytest.raises(ConfigError, match=r"hrank scores whole maps; got each_position=True"):
        score(model, [inputs], "encoder", "hrank", settings=ScoreSettings(each_position=True))
    with pytest.raises(ConfigError, match=r"option absolute is True or False; got 'yes'"):
        score(model, [inputs], "encoder", "gradient_x_activation", absolute="yes")
    integers = [torch.zeros(2, 1, 6, 6, dtype=torch.int64)]
    with pytest.raises(DataError, match=r"a network takes what its loader gives"):
        score(model, integers, "encoder", "influence")
    with pytest.raises(DataError, match=r"a path of inputs from a baseline needs floats"):
        score(nn.Sequential(OfIntegers(), model), integers, "1.encoder", "influence")


class OfIntegers(nn.Module):
    def forward(self, x):
        return x.float()
