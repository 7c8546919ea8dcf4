"""Finished scores in a folder are not computed again, equal what is computed, and are taken for no others."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn

from ndg.activations.digest import digest_of, network_digest
from ndg.errors import ConfigError
from ndg.importance.evaluation.score_cache import Kept, Timed, timed
from ndg.importance.evaluation.scoreboard import BoardSettings, scoreboard
from ndg.importance.evaluation.spec import scored
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.settings import ScoreSettings, Settings
from ndg.options import RunOptions
from tests.importance.test_gndi import dense
from tests.importance.test_scoreboard import examples

OPTIONS = RunOptions(seed=3)

LAYERS = ["encoder.0", "encoder.2"]


class Counted(nn.Module):
    """A network that knows how often it ran, and breaks down after so many times."""

    def __init__(self, model: nn.Module, most: int | None = None) -> None:
        super().__init__()
        self.encoder, self.head = model.encoder, model.head
        self.runs, self.most = 0, most

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.runs == self.most:
            raise KeyboardInterrupt
        self.runs += 1
        return self.head(self.encoder(x))


def plain(found: Timed) -> str:
    return json.dumps(found.scores.to_dict())


@pytest.mark.parametrize("asked", ["ablation", "fast_ablation", "lrp", "shapley:permutations=4", "magnitude:norm=1"])
def test_what_is_kept_equals_what_is_computed_and_is_not_computed_again(asked, tmp_path):
    kept, model = Kept(tmp_path, "some examples"), Counted(dense())
    first = timed(kept, model, examples(), LAYERS, asked)
    runs = model.runs
    elsewhere = Settings(options=RunOptions(executor="serial"))  # who computes is no difference
    second = timed(kept, model, examples(), LAYERS, asked, elsewhere)
    assert model.runs == runs
    assert plain(first) == plain(second) == json.dumps(scored(dense(), examples(), LAYERS, asked).to_dict())
    assert first.seconds == second.seconds
    assert first.seconds > 0
    assert len(list(tmp_path.iterdir())) == 1  # its tasks are not needed any more


def test_other_networks_layers_settings_and_data_lie_beside_it(tmp_path):
    kept, others = Kept(tmp_path, "examples"), Kept(tmp_path, "other examples")
    seen = {
        plain(timed(kept, dense(), examples(), LAYERS, "gndi")),
        plain(timed(kept, dense(1), examples(), LAYERS, "gndi")),
        plain(timed(kept, dense(), examples(), LAYERS[:1], "gndi")),
        plain(timed(kept, dense(), examples(), LAYERS, "gndi", Settings("mean"))),
        plain(timed(kept, dense(), examples(), LAYERS, "gndi", Settings(target=1))),
        plain(timed(kept, dense(), examples(), LAYERS, "gndi:norm=1")),
        plain(timed(others, dense(), examples(9), LAYERS, "gndi")),
    }
    assert len(seen) == len(list(tmp_path.iterdir())) == 7


class Bent(nn.Module):
    """The same weights as `dense`, otherwise used."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = model.encoder, model.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x).sin())


@pytest.mark.parametrize("other", [lambda: dense(activation=nn.ReLU), lambda: Bent(dense())])
def test_other_networks_with_the_same_weights_have_scores_of_their_own(other, tmp_path):
    kept = Kept(tmp_path, "examples")
    asked = (examples(), LAYERS, "ablation")
    first, second = (timed(kept, model, *asked) for model in (dense(), other()))
    assert plain(first) != plain(second) == json.dumps(scored(other(), *asked).to_dict())
    path = tmp_path / "tasks.jsonl"
    score(dense(), *asked, options=RunOptions(journal=path))
    with pytest.raises(ConfigError, match="goes on with the study and data that it was begun with"):
        score(other(), *asked, options=RunOptions(journal=path))
    assert network_digest(other()) == network_digest(other()) != network_digest(dense())


