"""Conjunctions and votes of a graph: closure, files, exports, parts."""

import io
import json
import pickle
from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.abstraction.backward import walked_backwards
from ndg.abstraction.interchange.shuffle import shuffled
from ndg.comparison.difference import diff
from ndg.errors import GraphError
from ndg.graph import edges
from ndg.graph.conjunctions import Conjunction
from ndg.graph.ndg import NDG
from ndg.graph.top_scored import top
from ndg.graph.votes import Votes
from ndg.literal import Literal
from tests.graph.test_formats import expected, exported, read
from tests.references import graph as slow
from tests.references.graph_cases import drawn, edges_of, graphs

SOME = settings(max_examples=25, deadline=None)


def conjunction(graph: NDG, members: str, consequent: str, **figures) -> Conjunction:
    return Conjunction(tuple(map(graph.literal, members.split())), graph.literal(consequent), **figures)


def causal() -> NDG:
    """The graph drawn by hand, with conjunctions, one of them of a constant, and votes of both layers."""
    graph = drawn()
    together = [
        conjunction(graph, "b:0 ~a:0", "a:2", training=(40, 39), test=(200, 190), effects=(0.25, -0.5)),
        conjunction(graph, "a:1", "b:1", test=(50, 20)),
        conjunction(graph, "a:4 a:3", "~b:2"),
        conjunction(graph, "b:4 a:3", "~a:1", test=(10, 10)),  # b:4 is contradictory
    ]
    weights = np.array([[0.1, 0.0, -2.5, 0.0, 1 / 3], [-0.1, 0.0, 0.0, 0.75, 0.0]])
    other = np.array([[0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 2.0]])
    votes = [Votes("b", other, np.zeros(2), 0), Votes("a", weights, np.array([0.5, -0.1]), 300, 0.2)]
    return graph.with_conjunctions(together).with_votes(votes)


@st.composite
def with_conjunctions(draw):
    graph = draw(graphs())
    literal = st.integers(0, 2 * len(graph.nodes) - 1).map(Literal.of)
    found = {}
    for nodes in draw(st.lists(st.permutations(range(len(graph.nodes))), max_size=5 if len(graph.nodes) > 1 else 0)):
        size = draw(st.integers(2, min(4, len(nodes))))
        *members, consequent = (Literal(node, draw(st.booleans())) for node in nodes[:size])
        found[tuple(sorted(members)), consequent] = Conjunction(tuple(members), consequent)
    return replace(graph, conjunctions=tuple(found.values())), draw(st.sets(literal, max_size=3))


def by_hand(graph: NDG, codes: set[int]) -> set[int]:
    """Closure by trying every conjunction again until nothing changes."""
    outside = {code for literals in graph.contradictory for code in (literal.code for literal in literals)}
    while True:
        closed = slow.closure(2 * len(graph.nodes), edges_of(graph), codes)
        fired = {
            each.consequent.code
            for each in graph.conjunctions
            if {literal.code for literal in each.members} <= closed
            and not outside & {literal.code for literal in (*each.members, each.consequent)}
        }
        if fired <= closed:
            return closed
        codes = closed | fired


@given(with_conjunctions())
@SOME
def test_a_closure_chains_forward_to_a_fixed_point(case):
    graph, seeds = case
    closed = graph.closure(seeds)
    assert set(np.flatnonzero(closed.marked)) == by_hand(graph, {literal.code for literal in seeds})
    assert graph.closure(closed) == closed
    every = np.eye(2 * len(graph.nodes), dtype=np.bool_)
    rows = graph.closures(every)
    for literal in seeds:
        assert np.array_equal(rows[literal.code], graph.closure(literal).marked)
        assert graph.descendants(literal) == graph.closure(literal).literals - {literal}
        assert {l.code for l in graph.ancestors(literal)} == set(np.flatnonzero(rows[:, literal.code])) - {literal.code}


def test_conjunctions_fire_when_all_members_hold():
    graph = causal()
    assert graph.literal("a:2") not in graph.closure("b:0")
    assert graph.closure(["b:0", "~a:0"]).literals >= {graph.literal(text) for text in ("a:2", "a:3", "label:1", "b:2")}
    assert graph.literal("b:1") in graph.descendants("a:0")
    assert graph.literal("a:0") in graph.ancestors("b:0")
    assert graph.literal("~a:1") not in graph.closure(["b:4", "a:3"])


