"""Cautions about a run: a fixed list of rules with thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ndg.graph.verdicts import ANTECEDENT_FALSE
from ndg.report.answers import guess
from ndg.report.sections import held_out, results

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """A caution for runs whose figure lies on the wrong side of a threshold.

    `figure` reads the figure from a run document, None where the run has none. The caution holds above the threshold,
    or with `below` under it; `says` is its sentence, with the figure as `value` and the threshold as `bar`.
    """

    name: str
    bar: float
    below: bool
    says: str
    figure: Callable[[Document], float | None]

    def applies(self, value: float | None) -> bool:
        """Whether a figure lies on the wrong side of the threshold."""
        return value is not None and (value < self.bar if self.below else value > self.bar)

    def caution(self, record: Document) -> str | None:
        """The sentence for a run, None where the rule does not apply."""
        value = self.figure(record)
        return self.says.format(value=value, bar=self.bar) if self.applies(value) else None


def cautions(record: Document) -> list[str]:
    """Cautions for a run, in the order of the rules."""
    return [text for rule in RULES if (text := rule.caution(record)) is not None]


def _accuracy(record: Document, name: str) -> float | None:
    return results(record, f"accuracy.{held_out(record)}").get(name)


def _over_guess(record: Document) -> float | None:
    low, chance = _accuracy(record, "low"), guess(record)
    return None if low is None or chance is None else low - chance


def _edges(record: Document) -> Document:
    return results(record, f"edges.{held_out(record)}")


def _fall(record: Document) -> float | None:
    edges = _edges(record)
    return None if edges.get("precision") is None else edges["mined_precision"] - edges["precision"]


def _over_base(record: Document) -> float | None:
    edges = _edges(record)
    known = edges.get("precision") is not None and edges.get("base_rate") is not None
    return edges["precision"] - edges["base_rate"] if known else None


def _judged(record: Document) -> float | None:
    edges = _edges(record)
    return edges["judged"] / edges["implications"] if edges.get("implications") else None


def _trials(record: Document) -> list[Document]:
    trials = results(record, "trial").values()
    return [trial.get(held_out(record)) or next(iter(trial.values())) for trial in trials if trial]


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _set(record: Document) -> float | None:
    """Largest share of the layer that an intervention sets."""
    trials = [trial for trial in _trials(record) if trial.get("units")]
    return _largest(trial["neurons_set"] / trial["units"] for trial in trials if trial["neurons_set"] is not None)


def _kept(record: Document) -> float | None:
    """Smallest share of the correct predictions that survive binarising."""
    trials = [trial for trial in _trials(record) if trial.get("kept") is not None and trial["n"]]
    return min((trial["kept"] / trial["n"] for trial in trials), default=None)


def _without_ancestors(record: Document) -> float | None:
    return _largest(len(trial["no_ancestors"]) for trial in _trials(record) if "no_ancestors" in trial)


def _tried(record: Document) -> Document:
    return next(iter(results(record, "edges_tried").values()), {})


def _tested(record: Document) -> float | None:
    return _tried(record).get("tested")


def _surviving(record: Document) -> float | None:
    tried = _tried(record)
    return tried["survived"]["alone"] / tried["tested"] if tried.get("tested") else None


def _inflated(record: Document) -> float | None:
    tried = _tried(record)
    return float(tried.get("rule", ANTECEDENT_FALSE) == ANTECEDENT_FALSE) if tried else None


def _coverage(record: Document) -> float | None:
    rows = [row for stage in results(record, "interchange").values() for row in stage.get("rows", ())]
    return _largest(row.get("coverage") for row in rows if row.get("control") == "graph")


def _constant(record: Document) -> float | None:
    graph = results(record, "graph")
    constant = (graph.get("condensed") or {}).get("constant")
    nodes = sum(layer["units"] for layer in graph.get("layers", ()))
    return constant / nodes if constant is not None and nodes else None


def _contradictory(record: Document) -> float | None:
    return results(record, "graph").get("contradictory")


def _copies(record: Document) -> float | None:
    """Whether the data say of themselves that they are not the publisher's whole files."""
    source = results(record, "data").get("source")
    signs = ("not the publisher's files", "not the whole release", "generated", "no published sum")
    return None if source is None else float(any(sign in str(source) for sign in signs))


def _dirty(record: Document) -> float | None:
    return None if record.get("dirty") is None else float(bool(record["dirty"]))


RULES = (
    Rule(
        "few examples",
        500,
        True,
        "Only {value:,.0f} held-out examples: intervals are wide, and small differences mean nothing.",
        lambda record: _accuracy(record, "n"),
    ),
    Rule(
        "no better than a guess",
        0,
        True,
        "The accuracy's interval reaches the rate of a guess, so the graph describes a network that has not learned.",
        _over_guess,
    ),
    Rule(
        "precision falls",
        0.01,
        False,
        "Mean precision falls by {value:.3f} from the mined to the held-out examples: judge by the held-out figure.",
        _fall,
    ),
    Rule(
        "near base rates",
        0.05,
        True,
        "Consequents hold almost as often on all examples: precision exceeds their base rate by {value:.3f} only.",
        _over_base,
    ),
    Rule(
        "few judged",
        0.9,
        True,
        "Only {value:.0%} of the implications can be judged; antecedents of the others never hold on held-out data.",
        _judged,
    ),
    Rule(
        "most neurons set",
        0.5,
        False,
        "An intervention sets {value:.0%} of the layer: a high aligned rate is then no evidence of the edges.",
        _set,
    ),
    Rule(
        "binarising changes",
        0.9,
        True,
        "Binarising alone changes predictions: {value:.0%} of the correct ones survive it.",
        _kept,
    ),
    Rule(
        "Q equals G.2",
        0,
        False,
        "No literal implies {value:.0f} of the classes, so Q and G.2 are one intervention there, not two results.",
        _without_ancestors,
    ),
    Rule(
        "few edges tested",
        20,
        True,
        "Only {value:.0f} edges could be forced on enough examples: their survival says little about the others.",
        _tested,
    ),
    Rule(
        "edges fail",
        0.5,
        True,
        "Forced alone, {value:.0%} of the tested edges survive: the others are correlations, not causes.",
        _surviving,
    ),
    Rule(
        "old rule of survival",
        0,
        False,
        "Survival was judged on all examples without the antecedent, which base rates inflate; try the edges again.",
        _inflated,
    ),
    Rule(
        "interchange undecided",
        0.2,
        True,
        "The graph decides {value:.0%} of the interchange pairs at most: their accuracy is about few pairs.",
        _coverage,
    ),
    Rule(
        "constant neurons",
        0.2,
        False,
        "{value:.0%} of the neurons are (almost) always on or off, and are not in the graph.",
        _constant,
    ),
    Rule(
        "contradictions",
        0,
        False,
        "{value:.0f} components of the graph contradict themselves; nothing is concluded from them.",
        _contradictory,
    ),
    Rule(
        "other data",
        0,
        False,
        "The data are a partial or converted copy: figures need not agree with published ones.",
        _copies,
    ),
    Rule(
        "changed code",
        0,
        False,
        "The code had changes that were not committed: its commit does not reproduce this run.",
        _dirty,
    ),
)
"""The rules, in the order of a report."""
