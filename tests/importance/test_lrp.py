"""LRP: its definition by loops, captum, conservation, and what each function of a network does with relevance."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg import models
from ndg.activations.compute import fixed, forward
from ndg.config import GRU, LSTM
from ndg.data.inputs import TEXT, Form
from ndg.errors import ConfigError, LayerError
from ndg.importance.lrp import METHOD
from ndg.importance.lrp.rules import RULES
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from tests.importance.test_heads import NETWORKS, inputs_of
from tests.references import lrp as reference

RULE = [{"rule": "epsilon"}, {"rule": "epsilon", "epsilon": 0.1}, {"rule": "gamma"}, {"rule": "gamma", "gamma": 2}]


def relevance(model, inputs, layers, target=None, batch=4, each=False, **options) -> Scores:
    settings = Settings(target=target, internal_batch_size=batch, each=each, options={**METHOD.options, **options})
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


class Formula(nn.Module):
    """Two units and what a function makes of them, as the logit of a network of one class beside 0."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.h = function, nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.h(x).unbind(1)
        value = self.function(first, second)
        return torch.stack([value, torch.zeros_like(value)], dim=1)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda a, b: a + 2 * b, [3.0, -4.0]),
        (lambda a, b: a * b, [-3.0, -3.0]),
        (lambda a, b: a * a * b, [-9.0, -9.0]),
        (lambda a, b: torch.einsum("e,e->e", a, b), [-3.0, -3.0]),
        (lambda a, b: (a[:, None, None] @ b[:, None, None])[:, 0, 0], [-3.0, -3.0]),
        (lambda a, b: a / b, [-1.5, 0.0]),
        (lambda a, b: a * (b**-2), [0.75, 0.0]),
        (lambda a, b: a**2 + b.square(), [9.0, 4.0]),
        (lambda a, b: torch.maximum(a, b), [3.0, 0.0]),
        (lambda a, b: (a - b).tanh(), [0.6 * np.tanh(5.0), 0.4 * np.tanh(5.0)]),
        (lambda a, b: b.sigmoid() + 1 - a, [-3.0, 1 / (1 + np.exp(2.0))]),
        (lambda a, b: torch.stack([a, b], dim=1).softmax(dim=1)[:, 0] * a, [3.0 / (1 + np.exp(-5.0)), 0.0]),
        (lambda a, b: torch.where(a > 0, b, a).abs(), [0.0, 2.0]),
        (lambda a, b: 6 / a + b, [0.0, -2.0]),
    ],
)
def test_functions_of_two_units_by_hand(function, expected):
    model, x = Formula(function), torch.tensor([[3.0, -2.0]], dtype=torch.float64)
    found = relevance(model, x, "h", target=0, epsilon=0)["h"]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def written_in_place(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a = a.clone()
    old = a * 1
    functional.elu(a, 1.0, True)
    a += b
    a.mul_(old).relu_()
    a -= 0.25
    torch.nn.functional.leaky_relu_(a, 0.1)
    return a + old


def written_anew(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    old = a
    a = functional.elu(a) + b
    return functional.leaky_relu((a * old).relu() - 0.25, 0.1) + old


def test_functions_that_write_in_place_do_what_they_do_elsewhere():
    x = torch.randn(8, 2, dtype=torch.float64)
    found, expected = (relevance(Formula(each), x, "h", target=0) for each in (written_in_place, written_anew))
    assert found.facts["logit"] == pytest.approx(written_anew(*x.unbind(1)).mean().item())
    np.testing.assert_allclose(found["h"], expected["h"], rtol=1e-12)
    assert conserved(found, "h")["unexplained"] < 1e-12


class Attention(nn.Module):
    """One attention, written in four ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.how, self.values = how, nn.Identity()
        self.attention, self.out = nn.MultiheadAttention(6, 2, batch_first=True, bias=False), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.values(x)
        if self.how == "module":
            return self.out(self.attention(x, x, x)[0][:, 0])
        q, k, v = (
            functional.linear(x, weight).unflatten(2, (2, 3)).transpose(1, 2)
            for weight in self.attention.in_proj_weight.chunk(3)
        )
        if self.how == "fused":
            mixed = functional.scaled_dot_product_attention(q, k, v)
        elif self.how == "products":
            mixed = (q @ k.transpose(2, 3) / 3**0.5).softmax(dim=-1) @ v
        else:
            weights = torch.bmm(q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)).div(3**0.5).softmax(dim=-1)
            mixed = torch.bmm(weights, v.flatten(0, 1)).unflatten(0, (-1, 2))
        return self.out(functional.linear(mixed.transpose(1, 2).flatten(2), self.attention.out_proj.weight)[:, 0])


@pytest.mark.parametrize("rule", RULE[1:3], ids=str)
@pytest.mark.parametrize("how", ["fused", "products", "bmm"])
def test_attention_has_the_same_relevance_however_it_is_written(how, rule):
    x = torch.randn(5, 4, 6, dtype=torch.float64)
    found, module = (relevance(Attention(each).double(), x, "values", **rule) for each in (how, "module"))
    np.testing.assert_allclose(found["values"], module["values"], rtol=1e-9)
    assert conserved(module, "values")["unexplained"] < 1e-12


class Doubled(torch.autograd.Function):
    """An autograd function of somebody's own."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda a, b: torch.log_softmax(torch.stack([a, b], 1), 1)[:, 0],
            r"none for torch\.log_softmax; score layers aft",
        ),
        (lambda a, b: torch.stack([a, b], 1).prod(1), r"there is none for torch\.Tensor\.prod"),
        (lambda a, b: functional.glu(torch.stack([a, b], 1), 1)[:, 0], r"there is none for torch\.nn\.functional\.glu"),
        (lambda a, b: Doubled.apply(a) + b, r"there is none for the autograd function Doubled; score layers after it"),
        (
            lambda a, b: functional.linear(a[:, None], b[:1, None])[:, 0],
            r"weights of a linear map as constants; those of",
        ),
        (lambda a, b: torch.pow(a, b), r"there is none for torch\.pow"),
        (lambda a, b: a.clone().exp_() + b, r"there is none for torch\.Tensor\.exp_"),
        (
            lambda a, b: torch.stack([a, b], 1).softmax(1)[:, 0],
            r"relevance comes from the logits to a scored layer; to 'h'",
        ),
        (
            lambda a, b: functional.batch_norm(a[:, None], None, None, training=True)[:, 0],
            "statistics of a batch norm as",
        ),
    ],
)
def test_functions_without_a_rule_are_refused_by_name(function, message):
    model = Formula(function)
    with pytest.raises(LayerError, match=message):
        relevance(model, torch.tensor([[3.0, 2.0], [1.0, 4.0]]), "h", target=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_modules_and_layers_that_relevance_does_not_reach_are_refused():
    scripted = nn.Sequential(nn.Identity(), torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2)))
    with pytest.raises(LayerError, match=r"which compiled code cannot be told; '1' is compiled; score the module"):
        relevance(scripted, torch.zeros(2, 2), "0")

    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.value, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mixed = functional.scaled_dot_product_attention(self.query(x), x, self.value(x))
            return self.out(mixed[:, 0])

    with pytest.raises(LayerError, match=r"relevance comes from the logits to a scored layer; to 'query' none does"):
        relevance(Asking(), torch.randn(2, 3, 4), "query")
    with pytest.raises(LayerError, match=r"from 'query' there is none"):
        relevance(Asking(), torch.randn(2, 3, 4), ["query", "value"])


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