def test_a_model_takes_conjunctions_as_terms_and_keeps_what_is_set():
    model = causal().scm()
    assert model.rule("a:2") == "a:3 or (~a:0 and b:0)"
    assert model.parents("a:2") == ("a:3", "~a:0", "b:0")
    assert model.rules()["~b:2"] == "~b:0 or ~b:1 or (a:3 and a:4)"
    start = np.zeros((1, 12), np.bool_)
    start[0, 7] = True  # b:0 is on, a:0 off
    names = causal().nodes
    assert model.unfold(start, given=["a", "b"])[0, names.index("label:1")] == 1
    assert model.do({"b:0": 0}).unfold(start, given=["b"])[0, names.index("a:2")] == -1
    fired = np.zeros((1, 12), np.bool_)
    fired[0, 3] = True  # a:1 makes b:1 hold, which is equivalent to b:0, which is set off
    assert model.do({"b:0": 0}).unfold(fired, given=["a"])[0, names.index("a:2")] == 0
    assert model.unfold(fired, given=["a"])[0, names.index("a:2")] == -1
    assert model.do({"a:2": 0}).unfold(start, given=["b"])[0, names.index("a:2")] == 0


def test_a_graph_without_conjunctions_is_as_it_was(tmp_path):
    graph = drawn()
    assert (graph.conjunctions, graph.votes) == ((), ())
    assert graph.digest == "f111a3faceb21963"  # of earlier versions
    bare = causal()
    assert replace(bare, conjunctions=(), votes=()) == graph != bare
    assert "kind" not in graph.to_json() + graph.to_graphml() + graph.to_csv()
    assert '"schema": 2' in graph.save(tmp_path / "g.json").read_text()


def test_a_file_keeps_conjunctions_and_votes(tmp_path):
    graph = causal()
    path = graph.save(tmp_path / "g.json")
    document = json.loads(path.read_text())
    assert document["schema"] == 4
    assert document["conjunctions"][1] == {
        "members": ["~a:0", "b:0"],
        "consequent": "a:2",
        "training": [40, 39],
        "test": [200, 190],
        "effects": [-0.5, 0.25],
    }
    for copy in (NDG.load(path), pickle.loads(pickle.dumps(graph))):
        assert copy == graph
        assert copy.conjunctions == graph.conjunctions
        assert [votes.plain() for votes in copy.votes] == [votes.plain() for votes in graph.votes]
    for change, message in (
        (lambda d: d["conjunctions"][0]["test"].__setitem__(1, 9), "its digest says"),
        (lambda d: d["conjunctions"][0].update(test=[50, 20.5]), "counts of a conjunction must be whole numbers"),
        (lambda d: d["conjunctions"][0].update(consequent="a:3"), "another node as its consequent"),
        (lambda d: d["conjunctions"].pop(), "its digest says"),
        (lambda d: d["votes"][0]["weights"][0].__setitem__(0, 0.2), "its digest says"),
        (lambda d: d["votes"][0].update(margin=None), "is damaged"),
        (lambda d: d.update(schema=2), "its digest says"),
        (lambda d: d.pop("votes"), "it has no 'votes'"),
    ):
        damaged = json.loads(path.read_text())
        change(damaged)
        (tmp_path / "damaged.json").write_text(json.dumps(damaged))
        with pytest.raises(GraphError, match=message):
            NDG.load(tmp_path / "damaged.json")


@pytest.mark.parametrize("form", ["json", "graphml", "gexf", "dot"])
def test_exports_have_a_node_for_each_conjunction_and_read_back(form):
    graph = causal()
    content = exported(graph, form)
    assert read(form, content) == expected(form, graph)
    if form == "dot":
        return
    back = {
        "json": lambda: nx.node_link_graph(json.loads(content), edges="edges"),
        "graphml": lambda: nx.read_graphml(io.BytesIO(content)),
        "gexf": lambda: nx.read_gexf(io.BytesIO(content)),
    }[form]()
    assert is_same(NDG.from_networkx(back), graph)


