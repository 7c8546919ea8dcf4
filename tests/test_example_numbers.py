"""Messages name the number that an example has in the loader, also where examples were chosen or drawn."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.activations.batches import compute_batches
from ndg.activations.sampling import Subset, only
from ndg.errors import DataError, LayerError
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions

OPTIONS = RunOptions(batch=4)

BROKEN, EXAMPLES = 33, 40
NUMBERS = np.array([4, 11, 20, 27, BROKEN, 38])
METHODS = ["gndi", "conductance", "ablation", "shapley", "integrated", "influence", "activation", "gradient"]
METHODS += ["gradient_x_activation", "lrp"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).eval()


def loader(broken: bool = True) -> list:
    x = torch.randn(EXAMPLES, 3, generator=torch.Generator().manual_seed(1))
    x[BROKEN, 0] = float("nan") if broken else 0.0
    return [(x, torch.arange(EXAMPLES) % 4)]


@pytest.mark.parametrize("method", METHODS)
def test_scores_name_the_example(method):
    with pytest.raises(LayerError, match=f"is NaN at example {BROKEN}"):
        ndg.score(network(), Subset(loader(), NUMBERS), ["1"], method, options=OPTIONS)
    settings = ScoreSettings(baselines="mean" if method not in ("gradient", "lrp") else "zero")
    with pytest.raises(LayerError, match=f"is NaN at example {BROKEN}"):
        ndg.score(network(), Subset(loader(), NUMBERS), ["1"], method, settings=settings, options=OPTIONS)


def test_an_extraction_of_drawn_examples_names_the_example():
    x = loader()[0][0]
    seed = next(seed for seed in range(50) if BROKEN in _drawn(x, seed))
    with pytest.raises(LayerError, match=f"is NaN at example {BROKEN}"):
        ndg.extract(network(), [x], ["1"], settings=ndg.ReadingSettings(max_examples=8), options=RunOptions(seed=seed))


def _drawn(x: torch.Tensor, seed: int) -> set[int]:
    from ndg.activations.sampling import chosen

    return set(chosen(seed, len(x), 8).tolist())


def test_a_trial_and_a_mask_name_the_example():
    net = network()
    graph = ndg.mine(ndg.extract(net, loader(broken=False), ["1"]), alpha=1.05)
    for study in (ndg.trial, ndg.try_edges):
        fit = {"fit": loader(broken=False)}
        with pytest.raises(LayerError, match=f"is NaN at example {BROKEN}"):
            study(net, graph, Subset(loader(), NUMBERS), **fit, options=RunOptions(batch=4, executor="serial"))

    mask = torch.ones(EXAMPLES, 5)
    mask[BROKEN] = 0
    words = [{"tokens": torch.randn(EXAMPLES, 5, 3), "attention_mask": mask}]

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.layer(tokens).sum(dim=1)

    for run in (
        lambda part: ndg.score(Tokens(), part, ["layer"], "gndi", options=OPTIONS),
        lambda part: ndg.extract(Tokens(), part, ["layer"]),
    ):
        with pytest.raises(DataError, match=re.escape(f"the attention_mask of example {BROKEN} leaves out")):
            run(Subset(words, NUMBERS))


def test_numbers_go_with_the_rows():
    batches = list(compute_batches(only(loader()[0:1], NUMBERS), 4))
    assert [batch.number(row) for batch in batches for row in range(batch.count)] == NUMBERS.tolist()
