"""Families of units to interchange, the rows of the result, and its words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ndg import seeds
from ndg.abstraction.interchange import InterchangeResult, interchange, unfolding
from ndg.abstraction.interchange.families import families, units_of
from ndg.abstraction.interchange.run import InterchangeSettings
from ndg.abstraction.interchange.study import GRAPH, RANDOM_SET, SHUFFLED
from ndg.graph.ndg import NDG
from ndg.options import RunOptions
from tests.abstraction.test_interchange import planted
from tests.references.graph_cases import edges_of, implications

CLASSES, COPIES, ROWS, SEED = 4, 3, 48, 5


def test_families_are_the_graphs_own_sets():
    _, graph, _ = planted()
    classes, ancestors, layer = families(graph, ["latent"], ["equivalence", "ancestors", "random", "layer"])
    own = np.eye(CLASSES, dtype=np.bool_).repeat(COPIES, axis=1)
    assert sorted(map(bytes, classes.sets)) == sorted(map(bytes, own))
    assert ancestors.sets.all(), "all latents follow from one, on or off"
    assert layer.sets.shape == (1, CLASSES * COPIES)
    assert ancestors.alone == ()
    assert units_of(graph, ["latent"]).tolist() == list(range(CLASSES, CLASSES * (COPIES + 1)))


def test_a_label_without_ancestors_is_said_and_is_no_failure():
    model, graph, loader = planted()
    first = graph.nodes.slice("latent").start
    kept = [(p, q) for p, q in edges_of(graph) if 1 not in (p, q) and 0 not in (p, q)]
    bits = np.zeros((4, len(graph.nodes)), np.bool_)
    without = NDG(replace(implications(bits, graph.nodes, kept), thresholds=np.full(graph.nodes.neurons, 0.5)))
    result = interchange(model, without, loader, options=RunOptions(seed=SEED, executor="serial"))
    assert result.without_ancestors == (0,)
    assert "\nNothing implies label 0: as ancestors, what is implied in turn was swapped." in result.words()
    sources = seeds.words(SEED, "source", examples=np.arange(ROWS), draws=1)[:, 0] % np.uint64(ROWS)
    none = int((loader[0].argmax(dim=1).numpy()[sources.astype(np.int64)] == 0).sum())
    assert first == CLASSES
    assert result.count("ancestors", "without", among="all") == none > 0
    assert result.count("ancestors", "pairs", among="all") == ROWS - none
    bare = NDG(replace(implications(bits, graph.nodes, []), thresholds=np.full(graph.nodes.neurons, 0.5)))
    empty = interchange(model, bare, loader, options=RunOptions(seed=SEED, executor="serial"))
    assert empty.row("equivalence")["pairs"] == empty.row("ancestors")["pairs"] == 0
    assert empty.row("layer")["iia"] is None
    assert empty.words().splitlines()[:3] == [
        "An equivalence class swapped: no pair whose labels differ has such a set.",
        "Ancestors of the source's label swapped: no pair whose labels differ has such a set.",
        f"The whole layers swapped: the graph decides none of {empty.row('layer')['pairs']} pairs (undecided).",
    ]
    json.dumps(empty.to_dict(), allow_nan=False)
    json.dumps(empty.rows(), allow_nan=False)


def test_rows_are_one_for_each_family_control_and_kind_of_pair():
    model, graph, loader = planted()
    result = interchange(
        model,
        graph,
        loader,
        settings=InterchangeSettings(split="test"),
        options=RunOptions(seed=SEED, executor="serial"),
    )
    rows = result.rows()
    assert len(rows) == len(result.frame()) == 3 * (3 + 3 + 2)
    assert [row["set"] for row in rows][-1] == "layer"
    assert {row["control"] for row in rows} == {GRAPH, RANDOM_SET, SHUFFLED}
    for row in rows:
        assert row["split"] == "test"
        assert row["decided"] + row["no_label"] + row["several_labels"] + row["contradictory"] == row["pairs"]
    for family in result.families:
        whole = [result.counts[f"{family}|{GRAPH}"][number] for number in range(3)]
        assert np.array_equal(whole[0] + whole[1], whole[2])
    assert InterchangeResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    sizes = [result.row("equivalence", control)["units"] for control in (GRAPH, RANDOM_SET)]
    assert sizes == [COPIES, COPIES]


def test_a_name_alone_is_taken_for_one():
    model, graph, loader = planted()
    options = RunOptions(executor="serial", seed=SEED)
    first, second = (
        interchange(
            model, graph, loader, settings=InterchangeSettings(sets=sets, units={"first": units}), options=options
        )
        for sets, units in (("layer", "latent:0"), (["layer"], ["latent:0"]))
    )
    assert first == second


@pytest.mark.parametrize("study", [interchange, unfolding])
def test_each_line_of_the_words_is_a_sentence(study):
    model, graph, loader = planted()
    bare = NDG(
        replace(
            graph.implications,
            antecedents=np.zeros(0, np.int32),
            consequents=np.zeros(0, np.int32),
            exceptions=np.zeros(0, np.int64),
        )
    )
    for tried in (graph, bare):
        settings = InterchangeSettings(units={"mine": "latent:0"})
        if study is interchange:
            settings, layers = replace(settings, layers="latent"), {}
        else:
            layers = {"layers": "latent"}
        found = study(model, tried, loader, **layers, settings=settings, options=RunOptions(executor="serial"))
        lines = found.words().splitlines()
        assert len(lines) >= 4
        for line in lines:
            assert line[0].isupper(), line
            assert line.endswith("."), line
            assert line.count(". ") == 0, "one sentence a line"
