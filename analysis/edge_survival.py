"""Factors that make edges survive forced antecedents, one factor at a time.

    python -m analysis.edge_survival --configs digits_mlp digits_cnn --seeds 0 1 2 [--markdown] [--json FILE]
    python -m analysis.edge_survival RUN... [--runs DIR] [--data DIR]

Graphs are mined on train, over the latent layer and the activations after it; values are fitted on train; edges are
tested on test. All other factors have their base value: alpha 10, forced with the closure, mean values.
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
from analysis.log import documents, named
from ndg import atomic, extraction, runs
from ndg.abstraction.edges import EdgeSettings, EdgeTrials, try_edges
from ndg.abstraction.edges.forcing import REST
from ndg.activations.batches import COMPUTE_BATCH
from ndg.counterfactual import counterfactual_set
from ndg.data.examples import Splits
from ndg.errors import LayerError, NDGError, RunNotFoundError
from ndg.graph.edges import mined
from ndg.graph.ndg import NDG
from ndg.graph.verdicts import ANTECEDENT_FALSE
from ndg.intervals import wilson
from ndg.interventions.cache import Cache
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Column, Interval, Table
from ndg.runs.record import RunRecord
from ndg.workflows.counterfactual import train_on
from ndg.workflows.subject import candidates
from ndg.workflows.train import load

CONFIGS = ("digits_mlp", "digits_cnn")
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
    "turned": Column("consequent holds", "forced, was false"),
    "after": Column("consequent holds", "forced, all"),
    "inflation": Column("inflation"),
    "before": Column("consequent holds", "before, all"),
    "survived_all": Column("survived", "judged on all"),
}
NOTE = (
    "survival: share of the tested edges that survive, pooled over seeds, with a Wilson interval as if edges were "
    "independent; over seeds: smallest and largest share of a training, and the number of trainings. n: tested edges, "
    "each an implication with its contrapositive; untested: on fewer than 20 examples neither end holds. consequent "
    "holds, pooled over tested edges: was false: on the examples without both ends, by which edges are judged; all: on "
    "all without the antecedent. inflation: forced on all minus forced where it was false, which is due to base rates; "
    "judged on all: edges, tested or not, that would survive by that rate. closure without it: the closure is forced "
    "without the antecedent itself, so the difference is what the antecedent adds. All other factors have their base "
    "value: alpha 10, closure, mean."
)
COUNTED = ("n", "n_false", "before", "after", "gained")
TALLIES = ("tested", "survived", "untested", "survived_all", *COUNTED)


@dataclass(frozen=True)
class Run:
    """A trained network with its data; `about` is the text of its settings."""

    network: str
    seed: int
    model: nn.Module
    splits: Splits
    about: str = ""


def edge_table(trials: EdgeTrials, how: str) -> pd.DataFrame:
    """One row per forced edge: verdict, counts and properties."""
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
            "survived_all": trials.verdicts.by(ANTECEDENT_FALSE).survives(how),
            **{name: columns[name][forced] for name in (*COUNTED, "neurons_set")},
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
"""Factors that group the edges of the base trial."""


def measured(run: Run, alphas: Sequence[float] = ALPHAS, layers: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Counts for one trained network, one row per factor and level."""
    train, test = (run.splits[name].loader(COMPUTE_BATCH) for name in ("train", "test"))
    layers = list(layers) or later_layers(run.model, train)
    bits = ndg.extract(run.model, train, layers=layers)
    alphas = sorted({*alphas, ALPHA})
    graphs = dict(zip(alphas, ndg.sweep(bits, alphas), strict=True))
    cache = Cache()

    def test_edges(
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

    base = test_edges(run.model, graphs[ALPHA], tuple(SETS))
    results: list[tuple[str, str, pd.DataFrame]] = [
        ("antecedent set", SETS[how], edge_table(base, how)) for how in base.how
    ]
    for alpha in alphas:
        trials = base if alpha == ALPHA else test_edges(run.model, graphs[alpha])
        results.append(("alpha", f"{alpha:g}", edge_table(trials, HOW)))
    for values in VALUES:
        trials = base if values == "mean" else test_edges(run.model, graphs[ALPHA], values=values)
        results.append(("value written", values, edge_table(trials, HOW)))
    retrained = interventional(run, graphs[ALPHA], layers)
    mined_again = ndg.mine(ndg.extract(retrained, train, like=bits), alpha=ALPHA)
    results.append(("interventional training", NONE, edge_table(base, HOW)))
    trials = test_edges(retrained, mined_again, cache=None)
    results.append(("interventional training", TRAINED, edge_table(trials, HOW)))
    table = edge_table(base, HOW)
    for factor, level in BY.items():
        results += [(factor, str(name), part) for name, part in table.groupby(level(table), observed=True)]
    return [
        {"factor": factor, "level": name, "network": run.network, "seed": run.seed, **_tallied(edges)}
        for factor, name, edges in results
    ]


def interventional(run: Run, graph: NDG, layers: Sequence[str]) -> nn.Module:
    """The network after counterfactual training of the part after its latent layer."""
    latent = graph.subgraph([layers[0]])
    loaders = {name: run.splits[name].loader(COMPUTE_BATCH) for name in ("train", "validation")}
    options = RunOptions(seed=run.seed)
    data = counterfactual_set(run.model, latent, loaders["train"], options=options)
    return train_on(run.model, latent, data, loaders, options=options).model


def later_layers(model: nn.Module, loader: Iterable[Any]) -> list[str]:
    """The latent layer and later activations with one value per unit."""
    latent = extraction.latent_layer(model)
    shapes = candidates(model, loader, COMPUTE_BATCH)
    modules = [path for path, module in model.named_modules() if isinstance(module, ACTIVATIONS) or path == latent]
    paths = [path for path in modules[modules.index(latent) :] if len(shapes.get(path, ())) == 1]
    if paths[:1] != [latent] or len(paths) < 2:
        raise LayerError(
            f"the latent layer {latent!r} must be followed by activations with one value per unit; got {paths}; name "
            "layers with --layers"
        )
    return paths


def _tallied(edges: pd.DataFrame) -> dict[str, int]:
    tested = edges[edges["tested"]]
    return {
        "tested": len(tested),
        "survived": int(tested["survived"].sum()),
        "untested": len(edges) - len(tested),
        "survived_all": int(edges["survived_all"].sum()),
        **{name: int(tested[name].sum()) for name in COUNTED},
    }


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """One row per factor, level and network, pooled over seeds."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["factor"], row["level"], row["network"]), []).append(row)
    order = {factor: place for place, factor in enumerate(dict.fromkeys(row["factor"] for row in rows))}
    levels: dict[str, dict[str, int]] = {}
    for factor, level, _ in groups:
        levels.setdefault(factor, {}).setdefault(level, len(levels[factor]))
    cells = []
    for (factor, level, network), group in sorted(
        groups.items(), key=lambda item: (order[item[0][0]], levels[item[0][0]][item[0][1]], item[0][2])
    ):
        total = {name: sum(row[name] for row in group) for name in TALLIES}
        cells.append({"factor": factor, "level": level, "network": network, **_figures(total, group)})
    return Table.of("what makes edges survive", COLUMNS, cells, note=NOTE)


def _figures(total: dict[str, int], group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    tested, n, n_false = total["tested"], total["n"], total["n_false"]
    low, high = wilson(total["survived"], tested)
    shares = [row["survived"] / row["tested"] for row in group if row["tested"]]
    return {
        "survival": Interval(total["survived"] / tested, float(low), float(high)) if tested else None,
        "range": f"{min(shares):.3f} to {max(shares):.3f} ({len(shares)})" if shares else None,
        "tested": tested,
        "survived": total["survived"],
        "untested": total["untested"],
        "turned": total["gained"] / n_false if n_false else None,
        "after": total["after"] / n if n else None,
        "inflation": total["after"] / n - total["gained"] / n_false if n_false else None,
        "before": total["before"] / n if n else None,
        "survived_all": total["survived_all"],
    }


def chosen(
    names: Sequence[str], configs: Sequence[str] | None, seeds: Sequence[int], locations: Locations
) -> list[tuple[str, Path]]:
    """Name and folder of the requested runs; without any, those of `CONFIGS`.

    Raises RunNotFoundError with the command to train one.
    """
    configs = configs or (() if names else CONFIGS)
    folders = [(Path(name).name, Path(name)) for name in names if Path(name).is_dir()]
    with runs.open(locations.store, local=locations.runs) as log:
        records: list[RunRecord] = [named(log, name, "train") for name in names if not Path(name).is_dir()]
        for config in configs:
            for seed in seeds:
                query = {"kind": "train", "status": "COMPLETED", "name": config, "config.seed": seed}
                newest = documents(log, query, (), limit=1)
                if not newest:
                    raise RunNotFoundError(
                        f"{locations.store} has no completed training of {config} with seed {seed}; train it, as in "
                        f"`ndg train {config} seed={seed}`"
                    )
                records += newest
    return folders + [(record.id, record.locate(locations.runs)) for record in records]


def opened(folder: Path, locations: Locations) -> Run:
    """Network and data of the folder of a run."""
    model, experiment = ndg.load_model(folder)
    splits = load(locations.place(experiment), folder)
    return Run(experiment.name, experiment.seed, model, splits, repr(experiment.model))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="edge_survival", description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="*", metavar="RUN", help="id or folder of a train run")
    parser.add_argument("--configs", nargs="+", metavar="CONFIG", help=f"default without RUN: {' '.join(CONFIGS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--alphas", nargs="+", type=float, default=list(ALPHAS), metavar="ALPHA")
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATH", help="the latent layer, then later ones")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--json", metavar="FILE", help="write the counts of every run, factor and level")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    args = parser.parse_args(words)
    locations = Locations.choose(data=args.data, runs=args.runs, store=args.store)
    try:
        rows: list[dict[str, Any]] = []
        for _, folder in chosen(args.run, args.configs, args.seeds, locations):
            rows += measured(opened(folder, locations), args.alphas, args.layers)
        if args.json:
            atomic.write(Path(args.json), json.dumps({"note": NOTE, "rows": rows}, indent=1) + "\n")
        result = table(rows)
        print(result.markdown() if args.markdown else result)
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
