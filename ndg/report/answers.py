"""Answers to a reader's questions, by fixed rules, with figures and controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ndg.abstraction.verdict import better, larger, survives
from ndg.escape import html as escape
from ndg.graph.verdicts import ANTECEDENT_FALSE
from ndg.intervals import wilson
from ndg.report.sections import held_out, results

Document = Mapping[str, Any]
Said = tuple[str, str]
"""A verdict and its sentence."""

YES, NO, PARTLY, OPEN = "yes", "no", "partly", "no verdict"
SIGNS = {YES: "✓", NO: "✗", PARTLY: "◐", OPEN: "?"}

FALL = 0.01
"""Fall of the mean precision, from the mined to the held-out examples, up to which implications hold."""
MOST = 0.5
"""Share of forced edges from whose survival on the answer is yes; below it is partly, without any it is no."""
SAME = 0.99
"""Lower end of the interval of the agreement from which on units can be removed; down to `NEAR` it is partly."""
NEAR = 0.95
WITHOUT_INTERVENTION = (
    "constant base", "constant source", "prototype, Hamming", "prototype, naive Bayes", "votes of plain examples",
    "mean-gradient votes",
)  # fmt: skip
"""Controls of interchange accuracy that are made without any intervention."""


@dataclass(frozen=True)
class Answer:
    """A question, one of `SIGNS`, and a sentence with the figure and its control."""

    question: str
    verdict: str
    sentence: str

    @property
    def sign(self) -> str:
        """The verdict with its sign."""
        return f"{SIGNS[self.verdict]} {self.verdict}"

    def html(self) -> str:
        """A term and its definition.

        The sign and the word say what the colour says.
        """
        kind = self.verdict.replace(" ", "-")
        return f"<dt>{escape(self.question)}</dt><dd class={kind}><b>{self.sign}</b> {escape(self.sentence)}</dd>"


def answers(record: Document) -> list[Answer]:
    """Answers that the document of a run allows, in the order of `QUESTIONS`."""
    return [Answer(question, *said) for question, ask in QUESTIONS.items() if (said := ask(record)) is not None]


def by_question(records: Sequence[Document]) -> dict[str, list[Answer | None]]:
    """Answers of each run to the questions that some run answers, in the order of `QUESTIONS`."""
    said = [{answer.question: answer for answer in answers(record)} for record in records]
    asked = [question for question in QUESTIONS if any(question in own for own in said)]
    return {question: [own.get(question) for own in said] for question in asked}


def unanswered(record: Document) -> list[str]:
    """Questions that the run did not measure, in the order of `QUESTIONS`."""
    said = {answer.question for answer in answers(record)}
    return [question for question in QUESTIONS if question not in said]


def guess(record: Document) -> float | None:
    """Accuracy without a network.

    That of always the commonest class of the held-out split; where it is unknown, of a class at random.
    """
    classes, commonest = results(record, "data").get("classes"), results(record, "data.commonest")
    return None if not classes else max(1 / classes, commonest.get(held_out(record)) or 0)


def accurate(record: Document) -> Said | None:
    """Yes if the accuracy's interval lies above that of a guess."""
    split, chance = held_out(record), guess(record)
    accuracy = results(record, f"accuracy.{split}")
    if not accuracy or chance is None:
        return None
    interval = f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}]"
    commonest = results(record, "data.commonest").get(split)
    control = "a guess has" if commonest is None else "always the commonest class has"
    rate = f"Accuracy {accuracy['rate']:.3f} {interval} on {accuracy['n']:,} {split} examples"
    sentence = f"{rate}; {control} {chance:.3f}."
    return (YES if accuracy["low"] > chance else NO), sentence


def hold(record: Document) -> Said | None:
    """Yes if the mean precision falls by at most `FALL`."""
    split = held_out(record)
    edges = results(record, f"edges.{split}")
    if not edges:
        return None
    if edges.get("precision") is None:
        return OPEN, f"No implication has an antecedent that holds in a {split} example."
    fall = edges["mined_precision"] - edges["precision"]
    sentence = (
        f"Mean precision {edges['precision']:.4f} on {edges['examples']:,} {split} examples, "
        f"{edges['mined_precision']:.4f} when mined ({edges['judged']:,} implications)."
    )
    return (YES if fall <= FALL else NO), sentence