def is_same(copy: NDG, graph: NDG) -> bool:
    own, other = ([votes.plain() for votes in each.votes] for each in (copy, graph))
    return copy.conjunctions == graph.conjunctions and own == other and copy.classes == graph.classes


def test_networkx_takes_and_gives_conjunctions_and_votes(tmp_path):
    graph = causal()
    whole = graph.to_networkx(flat=False)
    kinds = [kind for _, kind in whole.nodes(data="kind")]
    assert (kinds.count("conjunction"), kinds.count("class")) == (4, len(kinds) - 4)
    assert set(whole.predecessors("conjunction 1")) == {"~a:0", "b:0"}
    assert whole.edges["~a:0", "conjunction 1"] == {"kind": "member", "effect": -0.5}
    assert list(whole.successors("conjunction 1")) == ["a:2"]
    assert whole.edges["~a:2", "label:0"]["votes"] == [["~a:2", "label:0", 2.5]]
    assert whole.edges["a:2", "label:1"]["kind"] == "implication"  # and a vote of its member a:3 besides
    assert whole.edges["a:2", "label:1"]["vote"] == 0.75
    assert is_same(NDG.from_networkx(whole), graph)
    assert is_same(NDG.from_networkx(graph.to_networkx()), graph)
    nx.write_gml(graph.to_networkx(), tmp_path / "g.gml")
    assert is_same(NDG.from_networkx(nx.read_gml(tmp_path / "g.gml")), graph)

    hand = nx.DiGraph([("a:0", "and"), ("~a:1", "and"), ("and", "b:0")])
    hand.nodes["and"]["kind"] = "conjunction"
    hand.add_edge("b:0", "label:1", kind="vote", vote=2.0)
    drawn_by_hand = NDG.from_networkx(hand)
    assert drawn_by_hand.conjunctions[0].text(drawn_by_hand.nodes) == "a:0 & ~a:1 -> b:0"
    assert drawn_by_hand.votes[0].weights.tolist() == [[0.0], [2.0]]
    hand.add_edge("and", "label:0")
    with pytest.raises(GraphError, match="a conjunction has edges from its members, one to its consequent"):
        NDG.from_networkx(hand)
    with pytest.raises(GraphError, match="a vote is an edge from a literal to a label"):
        NDG.from_networkx(nx.DiGraph([("a:0", "b:0", {"kind": "vote"})]))


def test_tables_name_every_kind_of_edge():
    graph = causal()
    table = pd.read_csv(io.StringIO(graph.to_csv()))
    assert table["kind"].value_counts().to_dict() == {"implication": len(graph), "vote": 7, "conjunction": 4}
    row = table[table["antecedent"] == "~a:0 & b:0"].iloc[0]
    assert (row["consequent"], row["n"], row["turned"]) == ("a:2", 200, 190)
    frame = graph.conjunctions_frame()
    assert frame["survival"].iloc[1] == 0.95
    assert frame["low"].iloc[1] == pytest.approx(0.910, abs=1e-3)
    assert graph.votes_frame().iloc[0].tolist() == ["~a:2", "label:0", 2.5, "a"]
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(io.BytesIO(exported(graph, "parquet"))).num_rows == len(table)


def test_parts_of_a_graph_keep_what_lies_within_and_count_the_rest():
    graph = causal()
    only_a = graph.subgraph(["a"])
    assert ([c.text(only_a.nodes) for c in only_a.conjunctions], [v.layer for v in only_a.votes]) == ([], ["a"])
    assert only_a.provenance["filters"][-1]["conjunctions left out"] == 4
    assert only_a.provenance["filters"][-1]["votes left out"] == 2
    assert graph.filter(min_precision=0.6).conjunctions == graph.conjunctions
    assert graph.filter(layers=["b"]).conjunctions == ()
    no_labels = graph.subgraph(["a", "b"], labels=False)
    assert [c.text(no_labels.nodes) for c in no_labels.conjunctions] == [
        c.text(graph.nodes) for c in graph.conjunctions
    ]
    assert no_labels.votes == ()
    with pytest.raises(GraphError, match="never tried"):
        graph.causal()
    bare = replace(graph, implications=edges.select(graph.implications, np.zeros(len(graph), np.bool_)))
    assert [each.test for each in bare.causal(at_least=0.9).conjunctions] == [(200, 190)]
    assert bare.causal().provenance["filters"][-1]["causal"]["at_least"] == 0.9
    best = top(graph.with_scores(OneBest()), "one", 1)
    assert [votes.edges for votes in best.votes] == [2]


