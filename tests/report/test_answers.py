"""Answers of a report: every rule on both sides of its threshold, and no verdict without its precondition."""

from __future__ import annotations

import copy
import re

import pytest

from ndg.report import html
from ndg.report.answers import FALL, MOST, NEAR, NO, OPEN, PARTLY, QUESTIONS, SAME, SIGNS, YES, answers, points
from ndg.report.html import Report


@pytest.fixture
def whole(record):
    """An align run with forced edges, a causal study and a compression in one document."""
    record = copy.deepcopy(record)
    edges = {"tested": 40, "least": 20, "survived": {"alone": 30, "rest": 1}, "summary": [], "words": ""}
    lead = {"lead": 0.05, "lead_low": 0.04, "lead_high": 0.06}
    rows = [
        {"predictor": "votes", "iia": 0.93, "low": 0.92, "high": 0.94, "n": 900},
        {"predictor": "constant base", "iia": 0.45, "n": 900, "lead": 0.48, "lead_low": 0.4, "lead_high": 0.5},
        {"predictor": "prototype, naive Bayes", "iia": 0.88, "n": 900, **lead},
        {"predictor": "mean-gradient votes", "iia": 0.85, "n": 900, "lead": 0.08, "lead_low": 0.07, "lead_high": 0.09},
    ]
    agreement = {"agreement": 0.999, "agreement_low": 0.995, "agreement_high": 1.0, "n": 900}
    networks = [
        {"network": "original", "parameters": 100, "accuracy_low": 0.9, **agreement},
        {"network": "compressed", "parameters": 40, "accuracy_low": 0.9, **agreement},
        {"network": "random", "parameters": 40, "accuracy_low": 0.8, **(agreement | {"agreement": 0.87})},
    ]
    record["results"] |= {
        "edges_tried": {"test": edges},
        "causal": {"interchange_accuracy": {"rows": rows}},
        "compress": {"networks": networks},
    }
    return record


def test_every_question_has_one_answer_with_figure_and_control(whole):
    said = answers(whole)
    assert [answer.question for answer in said] == [
        "Is the network accurate?",
        "Do the implications hold on held-out data?",
        "Does the graph beat the class prototype?",
        "How many edges survive when they are forced?",
        "What does the causal graph predict?",
        "What can be removed?",
    ]
    assert [answer.question for answer in said] == list(QUESTIONS)
    words = " ".join(answer.sentence for answer in said)
    for figure in (
        "a guess has 0.250",
        "when mined",
        "than with the strongest class prototype",
        "30 of 40 edges (0.750 [",
        "control, all that the antecedent implies but not itself forced: 1",
    ):
        assert figure in words
    assert "5.0 points [4.0, 6.0] more than the best control without intervention (prototype, naive Bayes)" in words
    assert "60 % of the parameters: 0.9990 [0.9950, 1.0000] of 900 held-out predictions stay the same" in words
    assert "random units of the same number: 0.8700" in words
    assert all(answer.sentence.count(".") >= 1 and answer.verdict in SIGNS for answer in said)


def verdict(record, question, path, value):
    """The answer to a question after one figure of the results changed."""
    *way, last = path
    place = record["results"]
    for step in way:
        place = place[step]
    place[last] = value
    (answer,) = [answer for answer in answers(record) if answer.question.startswith(question)]
    return answer.verdict


@pytest.mark.parametrize(("low", "expected"), [(0.2501, YES), (0.25, NO)])
def test_accurate_is_above_a_guess(whole, low, expected):
    assert verdict(whole, "Is the network", ("accuracy", "test", "low"), low) == expected


@pytest.mark.parametrize(("fall", "expected"), [(FALL - 1e-6, YES), (FALL + 1e-6, NO)])
def test_implications_hold_when_the_precision_stays(whole, fall, expected):
    mined = whole["results"]["edges"]["test"]["mined_precision"]
    assert verdict(whole, "Do the implications", ("edges", "test", "precision"), mined - fall) == expected


def test_without_a_judged_implication_there_is_no_verdict(whole):
    assert verdict(whole, "Do the implications", ("edges", "test", "precision"), None) == OPEN


@pytest.mark.parametrize(("low", "expected"), [(1e-6, YES), (0.0, NO)])
def test_a_prototype_is_beaten_where_the_interval_lies_above_zero(whole, low, expected):
    whole["results"]["trial"]["q"]["test"]["neurons_changed"] = 1.0
    assert verdict(whole, "Does the graph", ("trial", "q", "test", "selectivity_low"), low) == expected


def test_more_changed_neurons_are_said(whole):
    figures = whole["results"]["trial"]["q"]["test"]
    figures |= {"selectivity_low": 0.01, "selectivity_control": "prototype_surest", "neurons_changed": 9.0}
    figures["controls"]["prototype_surest"]["neurons_changed"] = 2.0
    (answer,) = [answer for answer in answers(whole) if answer.question.startswith("Does the graph")]
    assert answer.verdict == PARTLY
    assert "changes more neurons" in answer.sentence