def beats(record: Document) -> Said | None:
    """Yes if an intervention beats the prototype at like size, partly if it changes more neurons."""
    judged = []
    for trial in results(record, "trial").values():
        split = next((name for name in ("test", "validation") if name in trial), next(iter(trial)))
        judged.append(trial[split])
    if not judged:
        return None
    decided = [figures for figures in judged if better(figures) is not None]
    if not decided:
        broken = [figures for figures in judged if figures["neurons_set"] and not survives(figures)]
        why = "binarising alone changes the network" if broken else "the graph names no neuron that could be set"
        return OPEN, f"{why[0].upper()}{why[1:]}."
    won = [figures for figures in decided if better(figures)]
    equal = [figures for figures in won if not larger(figures)]
    best = max(equal or won or decided, key=lambda figures: float(figures["selectivity"]))
    become = f"{100 * best['aligned']:.1f} % of {best['n']:,} predictions become that class"
    sentence = (
        f"With the neurons set that the graph names for another class ({best['intervention']}), {become}, "
        f"{points(best, 'selectivity')} than with the strongest class prototype"
    )
    sentence += ", but it changes more neurons." if won and not equal else "."
    return (YES if equal else PARTLY if won else NO), sentence


def points(row: Mapping[str, Any], name: str) -> str:
    """A difference of two shares in points, with its interval, as so many more or fewer."""
    sign = -1 if row[name] < 0 else 1
    ends = sorted(100 * sign * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{100 * abs(row[name]):.1f} points [{ends[0]:.1f}, {ends[1]:.1f}] {'fewer' if sign < 0 else 'more'}"


def survive(record: Document) -> Said | None:
    """Yes if at least `MOST` of the edges survive with their antecedent forced alone."""
    for split, edges in results(record, "edges_tried").items():
        tested, survived = edges["tested"], edges["survived"]
        if not tested:
            return OPEN, f"No edge could be forced on at least {edges['least']} {split} examples."
        alone = survived["alone"]
        low, high = wilson(alone, tested)
        sentence = f"{alone:,} of {tested:,} edges ({alone / tested:.3f} [{low:.3f}, {high:.3f}])"
        if "rest" in survived:
            sentence += f"; control, all that the antecedent implies but not itself forced: {survived['rest']:,}"
        if edges.get("rule", ANTECEDENT_FALSE) == ANTECEDENT_FALSE:
            sentence += "; judged on all examples without the antecedent, which base rates inflate"
        verdict = YES if alone / tested >= MOST else PARTLY if alone else NO
        return verdict, f"{sentence}."
    return None


def predicts(record: Document) -> Said | None:
    """Yes if votes lead every control without intervention, with an interval above zero."""
    table = results(record, "causal.interchange_accuracy")
    rows = {row["predictor"]: row for row in table.get("rows", ())}
    controls = [rows[name] for name in WITHOUT_INTERVENTION if name in rows]
    if "votes" not in rows or not controls:
        return None
    votes, best = rows["votes"], min(controls, key=lambda row: float(row["lead"]))
    sentence = (
        f"Votes predict {votes['iia']:.3f} [{votes['low']:.3f}, {votes['high']:.3f}] of {votes['n']:,} interchanges on "
        f"held-out examples, {points(best, 'lead')} than the best control without intervention ({best['predictor']})."
    )
    verdict = YES if best["lead_low"] > 0 else NO if best["lead_high"] < 0 else PARTLY
    return verdict, sentence


def removable(record: Document) -> Said | None:
    """Yes from a lower end of the agreement of `SAME` on.

    No verdict on a network that guesses.
    """
    compress = results(record, "compress")
    networks = {row["network"]: row for row in compress.get("networks", ())}
    if not {"original", "compressed"} <= networks.keys():
        return None
    original, smaller = networks["original"], networks["compressed"]
    low, chance = original.get("accuracy_low"), guess(record)
    if low is not None and chance is None:
        return OPEN, "It is unknown how often a guess is right, so that the network may be one."
    if low is not None and chance is not None and low <= chance:
        return OPEN, "The network itself is no better than a guess."
    gone = 1 - smaller["parameters"] / original["parameters"]
    control = (
        f"; random units of the same number: {networks['random']['agreement']:.4f}" if "random" in networks else ""
    )
    sentence = (
        f"{100 * gone:.0f} % of the parameters: {smaller['agreement']:.4f} [{smaller['agreement_low']:.4f}, "
        f"{smaller['agreement_high']:.4f}] of {smaller['n']:,} held-out predictions stay the same{control}."
        + ("" if low is not None else " Without true classes nothing is known of the accuracy.")
    )
    low = smaller["agreement_low"]
    return (YES if low >= SAME else PARTLY if low >= NEAR else NO), sentence


QUESTIONS: dict[str, Callable[[Document], Said | None]] = {
    "Is the network accurate?": accurate,
    "Do the implications hold on held-out data?": hold,
    "Does the graph beat the class prototype?": beats,
    "How many edges survive when they are forced?": survive,
    "What does the causal graph predict?": predicts,
    "What can be removed?": removable,
}
"""All questions, in the order in which every report asks them, and what answers them."""
