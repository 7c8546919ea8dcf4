"""The filter experiment: correlations written out, and a classifier that no test example helped to choose."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg.errors import ConfigError, DataError
from ndg.importance.experiments.filters import FilterSettings, filter_experiment
from ndg.importance.method import Method
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.scores import Scores
from ndg.options import RunOptions

PLACES = ((0, 0), (0, 1), (1, 0))
"""Where, in every patch of 2 x 2 pixels, an image of each class is bright."""


class Network(nn.Module):
    """Filters of patches: the first three each see the place of their own class, the others only noise."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.filters, self.relu = nn.Conv2d(1, 8, 2, stride=2, bias=False), nn.ReLU()
        self.out = nn.Linear(8 * 9, 3)
        self.out.weight.data *= 0.1
        self.filters.weight.data = torch.zeros(8, 1, 2, 2)
        self.filters.weight.data[3:, 0, 1, 1] = torch.arange(1.0, 6.0) / 5
        for label, (row, column) in enumerate(PLACES):
            self.filters.weight.data[label, 0, row, column] = 1.0
            self.out.weight.data[label, label * 9 : label * 9 + 9] = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.relu(self.filters(x)).flatten(1))


def examples(each: int = 30, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, and brighter where the class is."""
    labels = torch.arange(3).repeat(each)
    inputs = torch.rand(len(labels), 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    for image, label in zip(inputs, labels.tolist(), strict=True):
        row, column = PLACES[label]
        image[0, row::2, column::2] += 0.3
    return inputs, labels


FIT, TEST = 12, 8
SETTINGS = FilterSettings(FIT, TEST, top=(1, 3), draws=6)


def run(loader, methods=("gndi", "conductance"), seed=0, **changes):
    settings, options = replace(SETTINGS, **changes), RunOptions(batch=16, seed=seed)
    return filter_experiment(Network(), loader, "filters", methods, settings=settings, options=options)


def drawn(found, loader):
    """The examples of each class that the experiment fits with, by its own seed."""
    from ndg import seeds

    inputs, labels = loader
    for label in found.labels:
        rows = np.flatnonzero(labels.numpy() == label)
        yield label, inputs[seeds.generator(0, "filter examples", label).permutation(rows)[:FIT]]


def test_correlations_are_of_each_class_with_its_own_drop():
    loader, model = examples(), Network()
    found = run([loader])
    one = found.correlations[0]
    expected = []
    for label, inputs in drawn(found, loader):
        first = score(model, [inputs], "filters", "gndi", target=label, options=RunOptions(batch=16))["filters"]
        drop = []
        for unit in range(8):
            maps = model.filters(inputs)
            maps[:, unit] = 0
            drop.append((model(inputs) - model.out(model.relu(maps).flatten(1)))[:, label].mean().item())
        expected.append(np.corrcoef(first, drop)[0, 1])
    np.testing.assert_allclose(one.classes, expected, rtol=1e-5)
    row = found.rows()[0]
    assert row["pearson"] == pytest.approx(np.mean(expected))
    assert (row["n"], row["classes"], row["least"]) == (8, 3, pytest.approx(min(expected)))
    assert row["pearson_low"] <= row["pearson"] <= row["pearson_high"]
    assert row["other_class"] < row["pearson"]


def test_ablation_itself_correlates_perfectly():
    row = run([examples()], ["ablation"]).rows()[0]
    assert row["pearson"] == pytest.approx(1)
    assert row["pearson_low"] == pytest.approx(1)


def test_a_classifier_on_the_right_filters_beats_random_ones():
    rows = run([examples()], ["ablation"], draws=30).probe_rows()
    best = next(row for row in rows if row["k"] == 3)
    assert best["accuracy_low"] > best["random_high"]
    assert best["n"] == 3 * TEST
    assert best["accuracy_low"] <= best["accuracy"] <= best["accuracy_high"]
    assert best["random_low"] <= best["random"] <= best["random_high"]
    assert best["draws"] == 30
    assert rows[-1]["method"] == "all filters"
    assert rows[-1]["k"] == 8


def test_no_test_example_is_used_to_choose_or_to_fit(monkeypatch):
    seen = []

    def watched(model, loader, layers, settings):
        seen.append(torch.cat([inputs for inputs, _ in loader]))
        return Scores(
            "watched", {"filters": np.arange(8.0)}, {"filters": 0.0}, 0, "zero activation", len(seen[-1])
        )  # fmt: skip

    monkeypatch.setitem(IMPORTANCE, "watched", Method(watched, title="watched", source="this test"))
    loader = examples()
    found = run([loader], ["watched"])
    expected = [inputs for _, inputs in drawn(found, loader)]
    assert len(seen) == 3
    assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))


def test_constant_scores_have_no_correlation(monkeypatch):
    def flat(model, loader, layers, settings):
        return Scores("flat", {"filters": np.ones(8)}, {"filters": 0.0}, 0, "zero activation", 1)

    monkeypatch.setitem(IMPORTANCE, "flat", Method(flat, title="flat", source="this test"))
    found = run([examples()], ["flat"])
    row = found.rows()[0]
    assert (row["pearson"], row["pearson_low"], row["classes"], row["least"]) == (None, None, 0, None)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_the_loader_changes_nothing_and_the_seed_draws():
    inputs, labels = examples()
    whole = run([(inputs, labels)]).to_dict()
    assert run(list(zip(inputs.split(7), labels.split(7), strict=True))).to_dict() == whole
    assert run([(inputs, labels)], seed=1).to_dict() != whole
    assert len(run([(inputs, labels)]).frame()) == 2


def test_what_does_not_fit_is_refused():
    inputs, labels = examples(10)
    with pytest.raises(DataError, match=r"every class needs 20 examples, 12 to fit and 8 to test; class 0 has 10"):
        run([(inputs, labels)])
    with pytest.raises(DataError, match="needs examples with their true classes"):
        run([inputs])
    with pytest.raises(ConfigError, match=r"the best filters are 1 to 8 of layer 'filters'; got \[9\]"):
        run([examples()], top=(9,))
    with pytest.raises(ConfigError, match="at least 1 example of each class to fit and to test"):
        run([examples()], test=0)
