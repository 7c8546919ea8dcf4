"""What functions of a network do with relevance: by hand, however they are written, and refused without a rule."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.activations.batches import fixed
from ndg.errors import LayerError
from ndg.importance.methods.lrp.rules import RULES
from tests.importance.test_lrp import RULE, Many, conserved, relevance


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
    with pytest.raises(
        LayerError, match=r"which compiled code does not allow; '1' is compiled; score the original module"
    ):
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


def test_every_name_in_the_table_is_that_of_a_function_of_torch():
    rooms = (torch, torch.Tensor, functional, torch.linalg)
    own = {"__get__", "__set__", "gated", "activation", "boolean_dispatch", "linalg_norm", "linalg_vector_norm"}
    assert [name for name in RULES if name not in own and not any(hasattr(room, name) for room in rooms)] == []
