"""One tape for all layers: what it reads, what it leaves alone, and what it refuses."""

import pytest
import torch
from torch import nn

from ndg.errors import LayerError
from ndg.gradients.tape import Tape


class InPlace(nn.Module):
    """A convolution whose output the next module overwrites, a sum in place, and a frozen first part."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(inplace=True)
        self.second, self.out = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.act(self.first(x))
        g = self.second(h)
        g += h
        return self.out(self.act2(g))

    def act2(self, g: torch.Tensor) -> torch.Tensor:
        return g.relu_().flatten(1)


LAYERS = ["first", "act", "second"]


@pytest.mark.parametrize("frozen", [False, True])
def test_logits_are_those_of_the_bare_network_and_outputs_are_before_what_works_in_place(frozen):
    torch.manual_seed(0)
    model, x = InPlace().requires_grad_(not frozen), torch.randn(5, 1, 4, 4)
    with torch.no_grad():
        bare = model(x)
        first = model.first(x)
    with Tape(model, LAYERS) as tape:
        logits = tape.run(x)
        assert torch.equal(logits.detach(), bare)
        assert torch.equal(tape["first"], first.flatten(2))
        assert torch.equal(tape["act"], first.relu().flatten(2))
        gradients = tape.gradients(logits[:, 1])
    assert set(gradients) == set(LAYERS)
    on = first.flatten(2) > 0
    assert ((gradients["first"] != 0) <= on).all()
    assert torch.equal(gradients["first"], gradients["act"] * on)


def test_gradients_are_those_of_each_example_alone():
    torch.manual_seed(0)
    model, x = InPlace().double(), torch.randn(5, 1, 4, 4, dtype=torch.float64)
    with Tape(model, LAYERS) as tape:
        together = tape.gradients(tape.run(x)[:, 2])
        for example in range(5):
            alone = tape.gradients(tape.run(x[example : example + 1])[:, 2])
            for layer in LAYERS:
                torch.testing.assert_close(together[layer][example], alone[layer][0])


def test_parameters_get_no_gradient_and_keep_the_one_they_have():
    model, x = InPlace(), torch.randn(5, 1, 4, 4)
    model.out.weight.grad = torch.ones_like(model.out.weight)
    with Tape(model, LAYERS) as tape:
        tape.gradients(tape.run(x)[:, 0])
    assert torch.equal(model.out.weight.grad, torch.ones_like(model.out.weight))
    assert all(p.grad is None for name, p in model.named_parameters() if name != "out.weight")


def test_a_module_that_returns_a_tuple_is_read_at_its_first_element():
    class Pair(nn.Module):
        def forward(self, x):
            return 2 * x, "beside"

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            first, beside = self.pair(x)
            assert beside == "beside"
            return 3 * first

    with Tape(Model(), ["pair"]) as tape:
        gradients = tape.gradients(tape.run(torch.ones(4, 2))[:, 1])
    assert gradients["pair"].tolist() == [[[0.0], [3.0]]] * 4


def test_a_frozen_part_that_runs_without_gradients_is_read_at_its_end():
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer, self.out = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                h = self.outer(self.inner(x))
            return self.out(h)

    model = Frozen()
    with Tape(model, ["outer"]) as tape:
        gradient = tape.gradients(tape.run(torch.randn(4, 3))[:, 1])["outer"]
    assert torch.equal(gradient[:, :, 0], model.out.weight[1].detach().expand(4, 3))
    with pytest.raises(LayerError, match="from 'inner' there is none"), Tape(model, ["inner"]) as tape:
        tape.gradients(tape.run(torch.randn(4, 3))[:, 1])


class Faulty(nn.Module):
    """Layers with every fault that has a message."""

    latent_layer = "used"

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.twice = nn.Linear(3, 3), nn.Linear(3, 3), nn.Tanh()
        self.detached, self.rounded, self.tokens = nn.Linear(3, 3), nn.Linear(3, 3), nn.Flatten(1)
        self.positions, self.transposed, self.out = nn.Identity(), nn.Identity(), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.positions(x[:, None])
        self.transposed(x.T)
        self.tokens(x.long())
        cut = self.detached(x).detach() + torch.nn.functional.one_hot(self.rounded(x).argmax(1), 3)
        return self.out(self.twice(self.used(x)) + self.twice(cut))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("usde", r"no layer 'usde' in Faulty; nearest: used, unused"),
        ("unused", r"'unused' was not used; choose a layer on the way from inputs to logits"),
        ("twice", r"'twice' was used several times; give each use a module of its own, or choose another layer"),
        (
            "detached",
            r"from 'detached' there is none; choose a layer .* or remove the detach, no_grad or argmax between",
        ),
        ("rounded", r"has a gradient path to the logits; from 'rounded' there is none"),
        (
            "positions",
            r"has a gradient path to the logits; from 'positions' there is none",
        ),
        ("transposed", r"for each of the 5 examples .*; 'transposed' gives \(3, 5\)"),
        ("tokens", r"'tokens' gives torch.int64 of shape \(5, 3\)"),
    ],
)
def test_a_layer_without_scores_says_why(layer, message):
    model = Faulty()
    with pytest.raises(LayerError, match=message), Tape(model, [layer]) as tape:
        tape.gradients(tape.run(torch.randn(5, 3))[:, 0])
    assert not any(module._forward_hooks for module in model.modules())


def test_a_network_whose_logits_have_no_gradient_at_all_says_so():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return 2 * self.layer(x)

    with pytest.raises(LayerError, match="from 'layer' there is none"), Tape(Cut(), ["layer"]) as tape:
        tape.gradients(tape.run(torch.randn(5, 3))[:, 0])
