"""What makes edges survive the forcing of their antecedent: one factor at a time, over trainings and networks.

    python -m analysis.edge_survival --configs digits_mlp digits_cnn --seeds 0 1 2 [--markdown] [--json FILE]
    python -m analysis.edge_survival RUN... [--runs DIR] [--data DIR]

Graphs are mined on train, over the latent layer and the activations after it; values are fitted on train; edges are
tried on test. All factors but the one in the row are at their base: alpha 10, forced with the closure, mean values.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

import ndg
from ndg import atomic, extraction, runs
from ndg.abstraction.edges import EdgeSettings, EdgeTrials, try_edges
from ndg.abstraction.edges.forcing import REST
from ndg.activations.batches import COMPUTE_BATCH
from ndg.counterfactual import counterfactual_set, train_on
from ndg.data.examples import Splits
from ndg.errors import LayerError, NDGError, RunNotFoundError
from ndg.graph.edges import mined
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.interventions.cache import Cache
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Column, Interval, Table
from ndg.runs.record import RunRecord
from ndg.workflows.subject import candidates
from ndg.workflows.train import load

ALPHA, ALPHAS = 10.0, (3.0, 5.0, 10.0, 20.0, 50.0)
SETS = {"alone": "alone", "closure": "closure", REST: "closure without it"}
HOW, VALUES = "closure", ("boolean", "mean", "resample")
ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU)
NONE, TRAINED = "none", "counterfactual, Q"
LABEL_LAYER = "label"

COLUMNS = {
    "factor": Column("factor", left=True),
    "level": Column("level", left=True),
    "network": Column("network", left=True),
    "survival": Column("survival [95 %]"),
    "range": Column("over seeds"),
    "tested": Column("n", "edges tested"),
    "survived": Column("survived"),
    "untested": Column("untested"),
    "after": Column("consequent holds", "forced"),
    "before": Column("consequent holds", "before"),
}
NOTE = (
    "survival: share of the tested edges that survive, pooled over seeds, with a Wilson interval as if edges were "
    "independent; over seeds: the least and the largest share of a training, and how many there are. n: tested edges, "
    "each an implication with its contrapositive. consequent holds: on the examples without the antecedent, pooled "
    "over edges; before forcing is the control. closure without it: the same neurons but the antecedent's own are "
    "forced, so that the difference is what it adds. All but the factor is at its base: alpha 10, closure, mean."
)
TALLIES = ("tested", "survived", "untested", "n", "before", "after")


@dataclass(frozen=True)
class Run:
    """A trained network with its data; `about` are the settings of the network."""

    network: str
    seed: int
    model: nn.Module
    splits: Splits
    about: str = ""


def edge_table(trials: EdgeTrials, how: str) -> pd.DataFrame:
    """One row per forced edge: its verdict, counts, and what it is like."""
    columns = trials.columns(how)
    figures = mined(trials.implications)
    forced = columns["kind"] == "forced"
    verdict = columns["verdict"][forced]
    signs = {
        name: np.array([not text.startswith("~") for text in columns[name][forced]], np.bool_)
        for name in ("antecedent", "consequent")
    }
    return pd.DataFrame(
        {
            "tested": verdict != "untested",
            "survived": verdict == "survives",
            **{name: columns[name][forced] for name in ("n", "before", "after", "neurons_set")},
            "distance": columns["distance"][forced].astype(int),
            "label": columns["consequent_layer"][forced] == LABEL_LAYER,
            "antecedent": signs["antecedent"],
            "consequent": signs["consequent"],
            "recall": figures.recall[forced],
            "prior": figures.consequent[forced] / max(figures.examples, 1),
        }
    )


def _bins(column: str, ends: Sequence[float], digits: str = "g") -> Callable[[pd.DataFrame], pd.Series]:
    names = [f"up to {ends[0]:{digits}}"]
    names += [f"above {low:{digits}} to {high:{digits}}" for low, high in pairwise(ends)]
    names.append(f"above {ends[-1]:{digits}}")
    return lambda edges: pd.cut(edges[column], [-np.inf, *ends, np.inf], labels=names)


BY: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "layer distance": lambda edges: edges["distance"].astype(str),
    "leads to": lambda edges: edges["label"].map({True: "a label", False: "a neuron"}),
    "antecedent": lambda edges: edges["antecedent"].map({True: "on", False: "off"}),
    "consequent": lambda edges: edges["consequent"].map({True: "on", False: "off"}),
    "recall on train": _bins("recall", (0.25, 0.5, 0.75)),
    "prior of the consequent": _bins("prior", (0.5, 0.8, 0.9)),
    "neurons forced": _bins("neurons_set", (1, 4, 16, 64)),
}
"""Factors that split the edges of the base trial."""


def measured(run: Run, alphas: Sequence[float] = ALPHAS, layers: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Counts of one trained network, one row per factor and level."""
    train, test = (run.splits[name].loader(COMPUTE_BATCH) for name in ("train", "test"))
    layers = list(layers) or later_layers(run.model, train)
    bits = ndg.extract(run.model, train, layers=layers)
    alphas = sorted({*alphas, ALPHA})
    graphs = dict(zip(alphas, ndg.sweep(bits, alphas), strict=True))
    cache = Cache()

    def tried(
        model: nn.Module,
        graph: NDG,
        how: Sequence[str] = (HOW,),
        values: str = "mean",
        cache: Cache | None = cache,
    ) -> EdgeTrials:
        return try_edges(
            model,
            graph,
            test,
            fit=train,
            settings=EdgeSettings(how, values, split="test"),
            options=RunOptions(seed=run.seed, executor="serial"),
            cache=cache,
        )

    base = tried(run.model, graphs[ALPHA], tuple(SETS))
    found: list[tuple[str, str, pd.DataFrame]] = [
        ("antecedent set", SETS[how], edge_table(base, how)) for how in base.how
    ]
    for alpha in alphas:
        own = base if alpha == ALPHA else tried(run.model, graphs[alpha])
        found.append(("alpha", f"{alpha:g}", edge_table(own, HOW)))
    for values in VALUES:
        own = base if values == "mean" else tried(run.model, graphs[ALPHA], values=values)
        found.append(("value written", values, edge_table(own, HOW)))
    changed = interventional(run, graphs[ALPHA], layers)
    again = ndg.mine(ndg.extract(changed, train, like=bits), alpha=ALPHA)
    found.append(("interventional training", NONE, edge_table(base, HOW)))
    found.append(("interventional training", TRAINED, edge_table(tried(changed, again, cache=None), HOW)))
    table = edge_table(base, HOW)
    for factor, level in BY.items():
        found += [(factor, str(name), part) for name, part in table.groupby(level(table), observed=True)]
    return [
        {"factor": factor, "level": name, "network": run.network, "seed": run.seed, **_tallied(edges)}
        for factor, name, edges in found
    ]


