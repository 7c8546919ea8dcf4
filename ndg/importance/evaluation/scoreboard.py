"""Scoreboard: scores of one or several networks against exact ablation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, SupportsIndex

from torch import nn

from ndg.errors import ConfigError, LayerError, UserError
from ndg.importance.evaluation.agreement import (
    DRAWS,
    STATISTICS,
    Agreement,
    Estimate,
    agreement,
    averaged,
    margin,
    null_of,
)
from ndg.importance.evaluation.preflight import first, refusal, sound
from ndg.importance.evaluation.saturation import counted, disagreements
from ndg.importance.evaluation.score_cache import Kept, Timed, timed
from ndg.importance.evaluation.spec import ALL, every, fitting, parse
from ndg.importance.score import IMPORTANCE
from ndg.importance.scores import Scores
from ndg.importance.settings import ScoreSettings, Settings
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.progress import log
from ndg.results import Result

TRUTH, FIRST_ORDER = "ablation", "gndi"
COSTS = ("seconds", "forwards", "backwards", "passed")
SHOWN = 40
"""Number of disagreements in the run log."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One method: scores, cost and agreement, or the reason why it `refused`.

    A method that takes only some layers is compared on these, with their `null`; `partly` says how many and why.
    `forwards` and `backwards` count passes with one compute batch, `passed` counts rows.
    """

    method: str
    title: str
    scores: Scores | None = None
    agreement: Agreement | None = None
    null: Agreement | None = None
    seconds: float | None = None
    forwards: int | None = None
    backwards: int | None = None
    passed: int | None = None
    refused: str = ""
    partly: str = ""

    @property
    def margin(self) -> Estimate:
        """Pooled rank correlation minus that of the null."""
        assert self.agreement is not None
        assert self.null is not None
        return margin(self.agreement.pooled["spearman"], self.null.pooled["spearman"])

    def row(self) -> dict[str, Any]:
        """Cost and correlations, or the reason of the refusal."""
        row = {name: getattr(self, name) for name in ("method", "title", *COSTS)}
        if self.agreement is None:
            return row | {"refused": self.refused}
        more = {"left_out": len(self.agreement.left_out), "partly": self.partly or None}
        return row | _figures(self.agreement) | self.margin.columns("margin") | more


@dataclass(frozen=True, eq=False)
class Scoreboard(Result):
    """Methods in the requested order, the `truth`, and the layer-mean null.

    `truth_seconds` is the time of exact ablation, None if it was given or resumed.
    """

    network: str
    truth: Scores
    truth_seconds: float | None
    null: Agreement
    entries: tuple[Entry, ...]
    first_order: str | None

    def rows(self) -> list[dict[str, Any]]:
        """One row per method, null and truth: correlations, n, cost.

        `margin` is the pooled Spearman correlation minus that of the null.
        """
        truth, cost = self.truth, {"seconds": self.truth_seconds, "passed": self.truth.facts.get("passed")}
        rows = [
            *(entry.row() for entry in self.entries),
            {"method": self.null.score, "title": "null: the layer's mean damage"} | _figures(self.null),
            {"method": truth.method, "title": "exact ablation: the truth"} | cost,
        ]
        return [{"network": self.network} | row for row in rows]

    @property
    def disagreements(self) -> list[dict[str, Any]]:
        """Units on which the first-order score and the truth disagree."""
        scores = (entry.scores for entry in self.entries if entry.method == self.first_order and entry.scores)
        return [row for known in scores for row in disagreements(known, self.truth)]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: rows, agreement per layer, first disagreements and their counts."""
        apart = self.disagreements
        return {
            "network": self.network,
            "truth": {key: getattr(self.truth, key) for key in ("method", "measure", "baseline", "target", "examples")},
            "rows": self.rows(),
            "null": self.null.to_dict(),
            "layers": {
                entry.method.replace(".", "_"): entry.agreement.to_dict()["layers"]
                for entry in self.entries
                if entry.agreement is not None
            },
            "first_order": self.first_order,
            "disagreements": {"counts": dict(counted(apart)), "shown": apart[:SHOWN], "all": len(apart)},
        }

    def words(self) -> str:
        """Best method within layers, methods worse than the null, and refusals."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The sentences of `words`."""
        judged = {entry.method: entry.agreement for entry in self.entries if entry.agreement is not None}
        within = {name: agreement.within["spearman"].value for name, agreement in judged.items()}
        ranked = {name: value for name, value in within.items() if value is not None}
        sentences = []
        if ranked:
            best = max(ranked, key=ranked.__getitem__)
            sentences.append(
                f"{self.network}: within layers {best} ranks units most like exact ablation ({ranked[best]:.3f})."
            )
        blind = [row["method"] for row in self.rows() if row.get("margin_high") is not None and row["margin_high"] < 0]
        if blind:
            sentences.append(f"Over all units the mean of each layer alone does better than {', '.join(blind)}.")
        if self.first_order in judged:
            units = sum(len(self.truth[layer]) for layer in self.truth.layers)
            counts = counted(self.disagreements)
            totals = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "none"
            sentences.append(f"Units on which {self.first_order} and ablation disagree: {totals}, of {units:,}.")
        sentences += [f"{entry.method} is judged on {entry.partly}." for entry in self.entries if entry.partly]
        sentences += [f"{entry.method} is left out: {entry.refused}." for entry in self.entries if entry.refused]
        return sentences