@pytest.mark.parametrize(("kept", "expected"), [(180, NO), (179, OPEN)])
def test_a_layer_that_binarising_breaks_has_no_verdict(whole, kept, expected):
    whole["results"]["trial"]["q"]["test"]["selectivity_low"] = -0.01
    assert verdict(whole, "Does the graph", ("trial", "q", "test", "kept"), kept) == expected


@pytest.mark.parametrize(("alone", "expected"), [(0, NO), (1, PARTLY), (19, PARTLY), (20, YES)])
def test_edges_survive(whole, alone, expected):
    assert MOST == 0.5
    assert verdict(whole, "How many edges", ("edges_tried", "test", "survived", "alone"), alone) == expected


def test_edges_that_could_not_be_forced_have_no_verdict(whole):
    assert verdict(whole, "How many edges", ("edges_tried", "test", "tested"), 0) == OPEN


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.001, 0.06, YES), (0.0, 0.06, PARTLY), (-0.02, 0.0, PARTLY), (-0.02, -0.001, NO)]
)
def test_the_causal_graph_leads_its_best_control(whole, low, high, expected):
    row = whole["results"]["causal"]["interchange_accuracy"]["rows"][2]
    row["lead_high"] = high
    assert (
        verdict(whole, "What does the causal", ("causal", "interchange_accuracy", "rows", 2, "lead_low"), low)
        == expected
    )


def test_votes_by_the_mean_gradient_are_a_control_too(whole):
    row = whole["results"]["causal"]["interchange_accuracy"]["rows"][3]
    row |= {"lead": 0.01, "lead_low": -0.001, "lead_high": 0.02}
    [answer] = [each for each in answers(whole) if each.question.startswith("What does the causal")]
    assert answer.verdict == PARTLY
    assert "(mean-gradient votes)" in answer.sentence


@pytest.mark.parametrize(("low", "expected"), [(0.6001, YES), (0.6, NO)])
def test_an_accurate_network_is_better_than_the_commonest_class(whole, low, expected):
    whole["results"]["data"]["commonest"] = {"train": 0.5, "test": 0.6}
    assert verdict(whole, "Is the network", ("accuracy", "test", "low"), low) == expected
    assert "always the commonest class has 0.600" in answers(whole)[0].sentence


@pytest.mark.parametrize(("low", "expected"), [(SAME, YES), (SAME - 1e-6, PARTLY), (NEAR, PARTLY), (NEAR - 1e-6, NO)])
def test_units_can_be_removed_where_predictions_stay(whole, low, expected):
    assert verdict(whole, "What can be", ("compress", "networks", 1, "agreement_low"), low) == expected


@pytest.mark.parametrize(("low", "expected"), [(0.2501, YES), (0.25, OPEN)])
def test_a_network_that_guesses_has_nothing_to_keep(whole, low, expected):
    assert verdict(whole, "What can be", ("compress", "networks", 0, "accuracy_low"), low) == expected


def test_without_true_classes_the_accuracy_is_said_to_be_unknown(whole):
    for row in whole["results"]["compress"]["networks"]:
        del row["accuracy_low"]
    [answer] = [each for each in answers(whole) if each.question.startswith("What can be")]
    assert answer.sentence.endswith("Without true classes nothing is known of the accuracy.")


def test_a_run_without_these_stages_has_no_answers():
    assert answers({"results": {}}) == []
    assert "The verdict" not in html.page(Report("nothing", {"results": {}}))


def test_the_verdict_stands_first_and_is_read_without_colour(whole):
    page = html.page(Report("all of it", whole))
    assert page.index("<h2>The verdict</h2>") < page.index("<h2>In words</h2>")
    said = re.findall(r"<dd class=([\w-]+)><b>(\S) ([\w ]+)</b>", page)
    assert len(said) == len(answers(whole))
    assert all(SIGNS[word] == sign and kind == word.replace(" ", "-") for kind, sign, word in said)


def test_points_are_more_or_fewer_with_the_interval_turned_alike():
    row = {"lead": -0.314, "lead_low": -0.323, "lead_high": -0.305}
    assert points(row, "lead") == "31.4 points [30.5, 32.3] fewer"
    assert points({"lead": 0.01, "lead_low": -0.002, "lead_high": 0.022}, "lead") == "1.0 points [-0.2, 2.2] more"


def test_a_network_of_unknown_chance_has_no_verdict_on_removal(whole):
    del whole["results"]["data"]
    [answer] = [each for each in answers(whole) if each.question == "What can be removed?"]
    assert (answer.verdict, "unknown how often a guess is right" in answer.sentence) == (OPEN, True)