class OneBest:
    method, measure = "one", "logits"

    def by_node(self, space):
        return {node: float(node == 2) for node in range(space.labels, space.labels + space.neurons)}


def test_other_graphs_keep_conjunctions_and_votes():
    graph = causal()
    assert walked_backwards(graph, 0.3).conjunctions == graph.conjunctions
    moved = shuffled(graph, 3)
    assert len(moved.conjunctions) == 4
    assert [votes.edges for votes in moved.votes] == [5, 2]
    text = next(moved.nodes.text(each.members[0]) for each in moved.conjunctions if each.test == (50, 20))
    (unit,) = np.flatnonzero(moved.votes[0].weights[0] == -2.5)  # a:2, which was equivalent to a:3
    assert len(moved.classes) == len(graph.classes)
    assert {f"a:{unit}", f"~a:{unit}"} & {moved.nodes.text(l) for literals in moved.classes for l in literals}
    assert text.startswith("a:")


def test_words_name_conjunctions_and_votes():
    graph = causal().with_class_names(["cat", "dog"])
    text = graph.rules()
    assert "forcing a:0 is off and b:0 is on makes a:2 is on  (0.950 [0.910, 0.973], 190 of 200)" in text
    assert "votes of a that class 0 (cat) is predicted: a:2 is off (2.5), a:4 is on (0.333), a:0 is on (0.1)" in text
    assert "and 3 more conjunctions" in graph.rules(limit=1)
    assert repr(graph) == "NDG(2 labels, 10 neurons, 27 implications, 4 conjunctions, 7 votes, 100 examples)"
    assert graph.stats().to_dict()["conjunctions"] == 4
    assert graph.stats().words().endswith("Besides: 4 conjunctions, 7 votes.")


def test_what_is_no_conjunction_or_vote_is_named():
    graph = drawn()
    for members, consequent, message in (
        ("a:0 ~a:0", "b:0", "of different nodes"),
        ("a:0", "~a:0", "another node as its consequent"),
    ):
        with pytest.raises(GraphError, match=message):
            conjunction(graph, members, consequent)
    with pytest.raises(GraphError, match=r"got \(3, 4\)"):
        conjunction(graph, "a:0", "b:0", test=(3, 4))
    with pytest.raises(GraphError, match="one finite number per member"):
        conjunction(graph, "a:0", "b:0", effects=(0.1, 0.2))
    with pytest.raises(GraphError, match=r"are distinct; got a:0 -> b:0 twice"):
        graph.with_conjunctions([conjunction(graph, "a:0", "b:0")] * 2)
    with pytest.raises(GraphError, match="numbered 0 to 11; got 12"):
        graph.with_conjunctions([Conjunction((Literal(12),), Literal(2))])
    with pytest.raises(GraphError, match=r"expected \(2, 5\) for a, got \(2, 4\)"):
        graph.with_votes(Votes("a", np.ones((2, 4)), np.zeros(2), 1))
    with pytest.raises(GraphError, match="votes of each layer once"):
        replace(graph, votes=(Votes("a", np.ones((2, 5)), np.zeros(2), 1),) * 2)
    again = causal().with_votes(Votes("a", np.ones((2, 5)), np.zeros(2), 1))
    assert [votes.edges for votes in again.votes] == [10, 2]


def test_a_difference_counts_conjunctions_and_votes():
    graph = causal()
    fewer = replace(graph, conjunctions=graph.conjunctions[1:], votes=graph.votes[:1])
    found = diff(graph, fewer, rounds=0)
    assert found.words().endswith(
        "3 conjunctions are in both graphs, 1 in a only, 0 in b only; 3 heads are in both. "
        "5 votes are in both graphs, 2 in a only, 0 in b only; 2 heads are in both."
    )
    assert [each["only_a"] for each in found.to_dict()["causal"]] == [1, 2]
    assert "causal" not in diff(drawn(), drawn(), rounds=0).to_dict()