@dataclass(frozen=True)
class BoardSettings(ScoreSettings):
    """How methods are scored, and held against exact ablation.

    network      name of the network, written beside the results
    target       a class, for methods that look at one
    draws        bootstrap draws of the intervals
    first_order  the method whose disagreements with the truth are listed
    own          further settings of single methods, by method: `n_steps`, `baselines` or options of their own
    """

    network: str = "network"
    target: SupportsIndex | None = None
    draws: int = DRAWS
    first_order: str = FIRST_ORDER
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, method: str, options: RunOptions) -> Settings:
        """The settings of one method."""
        own = dict(self.own.get(method, {}))
        more = {name: own.pop(name) for name in ("target", "baselines", "n_steps", "each_position") if name in own}
        plain = Settings(self.baselines, self.n_steps, self.each_position, self.target, options, own)
        return replace(plain, **more)

    def __post_init__(self) -> None:
        plain_numbers(self)


@old_keywords(settings=BoardSettings, options=RunOptions, renamed={"internal_batch_size": "batch"})
def scoreboard(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    methods: Iterable[str] = (ALL,),
    *,
    settings: BoardSettings = BoardSettings(),
    options: RunOptions = RunOptions(),
    truth: Scores | None = None,
    kept: Kept | None = None,
) -> Scoreboard:
    """Compare methods with exact ablation on the same units and examples.

    Settings that a method does not take are ignored for it. `truth` are exact scores, if already computed; `kept` is a
    folder of finished scores to reuse. A method that cannot score the data, or some layers, is left out there with its
    reason. Raises ConfigError for an unknown method or for none, and LayerError for a layer that is unused or has NaN.
    """
    names = [name for name in every(methods) if name != TRUTH]
    if not names:
        raise ConfigError("a scoreboard holds at least one method against exact ablation; got none; name one, or 'all'")
    if truth is not None:
        exact = Timed(truth, None)
    else:
        exact = timed(kept, model, loader, layers, TRUTH, replace(settings, own={}).of(TRUTH, options))
    null = agreement(null_of(exact.scores), exact.scores, seed=options.seed, draws=settings.draws)
    judge = _Judge(model, loader, exact.scores, null, settings, options, kept)
    shown = settings.first_order if settings.first_order in names else None
    return Scoreboard(settings.network, exact.scores, exact.seconds, null, tuple(map(judge.entry, names)), shown)


