"""LRP: its definition by loops, captum, conservation, and real networks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg import models
from ndg.activations.batches import fixed, forward
from ndg.config import GRU, LSTM
from ndg.data.inputs import TEXT, Form
from ndg.errors import ConfigError
from ndg.importance.methods.lrp.relevance import METHOD
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.options import RunOptions
from tests.references import lrp as reference
from tests.units.test_heads import NETWORKS, inputs_of

RULE = [{"rule": "epsilon"}, {"rule": "epsilon", "epsilon": 0.1}, {"rule": "gamma"}, {"rule": "gamma", "gamma": 2}]


def relevance(model, inputs, layers, target=None, batch=4, each=False, **options) -> Scores:
    settings = Settings(
        each_position=each, target=target, options=RunOptions(batch=batch), own={**METHOD.options, **options}
    )
    paths = (layers,) if isinstance(layers, str) else tuple(layers)
    with fixed(model, 1, grad=True):
        return METHOD.run(model, [inputs], paths, settings)


def conserved(scores: Scores, layer: str) -> dict[str, float]:
    return next(row for row in scores.facts["conservation"] if row["layer"] == layer)


def dense(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    sizes = [5, 7, 6, 3]
    parts = [
        part
        for number in range(3)
        for part in (nn.Linear(sizes[number], sizes[number + 1], bias=bias), nn.ReLU(inplace=True))
    ]
    return nn.Sequential(nn.Identity(), *parts[:-1]).double()


@pytest.mark.parametrize("rule", RULE, ids=str)
@pytest.mark.parametrize("target", [0, 2])
def test_relevance_of_a_dense_network_is_that_of_the_loops(rule, target):
    model, x = dense(), torch.randn(9, 5, dtype=torch.float64)
    scores = relevance(model, x, ["0", "2", "4"], target, **rule)
    weights = [
        (part.weight.detach().numpy(), part.bias.detach().numpy()) for part in model if isinstance(part, nn.Linear)
    ]
    options = {**METHOD.options, **rule}
    gamma = options["gamma"] if options["rule"] == "gamma" else 0.0
    found = [reference.relevance(weights, each.numpy(), target, options["epsilon"], gamma) for each in x]
    for number, layer in enumerate(["0", "2", "4"]):
        expected = np.mean([one[number] for one in found], axis=0)
        np.testing.assert_allclose(scores[layer], expected, rtol=1e-9, atol=1e-12)
        assert scores.whole[layer] == pytest.approx(expected.sum())
    assert scores.facts["logit"] == pytest.approx(float(model(x)[:, target].mean().detach()))


class Flattening(nn.Sequential):
    """Flattens before the first dense layer, without a module for it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self:
            x = part(x.flatten(1) if isinstance(part, nn.Linear) else x)
        return x


