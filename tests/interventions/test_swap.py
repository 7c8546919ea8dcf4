"""Logits of swapped pairs equal those of hooks on the whole network, and little of the network runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg.activations.hooks import Overwrite, Trace
from ndg.errors import DataError, LayerError, ShapeError
from ndg.interventions.swap import swap
from tests.interventions.test_passes import images, tokens

PAIRS = 30


def pairs(rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    base, source = np.random.default_rng(0).integers(0, rows, (2, PAIRS))
    base[:3], source[:3] = base[3:6], source[3:6]
    base[6], source[6] = 9, 9
    return base, source


def by_hooks(model: nn.Module, inputs, layer: str, units, base: np.ndarray, source: np.ndarray) -> Tensor:
    """One pair after the other, the whole network for each."""

    def rows(which: int):
        part = slice(which, which + 1)
        return {key: column[part] for key, column in inputs.items()} if isinstance(inputs, dict) else inputs[part]

    def run(given) -> Tensor:
        return model(**given) if isinstance(given, dict) else model(given)

    found = []
    with torch.no_grad():
        for one, other in zip(base.tolist(), source.tolist(), strict=True):
            with Trace(model, [layer]) as trace:
                run(rows(other))
                value = trace[layer].clone()

            def change(output: Tensor, value: Tensor = value) -> Tensor:
                changed = output.clone()
                for unit in range(output.shape[2 if output.ndim == 3 else 1]) if units is None else units:
                    where = (slice(None), slice(None), unit) if output.ndim == 3 else (slice(None), unit)
                    changed[where] = value[where]
                return changed

            with Overwrite(model, layer, change):
                found.append(run(rows(one)))
    return torch.cat(found)


def inputs_of(made):
    model, loader = made()
    given = loader[0]
    return model, {key: column for key, column in given.items() if key != "labels"} if made is tokens else given[0]


@pytest.mark.parametrize(
    ("made", "layer"), [(images, "front"), (images, "second"), (images, "latent"), (tokens, "embed"), (tokens, "act")]
)
@pytest.mark.parametrize("units", [None, [0], [1, 2], [3, 0]])
def test_logits_are_those_of_hooks(made, layer, units):
    model, inputs = inputs_of(made)
    base, source = pairs()
    expected = by_hooks(model, inputs, layer, units, base, source)
    for batch in (7, 40, 64):
        assert torch.allclose(swap(model, inputs, layer, units, base, source, batch=batch), expected, atol=1e-5)


def test_a_loader_is_a_pool():
    model, inputs = inputs_of(images)
    base, source = pairs()
    whole = swap(model, inputs, "second", [1], base, source, batch=16)
    assert torch.equal(swap(model, list(inputs.split(9)), "second", [1], base, source, batch=16), whole)


def test_the_front_runs_once_and_the_rest_once_for_each_distinct_pair():
    model, inputs = inputs_of(images)
    base, source = pairs()
    behind: list[int] = []
    model.out.register_forward_hook(lambda module, arguments, output: behind.append(len(output)))
    before = model.front.passes
    swap(model, inputs, "second", [1], base, source, batch=8)
    distinct = set(zip(base.tolist(), source.tolist(), strict=True))
    assert model.front.passes - before == 40 / 8 + 1  # two rows try whether rows can be selected
    assert sum(behind) == 8 * -(-len(distinct) // 8) + 2 + 2
    assert len(distinct) < PAIRS


def test_nothing_swapped_gives_the_logits_to_the_bit():
    model, inputs = inputs_of(images)
    base = np.arange(40)
    with torch.no_grad():
        untouched = model(inputs)
    for units in (None, [0, 1]):
        assert torch.allclose(swap(model, inputs, "second", units, base, base, batch=40), untouched, atol=1e-6)
    assert torch.equal(swap(model, inputs, "second", [], base, base[::-1].copy(), batch=40), untouched)


class Shaped(nn.Module):
    """What comes before the layer gives a tensor whose first axis is no example, but as long as the pool."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(size, 6)
        self.layer, self.out = nn.Linear(6, 6), nn.Linear(6, 2)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        weights = self.table(torch.arange(self.size))  # (size, 6), whatever the rows are
        return self.out(self.layer(x).relu() @ weights.T @ weights)


def test_a_tensor_as_long_as_the_pool_is_not_taken_for_examples():
    model = Shaped(12).eval()
    inputs = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
    base, source = pairs(12)
    found = swap(model, inputs, "layer", [0, 4], base, source, batch=12)
    assert torch.allclose(found, by_hooks(model, inputs, "layer", [0, 4], base, source), atol=1e-4)


class Twice(nn.Module):
    """Uses its layer twice; another gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.both, self.out = nn.Linear(4, 4), Both(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.both(self.layer(self.layer(x)))
        return self.out(first * second)


class Both(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.tanh(), x.exp()


def test_the_rest_of_a_tuple_stays_the_bases():
    model = Twice().eval()
    inputs = torch.randn(20, 4, generator=torch.Generator().manual_seed(2))
    base, source = pairs(20)
    for units in (None, [0, 3]):
        found = swap(model, inputs, "both", units, base, source, batch=16)
        assert torch.allclose(found, by_hooks(model, inputs, "both", units, base, source), atol=1e-5)


def test_the_network_is_left_as_it_was():
    model, inputs = inputs_of(images)
    model.train()
    found = swap(model, inputs, "second", [0], *pairs(), batch=16)
    assert not any("forward" in vars(module) for module in model.modules())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert not found.is_inference()
    assert not found.requires_grad


def test_what_is_asked_for_must_exist():
    model, inputs = inputs_of(images)
    base, source = pairs()
    with pytest.raises(LayerError, match="no layer 'seconds' in Images; nearest: second"):
        swap(model, inputs, "seconds", None, base, source)
    with pytest.raises(LayerError, match="units of 'second' are 0 to 5; got 2 to 6"):
        swap(model, inputs, "second", [2, 6], base, source)
    with pytest.raises(ShapeError, match="each base has one source; got 30 bases and 29 sources"):
        swap(model, inputs, "second", None, base, source[1:])
    with pytest.raises(DataError, match="rows of the pool, 0 to 39; got 0 to 40"):
        swap(model, inputs, "second", None, np.array([0, 40]), np.array([0, 1]))
    with pytest.raises(DataError, match="a pool has at least one example"):
        swap(model, [], "second", None, base, source)
    with pytest.raises(LayerError, match="used once in a forward pass; 'layer' was used 2 times"):
        swap(Twice(), torch.zeros(3, 4), "layer", None, np.array([0]), np.array([1]))
