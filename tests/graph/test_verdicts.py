"""Verdicts on edges: tests, graph of survivors, and files."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control

from ndg.errors import GraphError
from ndg.graph.edges import contrapositives, texts_of
from ndg.graph.ndg import NDG
from ndg.graph.verdicts import ANTECEDENT_FALSE, BOTH_FALSE, FORCED, RULES, VERDICTS, Verdicts, kinds, mcnemar, places
from ndg.intervals import wilson
from tests.references import edges as slow
from tests.references.graph_cases import drawn, edges_of, graphs

FACTS = {"at_least": 0.9, "q": 0.05, "least": 20, "values": "mean", "split": "test"}
OLD, NEW = FACTS | {"rule": ANTECEDENT_FALSE}, FACTS | {"rule": BOTH_FALSE}


@dataclass(frozen=True)
class Trials:
    graph: str
    verdicts: Verdicts


def judged(graph: NDG, seed: int = 0, facts: dict = FACTS) -> NDG:
    """Graph with verdicts on random counts, some with few examples, some with many gains."""
    order = (*reversed([layer.name for layer in graph.nodes.layers]), "label")
    many = int((kinds(graph.implications, order) == FORCED).sum())
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 200, many)
    before = rng.integers(0, n + 1) // rng.integers(1, 4, many)
    gained, lost = {}, {}
    for how in ("alone", "closure"):
        share = rng.choice([0.1, 0.97, 1.0], many)
        gained[how] = np.floor((n - before) * share).astype(np.int64)
        lost[how] = np.floor(before * rng.choice([0.0, 0.02, 0.5], many)).astype(np.int64)
    verdicts = Verdicts.of(order, n, before, gained, lost, facts)
    return graph.with_verdicts(Trials(graph.digest, verdicts))


def test_the_mcnemar_test_is_exact_and_one_sided():
    gained, lost = np.array([0, 1, 5, 9, 0, 7]), np.array([0, 0, 0, 2, 6, 7])
    expected = [1.0, 0.5, 1 / 32, (55 + 11 + 1) / 2**11, 1.0]
    assert np.allclose(mcnemar(gained, lost)[:5], expected)
    for k, m in zip(gained.tolist(), lost.tolist(), strict=True):
        found = float(mcnemar(np.array([k]), np.array([m]))[0])
        assert found == pytest.approx(slow.mcnemar(k, m))
        if k + m:
            assert found == pytest.approx(binomtest(k, k + m, 0.5, alternative="greater").pvalue)


@given(graphs(max_edges=20), st.integers(0, 99), st.sampled_from([FACTS, OLD, NEW]))
@settings(max_examples=30, deadline=None)
def test_an_edge_survives_by_its_interval_and_by_the_false_discovery_rate(graph, seed, facts):
    verdicts = judged(graph, seed, facts).verdicts
    n = verdicts.n - verdicts.before if facts is NEW else verdicts.n
    tested = n >= 20
    assert (verdicts.tested == tested).all()
    for how in verdicts.how:
        p_values = verdicts.p_values(how)[tested]
        if len(p_values):
            assert np.allclose(verdicts.q_values[how][tested], false_discovery_control(p_values))
        assert np.isnan(verdicts.q_values[how][~tested]).all()
        rejected = slow.rejected(p_values.tolist(), 0.05)
        held = verdicts.gained[how] if facts is NEW else verdicts.after(how)
        low = wilson(held[tested], n[tested])[0]
        assert verdicts.survives(how)[tested].tolist() == [a >= 0.9 and r for a, r in zip(low, rejected, strict=True)]
        assert not verdicts.survives(how)[~tested].any()


def test_an_edge_survives_at_its_bars_and_not_above_them():
    """Interval, false discovery rate and number of examples are exactly at the bar."""
    n, gained = np.array([20, 20]), np.array([18, 0])
    zeros = np.zeros(2, np.int64)
    verdicts = Verdicts.of(("x", "label"), n, zeros, {"alone": gained}, {"alone": zeros}, FACTS | {"at_least": 0.5})
    assert verdicts.tested.tolist() == [True, True]
    assert np.isfinite(verdicts.q_values["alone"]).all(), "20 examples are enough for a test"
    low = float(wilson(18, 20)[0])
    assert verdicts.survives("alone", low).tolist() == [True, False]
    assert verdicts.survives("alone", np.nextafter(low, 1)).tolist() == [False, False]
    q = float(verdicts.q_values["alone"][0])
    assert replace(verdicts, facts=verdicts.facts | {"q": q}).survives("alone").tolist() == [True, False]
    lower = replace(verdicts, facts=verdicts.facts | {"q": np.nextafter(q, 0)})
    assert lower.survives("alone").tolist() == [False, False]
    few = Verdicts.of(("x", "label"), n - 1, zeros, {"alone": gained}, {"alone": zeros}, FACTS)
    assert not few.tested.any()
    assert np.isnan(few.q_values["alone"]).all()


def test_where_the_consequent_was_false_only_what_forcing_changed_counts():
    """Two edges: of 1,000 examples without the antecedent, 40 lack the consequent, and 20 or all of these gain it."""
    n, before, lost = np.array([1000, 1000]), np.array([960, 960]), {"alone": np.array([0, 0])}
    verdicts = Verdicts.of(("x", "label"), n, before, {"alone": np.array([20, 40])}, lost, NEW)
    assert verdicts.n_false.tolist() == [40, 40]
    assert verdicts.survives("alone").tolist() == [False, True]
    old = verdicts.by(ANTECEDENT_FALSE)
    assert old.rule == ANTECEDENT_FALSE
    assert old.survives("alone").tolist() == [True, True]
    assert [column.tolist() for column in old.judged_counts("alone")] == [[980, 1000], [1000, 1000]]
    assert [column.tolist() for column in old.by(BOTH_FALSE).judged_counts("alone")] == [[20, 40], [40, 40]]
    few = Verdicts.of(("x", "label"), n, before + 21, {"alone": np.array([19, 19])}, lost, NEW)
    assert not few.tested.any()
    toggled = Verdicts.of(("x", "label"), n, before, {"alone": np.array([40, 40])}, {"alone": n // 2}, NEW)
    assert not toggled.survives("alone").any(), "an antecedent that turns the consequent off as often does not imply it"
    with pytest.raises(
        GraphError, match="by one of the rules 'antecedent and consequent false' and 'antecedent false'"
    ):
        verdicts.by("both")


@given(graphs(max_edges=20), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_pair_has_one_verdict_and_one_of_it_is_forced(graph, seed):
    graph = judged(graph, seed)
    found, order = graph.implications, graph.verdicts.order
    other = contrapositives(found)
    kind, place = kinds(found, order), places(found, order)
    assert np.array_equal(kind == FORCED, kind[other] == 2)
    assert np.array_equal(place, place[other])
    for how in graph.verdicts.how:
        verdict = graph.verdicts.judged(found, how)
        assert np.array_equal(verdict, verdict[other])
        assert ((verdict > 0) & (verdict < 4)).tolist() == (place >= 0).tolist()


@given(graphs(max_edges=20), st.integers(0, 99), st.sampled_from(["alone", "closure"]))
@settings(max_examples=30, deadline=None)
def test_the_causal_graph_holds_the_survivors_and_shrinks_as_the_bar_rises(graph, seed, how):
    graph = judged(graph, seed)
    last = edges_of(graph)
    for bar in (0, 0.5, 0.9, 1):
        causal = graph.causal(at_least=bar, how=how)
        found = edges_of(causal)
        assert found <= last
        assert {(q ^ 1, p ^ 1) for p, q in found} == found
        last = found
        both = graph.causal(at_least=bar, how=how, constraints=True)
        within = {
            (p, q) for p, q in edges_of(graph) if graph.nodes.layer(p >> 1) == graph.nodes.layer(q >> 1) != "concept"
        }
        assert edges_of(both) == found | within
        assert both.nodes == causal.nodes == graph.nodes
        assert causal.provenance["filters"][-1]["causal"] == OLD | {
            "at_least": bar,
            "how": how,
            "constraints": False,
        }
        assert edges_of(causal.causal(at_least=bar, how=how)) == found


@given(graphs(max_edges=20), st.integers(0, 99), st.sampled_from([FACTS, *[FACTS | {"rule": rule} for rule in RULES]]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_verdicts_are_saved_loaded_pickled_and_carried_along(tmp_path, graph, seed, facts):
    graph = judged(graph, seed, facts)
    loaded = NDG.load(graph.save(tmp_path / "graph.json"))
    copies = [loaded, pickle.loads(pickle.dumps(graph)), replace(graph, provenance={"run": 1})]
    for copy in copies:
        assert copy == graph
        assert copy.verdicts.rule == facts.get("rule", ANTECEDENT_FALSE)
        assert copy.verdicts.facts == graph.verdicts.facts
        assert same(copy.verdicts, graph.verdicts)
    narrowed = graph.filter(min_precision=0.5)
    place = {pair: at for at, pair in enumerate(zip(*ends(graph), strict=True))}
    kept = [place[pair] for pair in zip(*ends(narrowed), strict=True)]
    for how in graph.verdicts.how:
        before = graph.verdicts.judged(graph.implications, how)
        assert narrowed.verdicts.judged(narrowed.implications, how).tolist() == before[kept].tolist()


def ends(graph: NDG) -> list[list[str]]:
    texts, found = texts_of(graph.nodes), graph.implications
    return [texts[found.antecedents].tolist(), texts[found.consequents].tolist()]


def same(one: Verdicts, other: Verdicts) -> bool:
    return (
        one.order == other.order
        and one.how == other.how
        and all(np.array_equal(array, other.arrays[name]) for name, array in one.arrays.items())
        and all(np.array_equal(one.q_values[how], other.q_values[how], equal_nan=True) for how in one.how)
    )


def test_a_subgraph_keeps_the_verdicts_of_its_edges():
    graph = judged(drawn(), 3)
    part = graph.subgraph(["b"])
    whole = dict(zip(zip(*ends(graph), strict=True), verdict(graph), strict=True))
    assert part.verdicts.order == ("b", "label")
    found = dict(zip(zip(*ends(part), strict=True), verdict(part), strict=True))
    assert found == {pair: whole[pair] for pair in found}
    assert set(found.values()) > {"constraint"}


def verdict(graph: NDG) -> list[str]:
    return [VERDICTS[code] for code in graph.verdicts.judged(graph.implications, "closure")]


def test_a_graph_without_verdicts_is_written_as_before(tmp_path):
    document = json.loads(drawn().save(tmp_path / "graph.json").read_text())
    assert "verdicts" not in document
    document = json.loads(judged(drawn()).save(tmp_path / "tried.json").read_text())
    assert set(document["verdicts"]) == {"order", "how", "facts", "q_values", "counts"}
    assert document["schema"] == 2
    assert len(document["verdicts"]["counts"]["n"]) < len(document["antecedents"]) / 2


def test_a_file_of_an_earlier_version_keeps_its_verdicts_and_a_new_one_says_its_rule(tmp_path):
    """An earlier version wrote schema 2 without a rule, and refuses schema 3, which it would judge wrongly."""
    old = NDG.load(judged(drawn(), 3).save(tmp_path / "old.json"))
    assert "rule" not in old.verdicts.facts
    assert repr(old).endswith("edges judged by the rule 'antecedent false')")
    assert old.to_networkx().graph["verdict_rule"] == ANTECEDENT_FALSE
    assert "rule" not in repr(drawn())
    path = judged(drawn(), 3, NEW).save(tmp_path / "new.json")
    document = json.loads(path.read_text())
    assert (document["schema"], document["verdicts"]["facts"]["rule"]) == (3, BOTH_FALSE)
    assert old.causal().digest != NDG.load(path).causal().digest
    document["verdicts"]["facts"]["rule"] = "both"
    path.write_text(json.dumps(document))
    with pytest.raises(GraphError, match=r"damaged: the rule of its verdicts must be one of .*, not 'both'"):
        NDG.load(path)


def test_edges_of_the_condensed_graph_carry_the_verdict_of_their_strongest_implication():
    graph = judged(drawn(), 3)
    found = graph.to_networkx()
    whole = dict(zip(zip(*ends(graph), strict=True), verdict(graph), strict=True))
    rows = [row for _, _, row in found.edges(data=True)]
    assert {row["verdict_closure"] for row in rows} >= {"constraint", "fails"}
    for row in rows:
        assert row["verdict_closure"] == whole[row["antecedent"], row["consequent"]]
        assert "interventional_closure" not in row or 0 <= row["interventional_closure"] <= 1
    forced = [row for row in rows if row["verdict_closure"] != "constraint"]
    assert 0 < sum("interventional_closure" in row for row in forced) <= len(forced) // 2
    assert not any("interventional_closure" in row for row in rows if row not in forced)
    assert "verdict_closure" not in next(iter(drawn().to_networkx().edges(data=True)))[2]
    assert NDG.from_networkx(found).condensation.sizes.tolist() == graph.condensation.sizes.tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: drawn().causal(), r"were never tried; call graph.with_verdicts\("),
        (lambda g: g.causal(how="together"), r"forced \(alone and closure\); got how='together'"),
        (lambda g: g.causal(at_least=90), "a probability between 0 and 1; got 90"),
        (
            lambda g: g.filter(min_precision=0.6).with_verdicts(Trials(g.digest, g.verdicts)),
            "try the edges of this graph",
        ),
        (lambda g: replace(g.filter(min_precision=0.6), verdicts=g.verdicts), "one count per forced implication"),
    ],
)
def test_what_was_not_tried_is_refused(call, message):
    with pytest.raises(GraphError, match=message):
        call(judged(drawn()))


def test_verdicts_come_from_a_trial_of_edges():
    with pytest.raises(GraphError, match="verdicts must come from a trial of edges; got dict; pass the"):
        drawn().with_verdicts({"graph": "0"})
