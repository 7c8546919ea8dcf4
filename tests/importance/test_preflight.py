"""What a method refuses is found on few examples; what is the fault of a layer is told apart from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from ndg import progress
from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.executors import ordered_sum
from ndg.importance.evaluation.preflight import check, first, refusal, sound
from ndg.importance.evaluation.scoreboard import BoardSettings, scoreboard
from ndg.importance.evaluation.spec import stepping
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.settings import Settings
from ndg.options import RunOptions
from tests.importance.test_gndi import Halves, convolutional, dense
from tests.importance.test_score_cache import Counted
from tests.importance.test_scoreboard import examples


class Steep(nn.Module):
    """Its second layer has NaN gradients wherever the first gives 0: the root of 0 is 0, and infinitely steep."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.last, self.aside = nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.relu(self.first(x))
        return self.last((h * h).sqrt())


def test_a_refusal_is_what_the_method_raises():
    few = first(examples())
    assert [len(batch[""]) for batch in few] == [2]
    for name in IMPORTANCE:
        why = refusal(dense(), few, ["encoder.1"], name, Settings())
        if why is None:
            score(dense(), examples(), ["encoder.1"], name, settings=stepping(name, Settings(n_steps=2)))
            continue
        with pytest.raises(type(why)) as caught:
            score(dense(), examples(), ["encoder.1"], name)
        assert str(why).partition(";")[0] == str(caught.value).partition(";")[0]


def test_a_check_shows_no_progress_bar(monkeypatch):
    shown = []
    for module in (progress, ordered_sum):
        monkeypatch.setattr(module, "bar", lambda items, label, *_, **__: (shown.append(label), items)[1])
    score(dense(), examples(), ["encoder.1"], "gndi")
    assert shown
    shown.clear()
    check(dense(), examples(), ["encoder.1"], ["gndi", "conductance", "ablation"], Settings())
    assert shown == []


@pytest.mark.parametrize(
    ("methods", "how", "kind", "why"),
    [
        (["gndi", "hrank"], {}, LayerError, "^hrank cannot score this request: hrank needs maps of rows and columns"),
        (["gndi", "snip"], {}, LayerError, "^snip cannot score this request: snip needs layers with weights"),
        (["ablation"], {"target": 3}, ConfigError, "0 to 2; got 3"),
        (["ablation:measure=los"], {}, ConfigError, "^ablation:measure=los cannot score .* got 'los'"),
        (["shapley:permutations=5"], {}, ConfigError, "even and at least 4; got 5"),
    ],
)
def test_what_is_refused_is_told_before_anything_is_scored(methods, how, kind, why):
    with pytest.raises(kind, match=why):
        check(dense(), examples(), ["encoder.1"], methods, Settings(**how))
    check(dense(), examples(), ["encoder.1"], ["gndi", "ablation", "activation"], Settings(target=2))


def test_a_check_reads_the_first_examples_alone():
    read = []

    class Loader:
        def __iter__(self):
            for number, batch in enumerate(examples(batch=8)):
                read.append(number)
                yield batch

    check(dense(), Loader(), ["encoder.1"], ["gndi", "ablation"], Settings())
    assert read == [0]


@pytest.mark.parametrize("asked", ["ablation", "ablation:measure=loss", "shapley", "shapley:payoff=loss"])
def test_a_check_passes_no_more_for_more_units(asked):
    passes = []
    by_ray = Settings(options=RunOptions(executor="ray"))
    for units in (20, 300):
        torch.manual_seed(0)
        wide = nn.Sequential(nn.Linear(5, units), nn.Tanh())
        model = Counted(Halves(wide, nn.Linear(units, 3)))
        assert refusal(model, first(examples()), ["encoder.0", "encoder.1"], asked, by_ray) is None
        passes.append(model.runs)
    assert 0 < passes[0] == passes[1] < 12 + 3  # three passes probe the network


@pytest.mark.parametrize("asked", ["ablation", "shapley"])
def test_a_check_looks_at_every_layer(asked):
    few = first([torch.randn(6, 5)])
    model = dense()
    model.head[0].register_forward_hook(lambda *call: torch.full_like(call[2], torch.nan))
    for layers in (["encoder.0"], ["encoder.0", "head.0"]):
        assert isinstance(refusal(model, few, layers, asked, Settings()), LayerError)
    assert isinstance(refusal(dense(), few, ["encoder.0", "encoder.9"], asked, Settings()), LayerError)
    assert isinstance(refusal(dense(), few, ["encoder.0"], asked, Settings(torch.zeros(3))), ShapeError)


def test_without_labels_methods_that_need_them_refuse():
    few = first([torch.randn(6, 5)])
    assert type(refusal(dense(), few, ["encoder.0"], "snip", Settings())) is DataError
    assert refusal(dense(), few, ["encoder.0"], "gndi", Settings()) is None


def test_gradients_that_are_no_numbers_are_a_fault_and_no_refusal():
    data = examples()
    with pytest.raises(LayerError, match="gradients must be numbers; those at 'relu' are NaN"):
        sound(Steep(), first(data), "relu")
    sound(Steep(), first(data), "last")
    assert set(score(Steep(), data, ["relu", "last"], "ablation").layers) == {"relu", "last"}  # which does not see it
    with pytest.raises(LayerError, match="gradients must be numbers; those at 'relu' are NaN"):
        scoreboard(Steep(), data, ["relu", "last"], ["activation", "gndi"], settings=BoardSettings(draws=5))


def test_a_layer_that_is_not_used_is_a_fault():
    with pytest.raises(LayerError, match="'aside' was not used"):
        sound(Steep(), first(examples()), "aside")
    given = score(Steep(), examples(), ["relu"], "ablation")
    both = {"relu": given["relu"], "aside": given["relu"]}
    given = replace(given, values=both, whole=dict.fromkeys(both, 1.0), errors={})
    with pytest.raises(LayerError, match="'aside' was not used"):
        scoreboard(Steep(), examples(), ["relu", "aside"], ["activation"], truth=given, settings=BoardSettings(draws=5))


def test_activations_that_are_no_numbers_are_a_fault():
    model = dense()
    model.encoder[0].weight.data[2, 1] = torch.nan
    with pytest.raises(LayerError, match=r"unit 2 of 'encoder\.1' is NaN at example 0"):
        sound(model, first(examples()), "encoder.1")


def test_a_fault_of_later_examples_is_not_taken_for_a_refusal():
    """The first two examples are as they should be, and the layers are scored on them: so it is raised."""
    model, (inputs, labels) = dense(), examples(batch=40)[0]
    truth = score(model, [(inputs, labels)], ["encoder.1"], "ablation")
    broken = inputs.clone()
    broken[30] = torch.nan
    with pytest.raises(LayerError, match="NaN"):
        scoreboard(model, [(broken, labels)], ["encoder.1"], ["gradient"], truth=truth, settings=BoardSettings(draws=5))


def test_a_method_that_refuses_every_layer_is_left_out_and_the_others_are_judged():
    board = scoreboard(
        dense(), examples(), ["encoder.1", "encoder.3"], ["hrank", "snip", "gndi"], settings=BoardSettings(draws=5)
    )
    assert [bool(entry.refused) for entry in board.entries] == [True, True, False]
    board = scoreboard(
        convolutional(),
        [torch.randn(9, 1, 6, 6)],
        ["encoder.0", "head.3"],
        ["hrank", "snip"],
        settings=BoardSettings(draws=5),
    )
    assert board.entries[0].partly.startswith("1 of 2 layers, since hrank")
    assert board.entries[1].refused  # it has no classes
