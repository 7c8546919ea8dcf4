"""The trials of an align run: interventions on every split, then further studies on the held-out one."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ndg import atomic
from ndg.abstraction.edges import EdgeSettings, try_edges
from ndg.abstraction.interchange import InterchangeSettings, interchange
from ndg.abstraction.minimal import MinimalSettings, minimal
from ndg.abstraction.result import TrialResult
from ndg.abstraction.trial import TrialSettings, trials
from ndg.config import Experiment
from ndg.executors import Journal
from ndg.graph.ndg import NDG
from ndg.importance.scores import Scores
from ndg.interventions.cache import Cache
from ndg.options import RunOptions
from ndg.runs.run import Run
from ndg.workflows.control_graphs import control_graphs
from ndg.workflows.prepare import Prepared

TRIALS, CURVES, INTERCHANGE, EDGES, MINIMAL = (
    "trials.csv",
    "curves.csv",
    "interchange.csv",
    "edges_tried.csv",
    "minimal.csv",
)
JOURNALS = "journals"
HOW = ("alone", "closure", "rest")
VALIDATION = "validation"


class TrialStages:
    """The trials of one graph. A journal of each stage in the run's folder lets a killed run continue."""

    def __init__(self, prepared: Prepared, experiment: Experiment, graph: NDG, run: Run) -> None:
        self._prepared, self._graph, self._run = prepared, graph, run
        self._experiment, self._subject = experiment, prepared.subject
        self._settings = self._experiment.trial
        self._layer = prepared.trial_layer

    def run(self, scores: list[Scores]) -> NDG:
        """Run and log every stage; return the graph with verdicts on its edges."""
        self._interventions(scores)
        if self._settings.interchange:
            with self._prepared.timed("interchange"):
                self._interchange()
        if self._settings.minimal:
            with self._prepared.timed("minimal"):
                self._minimal()
        if not self._settings.edges:
            return self._graph
        with self._prepared.timed("edges"):
            return self._edges()

    def _interventions(self, scores: list[Scores]) -> None:
        import pandas as pd

        settings, held_out = self._settings, self._subject.held_out
        splits = dict.fromkeys(settings.splits)
        with self._prepared.timed("controls"):
            graphs = control_graphs(self._prepared)
        first = [VALIDATION] if VALIDATION in self._subject.loaders else []
        results: dict[str, dict[str, TrialResult]] = {}
        for split in dict.fromkeys([*first, *splits]):
            with self._prepared.timed("trials"):
                results[split] = trials(
                    self._subject.network,
                    self._graph,
                    self._subject.loaders[split],
                    settings.interventions,
                    fit=self._subject.loaders["train"],
                    settings=TrialSettings(
                        layer=self._layer,
                        values=settings.values,
                        beta=settings.beta,
                        draws=settings.draws,
                        graphs=graphs,
                        orders=self._orders(scores) if settings.curve and split == held_out else {},
                        curve=settings.curve and split == held_out,
                        split=split,
                    ),
                    options=self._options("trial", split),
                    cache=self._cache(split),
                )
        frames, curves = [], []
        for split in splits:
            for name, result in results[split].items():
                chosen = result.picked(results[first[0]][name]) if first else result
                self._run.result(f"trial.{chosen.key}.{split}", chosen.to_dict())
                frames.append(chosen.frame())
                if chosen.curve is not None:
                    curves.append(chosen.curve.frame().assign(intervention=name, split=split))
        self._write(TRIALS, pd.concat(frames))
        if curves:
            self._write(CURVES, pd.concat(curves))

    def _orders(self, scores: list[Scores]) -> dict[str, np.ndarray]:
        """Units of the layer ranked by each method that scores all of them, the most important first."""
        nodes = self._graph.nodes
        units = nodes.slice(self._layer)
        orders = {}
        for score in scores:
            values = score.by_node(nodes)
            if all(node in values for node in range(units.start, units.stop)):
                keys = np.array([-abs(values[node]) for node in range(units.start, units.stop)])
                orders[score.method] = np.argsort(keys, kind="stable")
        return orders

    def _interchange(self) -> None:
        split = self._subject.held_out
        result = interchange(
            self._subject.network,
            self._graph,
            self._subject.loaders[split],
            settings=InterchangeSettings(layers=[self._layer], pool=self._settings.pool, split=split),
            options=self._options("interchange", split),
            cache=self._cache(split),
        )
        document = {**result.to_dict(), "rows": result.rows(), "words": result.words()}
        self._run.result(f"interchange.{self._subject.held_out}", document)
        self._write(INTERCHANGE, result.frame())

    def _minimal(self) -> None:
        split, settings = self._subject.held_out, self._settings
        result = minimal(
            self._subject.network,
            self._graph,
            self._subject.loaders[split],
            fit=self._subject.loaders["train"],
            settings=MinimalSettings(
                self._layer, settings.values, settings.minimal, budget=settings.budget, split=split
            ),
            options=self._options("minimal", split),
        )
        self._run.result(f"minimal.{self._subject.held_out}", result.to_dict())
        self._write(MINIMAL, result.frame())

    def _edges(self) -> NDG:
        split, settings = self._subject.held_out, self._settings
        values = "mean" if settings.values == "auto" else settings.values
        result = try_edges(
            self._subject.network,
            self._graph,
            self._subject.loaders[split],
            fit=self._subject.loaders["train"],
            settings=EdgeSettings(HOW, values, settings.at_least, split=split),
            options=self._options("edges", split),
            cache=self._cache(split),
        )
        self._run.result(f"edges_tried.{self._subject.held_out}", result.to_dict())
        self._write(EDGES, result.frame())
        return self._graph.with_verdicts(result)

    def _options(self, stage: str, split: str) -> RunOptions:
        """Options of one stage on one split, with its journal."""
        weights = (self._subject.identity or {}).get("weights", self._prepared.target.id)
        parts = (stage, split, self._graph.digest, self._experiment.digest, self._subject.facts["digest"], weights)
        folder = self._run.folder / JOURNALS
        folder.mkdir(exist_ok=True)
        digest = hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]
        journal = Journal(folder / f"{stage}-{split}.jsonl", digest, dict)
        return self._prepared.options(self._settings.seed, journal=journal)

    def _cache(self, split: str) -> Cache:
        return self._prepared.caches.setdefault(split, Cache())

    def _write(self, name: str, frame: Any) -> None:
        self._run.artefact(atomic.write(self._run.folder / name, frame.to_csv(index=False)))