def interventional(run: Run, graph: NDG, layers: Sequence[str]) -> nn.Module:
    """The network after counterfactual training of what follows its latent layer, by the graph of that layer."""
    latent = graph.subgraph([layers[0]])
    loaders = {name: run.splits[name].loader(COMPUTE_BATCH) for name in ("train", "validation")}
    data = counterfactual_set(run.model, latent, loaders["train"], seed=run.seed)
    return train_on(run.model, latent, data, loaders, seed=run.seed).model


def later_layers(model: nn.Module, loader: Iterable[Any]) -> list[str]:
    """The latent layer and the activations after it that give one value per unit. LayerError without any after it."""
    latent = extraction.latent_layer(model)
    shapes = candidates(model, loader, COMPUTE_BATCH)
    modules = [path for path, module in model.named_modules() if isinstance(module, ACTIVATIONS) or path == latent]
    found = [path for path in modules[modules.index(latent) :] if len(shapes.get(path, ())) == 1]
    if found[:1] != [latent] or len(found) < 2:
        raise LayerError(
            f"edges lead from the latent layer {latent!r} to activations of one value per unit after it; there are "
            f"{found}; name layers with --layers"
        )
    return found


def _tallied(edges: pd.DataFrame) -> dict[str, int]:
    tested = edges[edges["tested"]]
    return {
        "tested": len(tested),
        "survived": int(tested["survived"].sum()),
        "untested": len(edges) - len(tested),
        **{name: int(tested[name].sum()) for name in ("n", "before", "after")},
    }


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """One row per factor, level and network; seeds are pooled, and their least and largest share stand beside."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["factor"], row["level"], row["network"]), []).append(row)
    order = {factor: place for place, factor in enumerate(dict.fromkeys(row["factor"] for row in rows))}
    levels: dict[str, dict[str, int]] = {}
    for factor, level, _ in groups:
        levels.setdefault(factor, {}).setdefault(level, len(levels[factor]))
    made = []
    for (factor, level, network), group in sorted(
        groups.items(), key=lambda one: (order[one[0][0]], levels[one[0][0]][one[0][1]], one[0][2])
    ):
        total = {name: sum(row[name] for row in group) for name in TALLIES}
        made.append({"factor": factor, "level": level, "network": network, **_figures(total, group)})
    return Table.of("what makes edges survive", COLUMNS, made, note=NOTE)


def _figures(total: dict[str, int], group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    tested, n = total["tested"], total["n"]
    low, high = wilson(total["survived"], tested)
    shares = [row["survived"] / row["tested"] for row in group if row["tested"]]
    return {
        "survival": Interval(total["survived"] / tested, float(low), float(high)) if tested else None,
        "range": f"{min(shares):.3f} to {max(shares):.3f} ({len(shares)})" if shares else None,
        "tested": tested,
        "survived": total["survived"],
        "untested": total["untested"],
        "after": total["after"] / n if n else None,
        "before": total["before"] / n if n else None,
    }


def chosen(
    asked: Sequence[str], configs: Sequence[str], seeds: Sequence[int], where: Locations
) -> list[tuple[str, Path]]:
    """Name and folder of the runs asked for, by folder or id, and of the newest completed one of each config and seed.

    Raises RunNotFoundError that says how to train one.
    """
    found = [(Path(run).name, Path(run)) for run in asked if Path(run).is_dir()]
    with runs.open(where.store, local=where.runs) as log:
        records: list[RunRecord] = [log.get(run, "train") for run in asked if not Path(run).is_dir()]
        for config in configs:
            for seed in seeds:
                query = {"kind": "train", "status": "COMPLETED", "name": config, "config.seed": seed}
                newest = log.find(query, limit=1, metrics=False)
                if not newest:
                    raise RunNotFoundError(
                        f"{where.store} has no completed training of {config} with seed {seed}; train it, as in "
                        f"`ndg train {config} seed={seed}`"
                    )
                records += newest
    if not found and not records:
        raise RunNotFoundError("edges are tried of trained networks; name runs, or --configs with --seeds")
    return found + [(record.id, record.locate(where.runs)) for record in records]


def opened(folder: Path, where: Locations) -> Run:
    """The network of a run's folder, and its data."""
    model, experiment = ndg.load_model(folder)
    splits = load(where.place(experiment), folder)
    return Run(experiment.name, experiment.seed, model, splits, repr(experiment.model))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="edge_survival", description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="*", metavar="RUN", help="id or folder of a train run")
    parser.add_argument("--configs", nargs="+", default=[], metavar="CONFIG")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--alphas", nargs="+", type=float, default=list(ALPHAS), metavar="ALPHA")
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATH", help="the latent layer, then later ones")
    parser.add_argument("--markdown", action="store_true", help="as a page of docs/ has it")
    parser.add_argument("--json", metavar="FILE", help="write the counts of every run, factor and level")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    asked = parser.parse_args(words)
    where = Locations.choose(data=asked.data, runs=asked.runs, store=asked.store)
    try:
        rows: list[dict[str, Any]] = []
        for _, folder in chosen(asked.run, asked.configs, asked.seeds, where):
            rows += measured(opened(folder, where), asked.alphas, asked.layers)
        if asked.json:
            atomic.write(Path(asked.json), json.dumps({"note": NOTE, "rows": rows}, indent=1) + "\n")
        made = table(rows)
        print(made.markdown() if asked.markdown else made)
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
