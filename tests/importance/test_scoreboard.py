"""Agreement of scores by definition; scoreboards against exact ablation; units that the first order misses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from ndg import seeds
from ndg.activations.sampling import subset
from ndg.errors import ConfigError, ShapeError
from ndg.importance.evaluation.agreement import (
    NULL,
    Estimate,
    agreement,
    averaged,
    kendall,
    margin,
    null_of,
    pearson,
    spearman,
)
from ndg.importance.evaluation.saturation import counted, disagreements
from ndg.importance.evaluation.scoreboard import BoardSettings, over, scoreboard
from ndg.importance.evaluation.spec import every, parse, scored
from ndg.importance.score import IMPORTANCE, score
from ndg.importance.scores import Scores
from ndg.options import RunOptions
from ndg.report import importance_tables
from tests.importance.test_gndi import convolutional, dense
from tests.references import agreement as reference


def scores_of(method: str = "gndi", measure: str = "logits", **layers: list[float]) -> Scores:
    values = {layer: np.array(row, dtype=np.float64) for layer, row in layers.items()}
    whole = {layer: float(np.sum(row)) for layer, row in values.items()}
    return Scores(method, values, whole, "all logits", "zero activation", 10, measure)


def examples(size: int = 40, batch: int = 16) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    x, y = torch.randn(size, 5), torch.randint(0, 3, (size,))
    return [(x[i : i + batch], y[i : i + batch]) for i in range(0, size, batch)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_correlations_equal_their_definitions(seed, ties):
    drawn_of = np.random.default_rng(seed)
    first, second = drawn_of.normal(size=(2, 23))
    second += first
    if ties:
        first, second = np.round(first), np.round(second * 2)
    for ours, theirs in ((pearson, reference.pearson), (spearman, reference.spearman), (kendall, reference.kendall)):
        assert ours(first, second) == pytest.approx(theirs(first.tolist(), second.tolist()), abs=1e-12)


def test_correlations_are_none_where_undefined():
    for correlation in (pearson, spearman, kendall):
        assert correlation(np.ones(5), np.arange(5.0)) is None
        assert correlation(np.arange(5.0), np.full(5, 0.1)) is None


def test_a_bootstrapped_correlation_is_that_of_the_drawn_units():
    first, second = np.round(np.abs(np.random.default_rng(0).normal(size=(2, 12))), 1)
    found = agreement(scores_of(a=first.tolist()), scores_of(a=second.tolist()), seed=3, draws=20).pooled
    counts = seeds.generator(3, "agreement", "units").multinomial(12, np.full(12, 1 / 12), size=20)
    for row, product, ranked in zip(counts, found["pearson"].draws, found["spearman"].draws, strict=True):
        units = np.repeat(np.arange(12), row)
        sides = first[units].tolist(), second[units].tolist()
        assert product == pytest.approx(reference.pearson(*sides))
        assert ranked == pytest.approx(reference.spearman(*sides))


def test_within_layers_is_the_mean_weighted_by_units():
    truth = scores_of(a=[1, 2, 3, 4], b=[1, 2, 3, 4, 5, 6], one=[7], flat=[2, 2, 2])
    found = agreement(scores_of(a=[1, 2, 3, 4], b=[6, 5, 4, 3, 2, 1], one=[9], flat=[1, 2, 3]), truth, draws=50)
    assert found.within["spearman"].value == pytest.approx((4 * 1 + 6 * -1) / 10)
    assert found.within["spearman"].n == 10
    assert found.pooled["spearman"].n == 14
    assert found.left_out == {"one": "1 unit", "flat": "all units have the same damage"}
    assert set(found.layers) == {"a", "b"}
    assert [row["where"] for row in found.rows()] == ["pooled", "within", "a", "b", "one", "flat"]


def test_a_score_between_layers_alone_is_the_null_and_says_nothing_within():
    truth = scores_of(a=[1, 2, 3, 4], b=[11, 12, 13, 14])
    null = agreement(null_of(truth), truth, draws=200)
    assert null.score == NULL
    assert null.pooled["pearson"].value > 0.9
    assert null.within["spearman"].value is None
    assert null.within["spearman"].n == 0
    good = agreement(scores_of(a=[1, 2, 3, 4], b=[11, 12, 13, 14]), truth, draws=200)
    gained = margin(good.pooled["spearman"], null.pooled["spearman"])
    assert gained.value == pytest.approx(1 - null.pooled["spearman"].value)
    assert gained.low is not None
    assert gained.low <= gained.value <= gained.high + 1e-12
    same = margin(null.pooled["spearman"], null.pooled["spearman"])
    assert (same.value, same.low, same.high) == (0, 0, 0)  # the draws are paired


def test_signs_and_scales_do_not_matter_and_the_seed_is_all_that_draws():
    drawn_of = np.random.default_rng(5)
    truth = scores_of(a=np.abs(drawn_of.normal(size=30)).tolist())
    values = drawn_of.normal(size=30)
    one, other = (
        agreement(scores_of(a=(factor * values).tolist()), truth, seed=1, draws=100).to_dict() for factor in (1, -3)
    )
    for where in ("pooled", "within"):
        for statistic in ("pearson", "spearman", "kendall"):
            assert one[where][statistic] == pytest.approx(other[where][statistic])
    interval = agreement(scores_of(a=values.tolist()), truth, seed=1, draws=100).pooled["spearman"]
    assert interval.low < interval.value < interval.high
    elsewhere = agreement(scores_of(a=values.tolist()), truth, seed=2, draws=100).pooled["spearman"]
    assert elsewhere.value == interval.value
    assert elsewhere.low != interval.low


def test_the_interval_covers_the_correlation_of_the_population():
    """Of 200 samples of a population of known rank correlation, about 95 % have it in their interval."""
    drawn_of, covered = np.random.default_rng(0), 0
    true = 6 / np.pi * np.arcsin(0.6 / 2)  # Pearson 1907, for normal variables of correlation 0.6
    for seed in range(200):
        first, noise = drawn_of.normal(size=(2, 60))
        second = 0.6 * first + 0.8 * noise
        found = agreement(
            scores_of(a=np.exp(first).tolist()), scores_of(a=np.exp(second).tolist()), seed=seed, draws=200
        ).pooled["spearman"]
        covered += found.low <= true <= found.high
    assert 180 <= covered <= 198


def test_means_over_networks_are_of_values_and_of_draws():
    one, other = Estimate(0.2, 5, np.array([0.1, 0.3])), Estimate(0.6, 7, np.array([0.5, 0.9]))
    mean = averaged([one, other])
    assert (mean.value, mean.n, mean.draws.tolist()) == (pytest.approx(0.4), 12, pytest.approx([0.3, 0.6]))
    assert averaged([one, Estimate(None, 3)]).value is None


def test_scores_of_other_layers_or_units_are_refused():
    truth = scores_of(a=[1, 2, 3])
    with pytest.raises(ShapeError, match="compared on the layers that both have; gndi has b"):
        agreement(scores_of(b=[1, 2, 3]), truth)
    with pytest.raises(ShapeError, match="layer 'a' has 2 units"):
        agreement(scores_of(a=[1, 2]), truth)


def test_saturated_units_are_listed_and_none_where_scores_agree():
    truth = scores_of("ablation", a=[5.0, 4.0, 3.0, 2.0, 1.0, 0.001])
    exact = scores_of(a=truth["a"].tolist())
    assert disagreements(exact, truth) == []
    blind = scores_of(a=[5.0, 0.01, 3.0, 2.0, 1.0, 4.0])
    rows = disagreements(blind, truth)
    assert [(row["unit"], row["kind"]) for row in rows] == [(1, "saturated"), (5, "overstated")]
    assert rows[0]["damage"] == 4.0
    assert counted(rows) == {"saturated": 1, "overstated": 1, "ranked lower": 0, "ranked higher": 0}
    ranks = disagreements(scores_of(measure="nats", a=blind["a"].tolist()), truth)  # in another measure ranks alone
    assert {row["kind"] for row in ranks} == {"ranked lower", "ranked higher"}


def test_a_saturated_sigmoid_is_found():
    """Unit 0 stands far up a sigmoid, where the slope is nothing and the height is not."""
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Sigmoid(), nn.Linear(4, 2, bias=False))
    model[0].weight.data = torch.diag(torch.tensor([40.0, 1.0, 0.5, 0.25]))
    model[2].weight.data = torch.ones(2, 4) * torch.tensor([1.0, -1.0])[:, None]
    data = [torch.rand(30, 4, generator=torch.Generator().manual_seed(0)) + 0.5]
    board = scoreboard(model, data, ["0"], ["gndi"], settings=BoardSettings(draws=10))
    found = [row for row in board.disagreements if row["unit"] == 0]
    assert [row["kind"] for row in found] == ["saturated"]
    assert found[0]["damage_rank"] == 1
    assert "1 saturated" in board.words()


def test_a_scoreboard_holds_every_method_and_says_why_some_are_left_out():
    board = scoreboard(
        dense(),
        examples(),
        ["encoder.1", "encoder.3"],
        settings=BoardSettings(draws=50, own={"conductance": {"n_steps": 4}}),
    )
    assert [entry.method for entry in board.entries] == [name for name in IMPORTANCE if name != "ablation"]
    for entry in board.entries:
        assert (entry.agreement is None) == bool(entry.refused)
    assert next(entry for entry in board.entries if entry.method == "gndi").agreement is not None
    rows = {row["method"]: row for row in board.rows()}
    assert set(rows) == {*IMPORTANCE, NULL}
    truth = score(dense(), examples(), ["encoder.1", "encoder.3"], "ablation")
    gndi = score(dense(), examples(), ["encoder.1", "encoder.3"], "gndi")
    assert rows["gndi"]["spearman"] == pytest.approx(
        reference.spearman(*(np.concatenate([one[layer] for layer in one.layers]).tolist() for one in (gndi, truth)))
    )
    assert rows["gndi"]["n"] == rows["gndi"]["n_within"] == 13
    assert rows["gndi"]["spearman_low"] <= rows["gndi"]["spearman"] <= rows["gndi"]["spearman_high"]
    assert rows["gndi"]["forwards"] == 1
    assert rows["ablation"]["passed"] > 0
    assert rows["gndi"]["passed"] is None
    by_method = {entry.method: entry.scores.facts for entry in board.entries if entry.scores is not None}
    assert rows["shapley"]["passed"] == by_method["shapley"]["passed"] > 0
    assert rows["fast_ablation"]["passed"] == by_method["fast_ablation"]["cost"] > 0
    json.dumps(board.to_dict(), allow_nan=False)
    assert len(board.frame()) == len(rows)
    table = importance_tables.scoreboard(board.rows()).text()
    assert "above the null" in table
    assert "Pearson within" in table
    shown = importance_tables.scoreboard(board.rows())
    titles = [column.title for column in shown.columns]
    cells = {row[titles.index("score")]: dict(zip(titles, row, strict=True)) for row in shown.rows}
    assert cells["gndi"]["Pearson within"] == rows["gndi"]["pearson_within"]
    assert cells["gndi"]["passes"] == f"1 + {rows['gndi']['backwards']:,.0f}"
    for name in ("shapley", "fast_ablation", "ablation"):
        assert cells[name]["passes"] == f"{rows[name]['passed']:,.0f} rows"
    for entry in board.entries:
        assert entry.method in table
        assert (f"{entry.method} is left out" in board.words()) == bool(entry.refused)


def test_a_method_that_takes_some_layers_alone_is_judged_on_these():
    torch.manual_seed(0)
    data, layers = [torch.randn(12, 1, 6, 6)], ["encoder.0", "encoder.1", "head.0", "head.2"]
    board = scoreboard(convolutional(), data, layers, ["hrank", "gndi"], settings=BoardSettings(draws=20))
    hrank, gndi, *_ = board.rows()
    assert (hrank["n"], gndi["n"]) == (11, 59)
    assert hrank["partly"].startswith("3 of 4 layers, since hrank")
    assert gndi["partly"] is None
    alone = scoreboard(convolutional(), data, layers[:3], ["hrank"], settings=BoardSettings(draws=20)).rows()[0]
    timed = ("seconds", "partly")
    assert {k: v for k, v in hrank.items() if k not in timed} == {k: v for k, v in alone.items() if k not in timed}
    assert "On fewer layers: hrank: 3 of 4 layers" in importance_tables.scoreboard(board.rows()).note
    assert "hrank is judged on 3 of 4 layers" in board.words()


def test_the_loaders_batches_do_not_change_a_scoreboard():
    boards = [
        scoreboard(dense(), examples(batch=size), ["encoder.1"], ["gndi"], settings=BoardSettings(draws=20))
        for size in (7, 40)
    ]
    one, other = ({k: v for k, v in board.rows()[0].items() if k != "seconds"} for board in boards)
    assert one == other


def test_boards_of_several_trainings_are_averaged():
    methods = ["gndi", "hrank", "fast_ablation"]
    boards = [
        scoreboard(
            dense(seed),
            examples(),
            ["encoder.1", "encoder.3"],
            methods,
            settings=BoardSettings(draws=30),
            options=RunOptions(seed=seed),
        )
        for seed in (0, 1)
    ]
    rows = {row["method"]: row for row in over(boards, "dense")}
    each = [board.rows()[0]["spearman_within"] for board in boards]
    assert rows["gndi"]["spearman_within"] == pytest.approx(np.mean(each))
    assert (rows["gndi"]["spearman_within_least"], rows["gndi"]["spearman_within_most"]) == (min(each), max(each))
    assert rows["gndi"]["networks"] == 2
    assert rows["gndi"]["n"] == 26
    assert rows["fast_ablation"]["passed"] == np.mean([board.entries[2].passed for board in boards])
    assert "refused" in rows["hrank"]
    assert "over trainings" in importance_tables.scoreboard(list(rows.values())).text()


def test_a_scoreboard_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least one method"):
        scoreboard(dense(), examples(), ["encoder.1"], ["ablation"])
    with pytest.raises(ConfigError, match="nearest: gndi"):
        scoreboard(dense(), examples(), ["encoder.1"], ["gndy"])
    with pytest.raises(ConfigError, match=r"degree scores a mined graph .* ndg\.importance\.degree\(graph\)"):
        scoreboard(dense(), examples(), ["encoder.1"], ["degree"])


def test_methods_are_asked_for_with_options():
    assert parse("gndi") == ("gndi", {})
    assert parse("gndi:norm=1,projections=4") == ("gndi", {"norm": 1, "projections": 4})
    assert parse("ablation:measure=loss") == ("ablation", {"measure": "loss"})
    assert every(["gndi", "all", "gndi"])[0] == "gndi"
    assert set(every(["all"])) == set(IMPORTANCE)
    for wrong, why in (("gndi:1", "name:option=value"), ("gndi:nom=1", "nearest: norm"), ("gndj", "nearest: gndi")):
        with pytest.raises(ConfigError, match=why):
            parse(wrong)
    found = scored(dense(), examples(), ["encoder.1"], "gndi:norm=1")
    assert found.method == "gndi:norm=1"
    np.testing.assert_array_equal(found["encoder.1"], score(dense(), examples(), ["encoder.1"], norm=1)["encoder.1"])


def test_what_means_nothing_to_a_method_is_left_out_for_it():
    board = scoreboard(
        dense(),
        examples(),
        ["encoder.1"],
        ["gndi", "activation"],
        settings=BoardSettings(baselines="resample", target=1, draws=10),
    )
    assert board.truth.baseline == "resample activation"
    assert [entry.refused for entry in board.entries] == ["", ""]


def test_drawn_examples_are_the_same_in_any_batches_and_at_any_reading():
    few = [subset(examples(batch=size), 10, seed=4) for size in (3, 40)]
    first, second = (torch.cat([batch[""] for batch in loader]) for loader in few)
    assert torch.equal(first, second)
    assert torch.equal(first, torch.cat([batch[""] for batch in few[0]]))
    assert len(first) == 10
    everything = examples()
    assert subset(everything, 40, 0) is everything
    assert subset(everything, None, 0) is everything


def test_channels_are_units_of_a_scoreboard():
    torch.manual_seed(0)
    board = scoreboard(
        convolutional(),
        [torch.randn(12, 1, 6, 6)],
        ["encoder.0", "encoder.1"],
        ["gndi"],
        settings=BoardSettings(draws=10),
    )
    assert board.rows()[0]["n"] == 8
