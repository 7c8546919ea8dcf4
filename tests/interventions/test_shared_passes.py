"""Changes that share a pass give the logits of passes of their own, and share none where they would not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ndg
from ndg.activations.batches import compute_batches
from ndg.interventions.passes import BaselinePass, Passes
from ndg.interventions.shared_passes import STACK, run_each, run_parts
from ndg.interventions.substitution import Boolean, Substitution

ROWS, LAYER = 40, "latent"


class Network(nn.Module):
    """A latent layer; its rest counts passes by their number of rows."""

    def __init__(self, rest: nn.Module, path: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.front = nn.Linear(6, 7)
        self.latent = path or nn.Sigmoid()
        self.rest, self.out = rest, nn.Linear(7, 3)
        self.rows: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.rows.append(len(x))
        hidden = self.front(x)
        return self.out(self.rest(self.latent(hidden) + hidden))


class OverRows(nn.Module):
    """Reads the other rows of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


class ByChance(nn.Module):
    """Drops at random, also in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class OneSize(nn.Module):
    """Takes 16 rows and no other number."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(16, 7)


def baseline(rest: nn.Module) -> tuple[Network, Passes, BaselinePass]:
    """The network, its passes, and the untouched pass of 16 rows."""
    network = Network(rest).eval()
    made = torch.Generator().manual_seed(6)
    loader = [(torch.randn(ROWS, 6, generator=made), torch.arange(ROWS) % 3)]
    graph = ndg.mine(ndg.extract(Network(nn.Identity()), loader, layers=[LAYER]), alpha=1.5)
    passes = Passes.of(network, graph, [LAYER], any_network=True)
    return network, passes, passes.baseline(next(compute_batches(loader, 16)))


def shared(rest: nn.Module, many: int) -> tuple[Network, list[Tensor], list[Tensor]]:
    """The network, and its logits under each change, together and one by one."""
    network, passes, known = baseline(rest)
    booleans = np.random.default_rng(7).random((many, 16, 7)) < 0.5
    changes = [Substitution(Boolean(), known, LAYER, each).write for each in booleans]
    torch.manual_seed(8)
    alone = [passes.run(known, {LAYER: change})[0] for change in changes]
    list(run_each(passes, known, LAYER, changes))  # here it is tried whether they share passes
    network.rows.clear()
    torch.manual_seed(8)
    return network, list(run_each(passes, known, LAYER, changes)), alone


@pytest.mark.parametrize("many", [1, STACK - 1, STACK, 2 * STACK + 3])
def test_changes_share_passes_and_give_the_same_logits(many):
    network, together, alone = shared(nn.ReLU(), many)
    assert all(map(torch.equal, together, alone))
    assert len(together) == many
    assert network.rows == ([16] if many == 1 else [STACK * 16] * -(-many // STACK))


@pytest.mark.parametrize("rest", [OverRows(), ByChance(), OneSize()])
def test_a_network_whose_logits_would_differ_runs_each_change_alone(rest):
    network, together, alone = shared(rest, 2 * STACK)
    assert all(map(torch.equal, together, alone))
    assert network.rows == [16] * 2 * STACK


@pytest.mark.parametrize(("rest", "together"), [(nn.ReLU(), True), (OverRows(), False), (OneSize(), False)])
def test_rows_under_writes_share_passes_where_the_logits_stay(rest, together):
    network, passes, known = baseline(rest)
    drawn = np.random.default_rng(9)
    wanted = [drawn.integers(0, 16, size) for size in (*[16] * (2 * STACK + 4), 5)]
    changes = [Substitution(Boolean(), known, LAYER, drawn.random((len(rows), 7)) < 0.5, rows=rows) for rows in wanted]
    alone = [passes.run(known, {LAYER: change}, [LAYER], rows) for change, rows in zip(changes, wanted, strict=True)]
    for _ in range(2):  # in the first it is tried whether passes can be shared
        network.rows.clear()
        parts = ((change.write, rows) for change, rows in zip(changes, wanted, strict=True))
        shared = list(run_parts(passes, known, LAYER, parts, [LAYER]))
    assert network.rows == ([STACK * 16] * 3 if together else [16] * len(wanted))
    for (logits, bits), (own, own_bits) in zip(shared, alone, strict=True):
        assert torch.equal(logits, own)
        assert np.array_equal(bits[LAYER], own_bits[LAYER])