@dataclass(frozen=True, eq=False)
class _Judge:
    """Common inputs of all entries of a scoreboard."""

    model: nn.Module
    loader: Iterable[Any]
    truth: Scores
    null: Agreement
    settings: BoardSettings
    options: RunOptions
    kept: Kept | None

    def entry(self, name: str) -> Entry:
        """Entry of one method."""
        method, layers, null = IMPORTANCE[parse(name)[0]], self.truth.layers, self.null
        settings = self.settings.of(name, self.options)
        log.info("  %s", name)
        partly = ""
        try:
            timed_scores = self._timed(layers, name, settings)
        except LayerError as error:
            scorable = self._taken(name, settings)
            if len(scorable) == len(layers):  # the error comes of later examples: no refusal
                raise
            why = _short(error)
            if not scorable:
                return Entry(name, method.title, refused=why)
            partly = f"{len(scorable)} of {len(layers)} layers, since {why}"
            timed_scores = self._timed(scorable, name, settings)
            null = self._agreement(null_of(_among(self.truth, scorable)))
        except UserError as error:
            return Entry(name, method.title, refused=_short(error))
        scores, facts = timed_scores.scores, timed_scores.scores.facts
        passes = facts.get("forward_passes"), facts.get("backward_passes"), facts.get("passed", facts.get("cost"))
        judged = self._agreement(scores)
        return Entry(name, method.title, scores, judged, null, timed_scores.seconds, *passes, partly=partly)

    def _timed(self, layers: Sequence[str], name: str, settings: Settings) -> Timed:
        return timed(self.kept, self.model, self.loader, layers, name, fitting(name, settings))

    def _agreement(self, scores: Scores) -> Agreement:
        return agreement(scores, self.truth, seed=self.options.seed, draws=self.settings.draws)

    def _taken(self, name: str, settings: Settings) -> list[str]:
        """Layers that a method can score, tested on few examples."""
        few, taken = first(self.loader), []
        for layer in self.truth.layers:
            if refusal(self.model, few, [layer], name, settings) is None:
                taken.append(layer)
            else:
                sound(self.model, few, layer, self.options.threads)
        return taken


def _short(error: UserError) -> str:
    """Rule and actual value of an error."""
    return "; ".join(str(error).split("; ")[:2])


def _among(scores: Scores, layers: Sequence[str]) -> Scores:
    """Scores of these layers."""
    values = {layer: scores[layer] for layer in scores.layers if layer in layers}
    return replace(scores, values=values, whole={layer: scores.whole[layer] for layer in values}, errors={})


def _figures(agreement: Agreement) -> dict[str, Any]:
    """Estimates as plain columns such as `spearman_within_low`; n counts units."""
    columns: dict[str, Any] = {"n": agreement.pooled["spearman"].n, "n_within": agreement.within["spearman"].n}
    for suffix, estimates in (("", agreement.pooled), ("_within", agreement.within)):
        for statistic, estimate in estimates.items():
            name = f"{statistic}{suffix}"
            columns |= estimate.columns(name) if len(estimate.draws) else {name: estimate.value}
    return columns


def over(boards: Sequence[Scoreboard], network: str) -> list[dict[str, Any]]:
    """One row per method: means over trainings with bootstrap intervals over units.

    `spearman_within_least` and `_most` are extremes over trainings. A method that fails on a training is left out.
    """
    names = list(dict.fromkeys(entry.method for board in boards for entry in board.entries))
    rows = [_pooled_row(name, boards, network) for name in names]
    null, size = [board.null for board in boards], {"networks": len(boards)}
    truth = {
        "seconds": _mean([board.truth_seconds for board in boards]),
        "passed": _mean([board.truth.facts.get("passed") for board in boards]),
    }
    rows.append({"network": network, "method": null[0].score, "title": "null"} | _pooled_figures(null) | size)
    rows.append({"network": network, "method": boards[0].truth.method, "title": "truth"} | truth | size)
    return rows


def _pooled_row(name: str, boards: Sequence[Scoreboard], network: str) -> dict[str, Any]:
    entries = [entry for board in boards for entry in board.entries if entry.method == name]
    row: dict[str, Any] = {"network": network, "method": name, "title": entries[0].title, "networks": len(entries)}
    agreements = [entry.agreement for entry in entries if entry.agreement is not None]
    if len(agreements) < len(boards):
        return row | {"refused": next((entry.refused for entry in entries if entry.refused), "not scored everywhere")}
    return row | {
        **_pooled_figures(agreements),
        "partly": next((entry.partly for entry in entries if entry.partly), None),
        **averaged([entry.margin for entry in entries]).columns("margin"),
        **{what: _mean([getattr(entry, what) for entry in entries]) for what in COSTS},
    }


def _pooled_figures(agreements: Sequence[Agreement]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for suffix, side in {"": "pooled", "_within": "within"}.items():
        for statistic in STATISTICS:
            each: list[Estimate] = [getattr(agreement, side)[statistic] for agreement in agreements]
            mean, name = averaged(each), f"{statistic}{suffix}"
            columns |= {**mean.columns(name), f"n{suffix}": mean.n}
            known = [estimate.value for estimate in each if estimate.value is not None]
            if statistic == "spearman" and known:
                columns |= {f"{name}_least": min(known), f"{name}_most": max(known)}
    return columns


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
