"""Flat keywords of earlier versions give what settings and options give, with a warning."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

import ndg

OPTIONS = ndg.RunOptions(executor="serial", seed=3, batch=32)
FLAT: dict[str, Any] = {"executor": "serial", "seed": 3, "batch": 32}


@cache
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 3))


@cache
def loader(seed: int = 1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    inputs = 3 * torch.randn(80, 4, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return [(inputs, network()(inputs).argmax(dim=1))]


@cache
def graph() -> ndg.NDG:
    bits = ndg.extract(network(), loader(), ["1"], settings=ndg.ReadingSettings(binarizer="median"))
    return ndg.mine(bits, "confidence", confidence=0.8, support=3)


STUDIES: dict[str, tuple[Any, dict[str, Any], Any, dict[str, Any]]] = {
    "trial": (ndg.trial, {"fit": loader()}, ndg.TrialSettings("1", draws=2), {"layer": "1", "draws": 2}),
    "interchange": (ndg.interchange, {}, ndg.InterchangeSettings(pool=20), {"pool": 20}),
    "try_edges": (ndg.try_edges, {"fit": loader()}, ndg.EdgeSettings(least=5), {"least": 5}),
    "minimal": (ndg.minimal, {"fit": loader()}, ndg.MinimalSettings("1", examples=5), {"layer": "1", "examples": 5}),
}


def plain(result: Any) -> Any:
    return result.to_dict()


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_of_a_graph_takes_old_keywords(name):
    study, more, settings, flat = STUDIES[name]
    new = study(network(), graph(), loader(2), **more, settings=settings, options=OPTIONS)
    with pytest.warns(DeprecationWarning, match="is deprecated; pass"):
        old = study(network(), graph(), loader(2), **more, **flat, **FLAT)
    assert plain(new) == plain(old)


def test_explain_extract_score_and_mine_take_old_keywords():
    example, settings = loader()[0][0][:1], ndg.ExplainSettings(layer="1")
    new = ndg.explain(network(), graph(), example, fit=loader(), settings=settings, options=OPTIONS)
    with pytest.warns(DeprecationWarning, match="is deprecated; pass"):
        old = ndg.explain(network(), graph(), example, fit=loader(), layer="1", **FLAT)
    assert plain(new) == plain(old)
    bits = ndg.extract(network(), loader(), ["1"], settings=ndg.ReadingSettings(binarizer="median"), options=OPTIONS)
    with pytest.warns(DeprecationWarning, match="is deprecated; pass"):
        assert ndg.extract(network(), loader(), ["1"], binarizer="median", **FLAT) == bits
    scores = ndg.score(network(), loader(), ["1"], settings=ndg.ScoreSettings("mean"), options=OPTIONS)
    flat = {"executor": "serial", "seed": 3, "internal_batch_size": 32}
    with pytest.warns(DeprecationWarning, match="is deprecated; pass"):
        assert plain(ndg.score(network(), loader(), ["1"], baselines="mean", **flat)) == plain(scores)
    with pytest.warns(DeprecationWarning, match="is deprecated; pass"):
        assert ndg.mine(bits, alpha=3, device="cpu") == ndg.mine(bits, alpha=3)


def test_an_old_keyword_is_an_error_in_these_tests():
    """By the settings of pytest: no other test can call a study the old way."""
    with pytest.raises(DeprecationWarning, match=r"mine\(device=...\) is deprecated; pass options=RunOptions"):
        ndg.mine(graph(), device="cpu")