def convolutional(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(1)
    return Flattening(
        nn.Conv2d(1, 4, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, bias=bias),
        nn.ReLU(),
        nn.Linear(20, 6, bias=bias),
        nn.Tanh(),
        nn.Linear(6, 3, bias=bias),
    ).double()


LAYERS = ["0", "2", "3", "5"]
"""Those of which captum says the relevance."""


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(("rule", "bias"), [("epsilon", True), ("epsilon", False), ("gamma", False)])
def test_relevance_of_a_convolutional_network_is_that_of_captum(rule, bias):
    captum = pytest.importorskip("captum.attr")
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    model, x = convolutional(bias), torch.rand(3, 1, 8, 8, dtype=torch.float64)
    target, settings = 1, {"rule": rule, "epsilon": 1e-9}
    if rule == "gamma":  # captum's raises positive weights alone: the same where inputs and sums are positive
        for part in (model[5], model[7]):
            part.weight.data.abs_()
    found = relevance(model, x, LAYERS, target, each=True, **settings)
    for layer in LAYERS:
        for part in model:  # it forgets them after each call
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                part.rule = rules.GammaRule(gamma=0.25) if rule == "gamma" else rules.EpsilonRule(epsilon=1e-9)
        expected = captum.LayerLRP(model, model[int(layer)]).attribute(x, target=target)
        flat = expected.detach().mean(dim=0).flatten().numpy()
        np.testing.assert_allclose(found[layer], flat, rtol=1e-5, atol=1e-7, err_msg=layer)


@pytest.mark.parametrize("make", [dense, convolutional])
@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
def test_without_biases_relevance_is_conserved(make, rule):
    model = make(bias=False).float()
    x = torch.rand(6, 5) if make is dense else torch.rand(6, 1, 8, 8)
    layers = [name for name, _ in model.named_modules() if name][:-1]
    scores = relevance(model, x, layers, rule=rule)
    logits = model(x).detach()
    predicted = float(logits.max(dim=1).values.mean())
    assert [row["layer"] for row in scores.facts["conservation"]] == layers
    for layer in layers:
        row = conserved(scores, layer)
        assert row["biases"] == 0
        assert row["unexplained"] < 1e-5
        assert scores.whole[layer] + row["stabiliser"] == pytest.approx(predicted, rel=1e-5)
    fine = relevance(model, x, layers, rule=rule, epsilon=1e-9)
    assert all(row["relative"] < 1e-5 for row in fine.facts["conservation"])
    exact = relevance(model.double(), x.double(), layers, rule=rule, epsilon=0)
    assert all(row["relative"] < 1e-12 and row["stabiliser"] == 0 for row in exact.facts["conservation"])


def test_the_epsilon_rule_of_a_relu_network_without_biases_is_gradient_times_activation():
    model, x = dense(bias=False), torch.randn(6, 5, dtype=torch.float64)
    scores = relevance(model, x, "2", target=1, epsilon=0)
    hidden = model[:3](x).detach().requires_grad_()
    gradient = torch.autograd.grad(model[3:](hidden)[:, 1].sum(), hidden)[0]
    np.testing.assert_allclose(scores["2"], (gradient * hidden).mean(dim=0).detach(), rtol=1e-9, atol=1e-12)


class Many(nn.Module):
    """Most functions that networks are made of, one after the other, so that every layer is crossed by every path."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.batch = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.group, self.instance = nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True)
        self.up, self.same = nn.ConvTranspose2d(6, 6, 2, stride=2), nn.Identity()
        self.norm, self.rms = nn.LayerNorm(6), nn.RMSNorm(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.reading = nn.GRU(6, 4, batch_first=True, bidirectional=True)
        self.scale, self.weight, self.bias = (nn.Parameter(torch.randn(s)) for s in ((8,), (8, 8), (8,)))
        self.start, self.middle = nn.Parameter(torch.randn(1, 1, 6)), nn.Identity()
        self.out = nn.Linear(8, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)
        self.batch.running_mean.normal_()
        self.batch.running_var.uniform_(0.5, 2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.batch(self.first(x))
        x = self.group(functional.gelu(x)) + functional.avg_pool2d(x, 3, 1, 1)
        x += self.instance(functional.leaky_relu(x, 0.2, True)) - 0.5
        x = functional.interpolate(self.up(functional.max_pool2d(x, 2)), scale_factor=0.5, mode="bilinear")
        x = self.same(torch.where(x > 1.5, torch.ones_like(x), x))
        x = torch.cat([self.start.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        x = x + self.attention(self.norm(x), x, self.rms(x), need_weights=False)[0]
        x = functional.silu(x) * x.sigmoid() / x.norm(dim=2, keepdim=True)
        x = self.reading(x)[0].clamp(-0.9, 0.9).mean(dim=1)
        x = torch.addmm(self.bias, functional.normalize(x), self.weight) * self.scale
        x = torch.stack([x @ self.weight, x.softmax(dim=1) * x], dim=2).sum(dim=2)
        return self.out(functional.dropout(self.middle(x).tanh(), 0.5, self.training, True))


@pytest.mark.parametrize("rule", RULE[1:3], ids=str)
def test_what_units_constants_and_the_stabiliser_have_adds_up_to_the_logit(rule):
    model, x = Many().double(), torch.randn(5, 2, 6, 6, dtype=torch.float64)
    scores = relevance(model, x, ["first", "batch", "same", "middle"], **rule)
    rows = scores.facts["conservation"]
    assert [row["layer"] for row in rows] == ["first", "batch", "same", "middle"]
    for row in rows:
        assert row["unexplained"] < 1e-9
        assert row["sum"] + row["biases"] + row["stabiliser"] == pytest.approx(scores.facts["logit"])
        assert row["biases"] != 0


@pytest.mark.parametrize("name", NETWORKS)
def test_transformers_conserve_relevance_and_their_heads_share_it(name):
    config, form, owner, _ = NETWORKS[name]
    model = models.build(config, form, 3, seed=0).double()
    inputs = inputs_of(form)
    inputs = inputs if isinstance(inputs, dict) else inputs.double()
    bare = forward(model, inputs).detach()
    norm = (
        next(path for path, module in model.named_modules() if isinstance(module, nn.LayerNorm) and "embed" in path)
        if isinstance(inputs, dict)
        else "vit.layers.0"
    )
    layers = [f"{owner}.heads", norm, model.latent_layer]
    scores = relevance(model, inputs, layers)
    rows = {row["layer"]: row for row in scores.facts["conservation"]}
    assert list(rows) == layers[1:]  # beside the heads passes the residual stream
    assert all(row["unexplained"] < 1e-9 for row in rows.values())
    assert scores.facts["logit"] == pytest.approx(bare.max(dim=1).values.mean().item())
    assert (scores[layers[0]] != 0).all()


@pytest.mark.parametrize("config", [LSTM, GRU])
def test_recurrent_networks_conserve_relevance_and_their_gates_hold_none(config):
    form = Form(TEXT, (7,), 30, 0, 1)
    model = models.build(config(embedding=5, width=4, latent=3, depth=2), form, 3, seed=0).double()
    mask = (torch.arange(7) < torch.tensor([7, 3, 5])[:, None]).long()
    inputs = {"input_ids": torch.randint(2, 30, (3, 7), generator=torch.Generator().manual_seed(0)) * mask}
    scores = relevance(model, {**inputs, "attention_mask": mask}, ["embedding", "ahead.0.gates", "states", "latent"])
    rows = {row["layer"]: row for row in scores.facts["conservation"]}
    assert list(rows) == ["embedding", "states", "latent"]
    assert all(row["unexplained"] < 1e-9 for row in rows.values())
    signal = slice(8, 12)  # the candidate: third of the gates
    gates = scores["ahead.0.gates"]
    assert (gates[signal] != 0).all()
    assert np.count_nonzero(gates) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "alpha"}, r"the rule of LRP is epsilon or gamma; got 'alpha'"),
        ({"epsilon": -1}, r"epsilon of LRP is a number of 0 or more; got -1"),
        ({"gamma": float("nan")}, r"gamma of LRP is a number of 0 or more; got nan"),
        ({"gamma": "much"}, r"gamma of LRP is a number of 0 or more; got 'much'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        relevance(dense(), torch.zeros(2, 5, dtype=torch.float64), "2", **options)


def test_batches_and_layers_beside_do_not_change_relevance():
    model, x = Many().double(), torch.randn(7, 2, 6, 6, dtype=torch.float64)
    whole = relevance(model, x, ["first", "same"], batch=7)
    small = relevance(model, x, ["same"], batch=3)
    np.testing.assert_allclose(small["same"], whole["same"], rtol=1e-9)
    for name in ("sum", "biases", "stabiliser", "relative"):
        assert conserved(small, "same")[name] == pytest.approx(conserved(whole, "same")[name], rel=1e-9)


@pytest.mark.parametrize("family", ["GPT2", "Llama"])
def test_decoders_at_hand_conserve_relevance_and_show_their_heads(family):
    transformers = pytest.importorskip("transformers")
    sizes = {
        "GPT2": {"n_positions": 9, "n_embd": 8, "n_layer": 2, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2},
        "Llama": {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2},
    }
    config = getattr(transformers, f"{family}Config")(
        vocab_size=30, pad_token_id=0, num_labels=3, use_cache=False, **sizes[family]
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config).double()
    owner, block = {
        "GPT2": ("transformer.h.1.attn", "transformer.h.0"),
        "Llama": ("model.layers.1.self_attn", "model.layers.0"),
    }[family]
    ids = torch.randint(3, 30, (3, 7), generator=torch.Generator().manual_seed(0))
    scores = relevance(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, [f"{owner}.heads", block])
    assert scores[f"{owner}.heads"].shape == (2,)
    assert [row["layer"] for row in scores.facts["conservation"]] == [block]
    assert conserved(scores, block)["unexplained"] < 1e-6  # its norm runs in single precision