def test_the_network_is_left_as_it_was_and_its_logits_stay():
    model, x = Many(), torch.randn(5, 2, 6, 6)
    model.out.bias.requires_grad_(False)
    model.out.weight.grad = torch.ones_like(model.out.weight)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    with torch.no_grad(), fixed(model):
        bare = model(x)
    scores = relevance(model, x, ["first", "same"], target=1)
    assert scores.facts["logit"] == pytest.approx(bare[:, 1].mean().item(), rel=1e-5)
    broken = Formula(lambda a, b: (a * b).cumprod(0))
    with pytest.raises(LayerError, match="cumprod"):
        relevance(broken, torch.ones(2, 2), "h")
    assert before == {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert torch.equal(model.out.weight.grad, torch.ones_like(model.out.weight))
    assert not any("forward" in vars(part) or part._forward_hooks for part in (*model.modules(), *broken.modules()))
    assert torch.backends.mha.get_fastpath_enabled()


def test_batches_and_layers_beside_do_not_change_relevance():
    model, x = Many().double(), torch.randn(7, 2, 6, 6, dtype=torch.float64)
    whole = relevance(model, x, ["first", "same"], batch=7)
    small = relevance(model, x, ["same"], batch=3)
    np.testing.assert_allclose(small["same"], whole["same"], rtol=1e-9)
    for name in ("sum", "biases", "stabiliser", "relative"):
        assert conserved(small, "same")[name] == pytest.approx(conserved(whole, "same")[name], rel=1e-9)


def test_activations_of_many_steps_hand_all_relevance_on():
    activations = pytest.importorskip("transformers.activations")
    x = torch.randn(6, 2, dtype=torch.float64)
    for name in ("gelu_new", "quick_gelu", "gelu_fast", "silu"):

        class Model(nn.Module):
            def __init__(self, name: str = name) -> None:
                super().__init__()
                self.h, self.act = nn.Identity(), activations.ACT2FN[name]

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.act(self.h(x))

        model = Model()
        found = relevance(model, x, "h", target=1)["h"]
        np.testing.assert_allclose(found, [0.0, model(x)[:, 1].mean().item()], rtol=1e-12)


def test_masked_scores_may_be_infinite():
    def largest(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.stack([a, b], dim=1).masked_fill(torch.tensor([True, False]), -torch.inf).amax(dim=1)

    found = relevance(Formula(largest), torch.tensor([[3.0, -2.0]]), "h", target=0)
    np.testing.assert_array_equal(found["h"], [0.0, -2.0])
    assert conserved(found, "h")["biases"] == 0


class Weighted(nn.Module):
    """A dense layer, written in four ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.how, self.h, self.dense, self.out = how, nn.Identity(), nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, weight, bias = self.h(x), self.dense.weight, self.dense.bias
        ways = {
            "module": lambda: self.dense(x),
            "named": lambda: functional.linear(input=x, weight=weight, bias=bias),
            "addmm": lambda: torch.addmm(bias, x, weight.T),
            "convolution": lambda: functional.conv1d(input=x[:, :, None], weight=weight[:, :, None], bias=bias)[
                :, :, 0
            ],
        }
        return self.out(functional.relu(input=ways[self.how]()))


@pytest.mark.parametrize("rule", RULE[1:3], ids=str)
@pytest.mark.parametrize("how", ["named", "addmm", "convolution"])
def test_a_dense_layer_has_the_same_relevance_however_it_is_written(how, rule):
    x = torch.randn(6, 4, dtype=torch.float64)
    found, module = (relevance(Weighted(each).double(), x, "h", **rule) for each in (how, "module"))
    np.testing.assert_allclose(found["h"], module["h"], rtol=1e-9)


def test_products_with_weights_follow_the_rule_and_others_the_stabiliser_alone():
    weight = nn.Parameter(torch.tensor([[1.0, 2.0], [-3.0, 1.0]], dtype=torch.float64), requires_grad=False)
    x = torch.tensor([[2.0, 1.0]], dtype=torch.float64)

    def product(matrix):
        return relevance(Formula(lambda a, b: (torch.stack([a, b], 1) @ matrix())[:, 1]), x, "h", 0, rule="gamma")["h"]

    plain, raised, turned = (product(each) for each in (weight.detach, lambda: weight, lambda: weight.T))
    np.testing.assert_allclose(plain, [4.0, 1.0], rtol=1e-6)  # 2 * 2 + 1 * 1 = 5
    np.testing.assert_allclose(raised, [4.0, 1.0], rtol=1e-6)
    # 2 * -3 + 1 * 1 = -5: of a negative sum the negative part counts 1.25 times
    np.testing.assert_allclose(turned, [-5 * 7.5 / 6.5, 5 / 6.5], rtol=1e-6)


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


def test_every_name_in_the_table_is_that_of_a_function_of_torch():
    rooms = (torch, torch.Tensor, functional, torch.linalg)
    own = {"__get__", "__set__", "gated", "activation", "boolean_dispatch", "linalg_norm", "linalg_vector_norm"}
    assert [name for name in RULES if name not in own and not any(hasattr(room, name) for room in rooms)] == []
