"""Graph in words."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.discovery import mine
from ndg.graph.ndg import NDG
from tests.references.graph_cases import drawn, graphs, implications, mined, oddly_named, pack, space


def test_a_mined_graph_reads_as_sentences():
    values = np.zeros((100, 5), bool)
    values[:50, 0] = True  # class 0 of two
    values[50:, 1] = True
    values[:40, 2] = True  # a:0 implies class 0
    values[:40, 3], values[99, 3] = True, True  # b:0 nearly equals a:0
    values[:, 4] = True
    assert mine(pack(values, 2), alpha=5).rules() == (
        "16 implications among 2 labels and 3 neurons over 100 examples (paper criterion, alpha 5); "
        "each also holds as its contrapositive\n"
        "always: b:1 is on\n"
        "class 0 is predicted if and only if class 1 is not predicted\n"
        "a:0 is on if and only if b:0 is on\n"
        "if a:0 is on then class 0 is predicted  (precision 1.0000, recall 0.8000, 0 exceptions in 40)"
    )


def test_exceptions_are_told_and_contradictions_named():
    lines = drawn().rules().split("\n")
    assert "contradictory, left out: b:3, b:4 (each both on and off)" in lines
    assert "b:0 is on if and only if b:1 is on if and only if b:2 is on" in lines
    assert sum(line.startswith("if ") for line in lines) == 3
    assert sum(line.startswith("if ") for line in drawn().rules(reduced=False).split("\n")) == 12


@given(st.one_of(graphs(), mined().map(lambda case: case[0])))
@settings(max_examples=30, deadline=None)
def test_without_reduction_each_pair_of_rules_is_told_once(graph):
    frame = graph.edges_frame()
    one_way = {(row.antecedent, row.consequent) for row in frame[~frame.equivalent].itertuples()}

    def negated(text: str) -> str:
        return text.removeprefix("~") if text.startswith("~") else f"~{text}"

    pairs = {frozenset({(p, q), (negated(q), negated(p))}) for p, q in one_way}
    told = [line for line in graph.rules(reduced=False).split("\n") if line.startswith("if ")]
    assert len(told) == len(set(told)) == len(pairs)


def test_concepts_are_told_by_their_names():
    lines = oddly_named().rules(reduced=False).split("\n")
    assert lines[0].startswith("18 implications among 1 labels, 3 neurons and 5 concepts over 50 examples")
    assert any('"[a] b" holds' in line for line in lines)
    assert repr(oddly_named()) == "NDG(1 labels, 3 neurons, 5 concepts, 18 implications, 50 examples)"


def test_a_limit_says_how_many_rules_it_leaves_out():
    lines = drawn().rules(limit=1).split("\n")
    assert sum(line.startswith("if ") for line in lines) == 1
    assert lines[-1] == "and 2 more"


def test_a_limit_that_all_lines_meet_leaves_out_none():
    graph = drawn()
    classes = sum(" if and only if " in line for line in graph.rules().split("\n"))
    assert classes > 1
    assert "more classes of equivalent literals" not in graph.rules(limit=classes)
    assert "and 1 more classes of equivalent literals" in graph.rules(limit=classes - 1)


@given(mined())
@settings(max_examples=15, deadline=None)
def test_the_surest_rule_comes_first(case):
    told = [line for line in case[0].rules(reduced=False).split("\n") if line.startswith("if ")]
    precisions = [float(line.partition("(precision ")[2].partition(",")[0]) for line in told]
    assert precisions == sorted(precisions, reverse=True)


def test_a_notebook_shows_the_graph_escaped_and_short():
    shown = drawn()._repr_html_()
    assert shown.startswith(
        "<p>27 implications among 2 labels and 10 neurons over 100 examples (given criterion); each"
    )
    assert "if a:0 is on then a:1 is on" in shown
    values = np.ones((4, 60), bool)
    shown = NDG(implications(values, space(60, 0), [], range(60)))._repr_html_()
    assert shown.count("always:") == 10
    assert "\nand 50 more constants" in shown


def test_rules_are_told_by_falling_precision():
    lines = [line for line in drawn().rules(reduced=False).split("\n") if "(precision" in line]
    precisions = [float(line.partition("(precision ")[2].partition(",")[0]) for line in lines]
    assert len(set(precisions)) > 1
    assert precisions == sorted(precisions, reverse=True)
