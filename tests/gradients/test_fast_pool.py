"""What is quicker than torch's own is equal to it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.gradients import fast_pool
from ndg.gradients.fast_pool import QuickPools, along
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    monkeypatch.setattr(fast_pool, "MANY", 1)


def pooled(values: torch.Tensor, *arguments: object, **named: object) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Values, gradients, and what made them."""
    leaf = values.clone().requires_grad_()
    found = functional.max_pool2d(leaf, *arguments, **named)
    weights = torch.linspace(1, 2, found.numel()).view(found.shape)
    return found.detach(), torch.autograd.grad((found * weights).sum(), leaf)[0], type(found.grad_fn).__name__


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 1, 2, 2), (3, 2, 8, 2)])
@pytest.mark.parametrize("kind", ["random", "ties", "infinite", "nan"])
def test_pools_are_torchs_to_the_last_bit(shape, kind):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if kind == "ties":
        values = values.round().relu()
    if kind in ("infinite", "nan"):
        values[values > 0.5] = float("-inf") if kind == "infinite" else float("nan")
    expected = pooled(values, 2)
    with QuickPools():
        found = pooled(values, 2)
    assert found[2] == "_PoolBackward" != expected[2]
    for one, other in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("shape", "arguments", "named"),
    [
        ((2, 3, 5, 6), (2,), {}),
        ((2, 3, 6, 6), (3,), {}),
        ((2, 3, 6, 6), (2, 1), {}),
        ((2, 3, 6, 6), (2,), {"padding": 1}),
        ((2, 3, 6, 6), (2,), {"dilation": 2}),
        ((2, 3, 6, 6), (2,), {"ceil_mode": True}),
        ((3, 6, 6), (2,), {}),
    ],
)
def test_other_pools_are_left_to_torch(shape, arguments, named):
    values = torch.randn(shape)
    expected = pooled(values, *arguments, **named)
    with QuickPools():
        found = pooled(values, *arguments, **named)
    assert found[2] == expected[2]
    assert torch.equal(found[0], expected[0])


def test_windows_as_pairs_and_inputs_by_name():
    values = torch.randn(1, 2, 4, 4)
    with QuickPools():
        assert torch.equal(
            nn.MaxPool2d((2, 2), stride=(2, 2))(values), functional.max_pool2d(input=values, kernel_size=2)
        )
        with_places, _ = functional.max_pool2d(values, 2, return_indices=True)
    assert torch.equal(with_places, functional.max_pool2d(values, 2))


@pytest.mark.parametrize("turned", [False, True])
def test_sums_of_slopes_times_changes(turned):
    slopes, after, before = torch.randn(3, 5, 7, 11)
    if turned:
        after = after.transpose(0, 1).contiguous().transpose(0, 1)
    exact = (slopes.double() * (after.double() - before.double())).sum(dim=2)
    found = along(slopes, after, before)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)


def test_conductance_is_the_same_without(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4), nn.ReLU(), nn.Linear(4, 2)
    )
    layers, examples = ["1", "2", "5"], [torch.rand(6, 1, 8, 8)]
    found = score(model, examples, layers, "conductance", settings=ScoreSettings(n_steps=9))
    monkeypatch.setattr(fast_pool, "MANY", 1 << 60)
    expected = score(model, examples, layers, "conductance", settings=ScoreSettings(n_steps=9))
    for layer in layers:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-5, atol=1e-7)