def test_an_address_in_memory_is_no_part_of_a_network():
    class Told(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.what = object()

        def extra_repr(self) -> str:
            return repr(self.what)

    one, other = Told(), Told()
    assert repr(one) != repr(other)
    assert network_digest(one) == network_digest(other)


@pytest.mark.parametrize("asked", ["ablation", "shapley:permutations=4"])
def test_a_method_that_was_cut_short_goes_on_with_its_tasks(asked, tmp_path):
    kept, how = Kept(tmp_path, "examples"), Settings(options=RunOptions(batch=10, executor="serial"))
    whole = Counted(dense())
    expected = scored(whole, examples(), LAYERS, asked, how).to_dict()
    cut = Counted(dense(), most=whole.runs // 2)
    with pytest.raises(KeyboardInterrupt):
        timed(kept, cut, examples(), LAYERS, asked, how)
    [tasks] = tmp_path.glob("*.tasks.jsonl")
    assert 1 < len(tasks.read_bytes().splitlines()) < 9  # the head, and some of the 8 tasks
    rest = Counted(dense())
    found = timed(kept, rest, examples(), LAYERS, asked, how)
    assert found.scores.to_dict() == expected
    assert rest.runs < whole.runs
    assert found.seconds is None  # a part of them is gone
    assert not tasks.exists()


def test_a_scoreboard_that_was_cut_short_goes_on(tmp_path):
    asked = {
        "methods": ["gndi", "activation", "hrank", "gradient"],
        "settings": BoardSettings(draws=20),
        "options": RunOptions(batch=20, executor="serial"),  # threads count in copies of the network
    }
    whole = Counted(dense())
    expected = scoreboard(whole, examples(), LAYERS, **asked)
    for most in (3 + 3, whole.runs - 2):  # three passes probe the network
        with suppress(KeyboardInterrupt):
            scoreboard(Counted(dense(), most), examples(), LAYERS, kept=Kept(tmp_path, "examples"), **asked)
    last = Counted(dense())
    found = scoreboard(last, examples(), LAYERS, kept=Kept(tmp_path, "examples"), **asked)
    assert last.runs < whole.runs // 2
    assert found.truth_seconds is None
    assert _untimed(found.to_dict()) == _untimed(expected.to_dict())


def test_a_score_that_is_kept_is_taken_by_a_scoreboard(tmp_path):
    kept, model = Kept(tmp_path, "examples"), Counted(dense())
    seeded = Settings(options=OPTIONS)
    timed(kept, model, examples(), LAYERS, "ablation", seeded)
    timed(kept, model, examples(), LAYERS, "gndi", seeded)
    runs = model.runs
    board = scoreboard(model, examples(), LAYERS, ["gndi"], kept=kept, settings=BoardSettings(draws=5), options=OPTIONS)
    assert model.runs == runs
    assert board.truth_seconds > 0


def test_every_score_can_be_kept(tmp_path):
    for name in IMPORTANCE:
        if name != "hrank":  # is of channels
            found = timed(Kept(tmp_path, "examples"), dense(), examples(), ["encoder.0"], name, Settings(n_steps=2))
            assert plain(Timed.from_dict(json.loads(json.dumps(found.to_dict())))) == plain(found)


def test_a_journal_of_other_examples_is_refused(tmp_path):
    path = tmp_path / "tasks.jsonl"
    score(dense(), examples(), LAYERS, "ablation", options=RunOptions(journal=path))
    moved = [(inputs + 1, labels) for inputs, labels in examples()]
    with pytest.raises(ConfigError, match="goes on with the study and data that it was begun with"):
        score(dense(), moved, LAYERS, "ablation", options=RunOptions(journal=path))
    with pytest.raises(ConfigError, match="goes on with the study"):
        score(
            dense(),
            examples(),
            LAYERS,
            "ablation",
            settings=ScoreSettings(baselines="mean"),
            options=RunOptions(journal=path),
        )


def test_a_digest_is_of_every_number():
    one, other = torch.zeros(5000), torch.zeros(5000)
    other[2500] = 1e-30
    assert repr(one) == repr(other)
    distinct = [one, other, one.double(), one[None], [one], {"a": one}, {"b": one}, None, "None", (1, 2), (2, 1)]
    assert len({digest_of(value) for value in distinct}) == len(distinct)
    assert digest_of({"a": 1, "b": one}) == digest_of({"b": one.clone(), "a": 1})
    assert digest_of(Settings(baselines={"x": one})) != digest_of(Settings(baselines={"x": other}))
    assert digest_of(Path("a")) == digest_of(Path("a"))


def _untimed(value: object) -> object:
    if isinstance(value, dict):
        return {key: _untimed(item) for key, item in value.items() if key != "seconds"}
    return [_untimed(item) for item in value] if isinstance(value, list) else value
