"""The trials of an align run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ndg import atomic, escape, extraction, seeds
from ndg.abstraction.edges import EdgeSettings, try_edges
from ndg.abstraction.interchange import InterchangeSettings, interchange
from ndg.abstraction.minimal import MinimalSettings, minimal
from ndg.abstraction.result import TrialResult, corrected
from ndg.abstraction.trial import TrialSettings, trials
from ndg.comparison.inputs import random_inputs
from ndg.comparison.resampling import shuffled_labels
from ndg.comparison.sources import reinitialised
from ndg.config import Experiment
from ndg.executors import Journal
from ndg.graph.ndg import NDG
from ndg.importance.scores import Scores
from ndg.interventions.cache import Cache
from ndg.options import RunOptions
from ndg.runs.run import Run
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.controls import vocabulary

JOURNALS = "journals"
HOW = ("alone", "closure", "rest")


class TrialStages:
    """The trials of one graph, with a journal of each stage."""

    def __init__(self, prepared: Prepared, experiment: Experiment, graph: NDG, run: Run) -> None:
        self._prepared, self._experiment, self._graph, self._run = prepared, experiment, graph, run
        self._subject, self._settings, self._layer = prepared.subject, experiment.trial, prepared.trial_layer

    def run(self, scores: list[Scores]) -> NDG:
        """Run and log every stage; return the graph with verdicts."""
        self._interventions(scores)
        settings, split = self._settings, self._subject.held_out
        if settings.interchange:
            pool = InterchangeSettings(layers=[self._layer], pool=settings.pool, split=split)
            self._held_out("interchange", interchange, pool, cache=self._cache(split))
        fit = self._subject.loaders["train"]
        if settings.minimal:
            search = MinimalSettings(
                self._layer, settings.values, settings.minimal, budget=settings.budget, split=split
            )
            self._held_out("minimal", minimal, search, fit=fit)
        if not settings.edges:
            return self._graph
        values = "mean" if settings.values == "auto" else settings.values
        forced = EdgeSettings(HOW, values, settings.at_least, split=split)
        return self._graph.with_verdicts(self._held_out("edges", try_edges, forced, fit=fit, cache=self._cache(split)))

    def _held_out(self, stage: str, study: Callable[..., Any], settings: Any, **how: Any) -> Any:
        """The result of a study on the held-out split, logged."""
        split, network = self._subject.held_out, self._subject.network
        name = {"edges": "edges_tried"}.get(stage, stage)
        how |= {"settings": settings, "options": self._options(stage, split)}
        with self._prepared.timed(stage):
            result = study(network, self._graph, self._subject.loaders[split], **how)
            more = {"rows": result.rows(), "words": result.words()} if stage == "interchange" else {}
            self._run.result(f"{name}.{split}", {**result.to_dict(), **more})
            self._write(f"{name}.csv", result.frame())
        return result

    def _interventions(self, scores: list[Scores]) -> None:
        import pandas as pd

        settings, held_out = self._settings, self._subject.held_out
        splits = dict.fromkeys(settings.splits)
        with self._prepared.timed("controls"):
            graphs = self._control_graphs()
        first = ["validation"] if "validation" in self._subject.loaders else []
        results: dict[str, dict[str, TrialResult]] = {}
        for split in dict.fromkeys([*first, *splits]):
            chooses = results.get("validation")
            against = None if chooses is None else {name: each.prototype for name, each in chooses.items()}
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
                        against=against,
                        graphs=graphs,
                        orders=self._orders(scores) if settings.curve and split == held_out else {},
                        curve=settings.curve and split == held_out,
                        split=split,
                        kept_at_least=settings.kept_at_least,
                    ),
                    options=self._options("trial", split),
                    cache=self._cache(split),
                )
        frames, curves = [], []
        for split in splits:
            picked = results[split]
            if first:
                picked = corrected({name: each.picked(results[first[0]][name]) for name, each in picked.items()})
            for name, chosen in picked.items():
                self._run.result(f"trial.{chosen.key}.{split}", chosen.to_dict())
                frames.append(chosen.frame())
                if chosen.curve is not None:
                    curves.append(chosen.curve.frame().assign(intervention=name, split=split))
        self._write("trials.csv", pd.concat(frames))
        if curves:
            self._write("curves.csv", pd.concat(curves))

    def _control_graphs(self) -> dict[str, NDG]:
        """Graphs of a re-initialised network, random inputs and shuffled labels."""
        prepared, network, seed = self._prepared, self._subject.network, self._experiment.seed
        train, loader = prepared.bits["train"], self._subject.loaders["train"]
        how: dict[str, Any] = {"settings": prepared.reading, "options": prepared.reading_options(seed)}
        graphs: dict[str, NDG] = {}
        for name in dict.fromkeys(self._settings.graphs):
            if name == "reinitialised":
                bits = extraction.extract(reinitialised(network, seed).model, loader, prepared.layers, **how)
            elif name == "random_inputs":
                noise = random_inputs(loader, seeds.integer(seed, "mined"), vocabulary(prepared))
                bits = extraction.extract(network, noise, like=train, **how)
            else:
                bits = shuffled_labels(train, seeds.integer(seed, "mined"))
            graphs[name] = prepared.mine(bits)
        return graphs

    def _orders(self, scores: list[Scores]) -> dict[str, np.ndarray]:
        """Units of the layer by method, the most important first."""
        nodes = self._graph.nodes
        units = nodes.slice(self._layer)
        orders = {}
        for score in scores:
            values = score.by_node(nodes)
            keys = [-abs(values[node]) for node in range(units.start, units.stop) if node in values]
            if len(keys) == units.stop - units.start:
                orders[score.method] = np.argsort(keys, kind="stable")
        return orders

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
        self._run.artefact(atomic.write(self._run.folder / name, escape.csv(frame, self._experiment.report.raw_csv)))
