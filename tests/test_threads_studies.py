"""Studies in many threads give what serial gives, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import executors, extraction
from ndg.abstraction.edges import try_edges
from ndg.abstraction.interchange import InterchangeSettings, interchange
from ndg.abstraction.minimal import MinimalSettings, minimal
from ndg.abstraction.trial import trials
from ndg.discovery import mine
from ndg.importance.score import score
from ndg.options import RunOptions

LAYERS = ["first", "latent"]
METHODS = {"ablation": {}, "shapley": {"permutations": 4}, "gndi": {}, "activation": {}, "gradient": {}}


class Net(nn.Module):
    """A network with a hook of the user and state of its own."""

    latent_layer = "latent"

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(6, 12)
        self.first = nn.Sigmoid()
        self.middle = nn.Linear(12, 8)
        self.latent = nn.Sigmoid()
        self.out = nn.Linear(8, 3)
        self.register_buffer("passes", torch.zeros(()), persistent=False)
        self.middle.register_forward_hook(lambda module, arguments, output: 3 * output)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        self.last = self.first(self.front(inputs))
        return self.out(self.latent(self.middle(self.last)))


@pytest.fixture(scope="module")
def setting():
    torch.manual_seed(0)
    model = Net().eval()
    inputs = torch.randn(50, 6)
    with torch.no_grad():
        loader = [(inputs, model(inputs).argmax(dim=1))]
    graph = mine(extraction.extract(model, loader, LAYERS), alpha=1.2)
    return model, graph, loader


def options(executor) -> RunOptions:
    return RunOptions(batch=16, executor=executor, seed=3)


def results(setting, executor):
    """Everything that the studies measure."""
    model, graph, loader = setting
    how = options(executor)
    layered = mine(extraction.extract(model, loader, ["latent"]), alpha=1.2)
    bits = extraction.extract(model, loader, LAYERS, options=RunOptions(batch=16, executor=executor))
    tried = trials(model, layered, loader, ["Q", "G.1"], fit=loader, options=how)
    few, pool = MinimalSettings(examples=20, budget=40), InterchangeSettings(pool=32)
    plain = {"executor": "", "reason": ""}
    return {
        "bits": bits.words.tobytes(),
        "trials": {name: replace(result, **plain) for name, result in tried.items()},
        "edges": replace(try_edges(model, graph, loader, fit=loader, options=how), **plain).frame().to_csv(),
        "minimal": minimal(model, layered, loader, settings=few, options=how).frame().to_csv(),
        "interchange": interchange(model, layered, loader, settings=pool, options=how).frame().to_csv(),
        "scores": {method: _values(model, loader, method, how) for method in METHODS},
    }


def _values(model, loader, method, how):
    scores = score(model, loader, LAYERS, method, options=how, **METHODS[method])
    return [np.asarray(scores.values[layer]).tobytes() for layer in LAYERS]


def test_every_study_is_the_same_in_threads(setting):
    expected = results(setting, "serial")
    found = results(setting, executors.threads(8))
    for name, value in expected.items():
        assert found[name] == value, name


def test_heads_are_seen_in_threads():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(24, 3)).eval()
    loader = [torch.randn(60, 3, 8)]
    expected, found = (
        score(model, loader, ["0.self_attn.heads"], "ablation", options=options(executor)).values["0.self_attn.heads"]
        for executor in ("serial", executors.threads(8))
    )
    assert np.array_equal(expected, found)
