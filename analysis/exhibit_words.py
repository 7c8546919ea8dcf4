"""The key figures of each exhibit in a line: what stands beside the published figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.exhibit_plots import edges, rank, sweep_rows
from analysis.exhibit_tables import RANDOM
from ndg.report.answers import WITHOUT_INTERVENTION
from ndg.runs.record import RunRecord

Says = Callable[[RunRecord], str]
Q = "Q"
METHODS = {"snip": "SNIP", "hrank": "HRank", "magnitude": "magnitude"}
"""Comparators of G-NDI."""


def rate(row: Any, name: str) -> str:
    """A figure with its interval, where the row has one."""
    if row.get(name) is None:
        return "unknown"
    ends = [row.get(f"{name}_{end}") for end in ("low", "high")]
    return f"{row[name]:.3f}" + ("" if None in ends else f" [{ends[0]:.3f}, {ends[1]:.3f}]")


def graph(record: RunRecord) -> str:
    figures = record.figure("results.graph.paper")
    return (
        f"{figures['edges']:,} edges on {figures['nodes']:,} nodes, mean degree {figures['mean_degree']:.1f}, "
        f"height {figures['height']}, {figures['contradictions']} contradictions"
    )


def controls(record: RunRecord) -> str:
    rows = record.figure("results.controls.table_3.rows")
    return "; ".join(f"{row['source']}: {row['edges']:,} edges, held out {rate(row, 'precision')}" for row in rows)


def crossed(record: RunRecord) -> str:
    rows = record.figure("results.controls.table_7.rows")
    return "; ".join(f"{row['graph']} graph on {row['data']} data {rate(row, 'precision')}" for row in rows)


def aligned(record: RunRecord) -> str:
    trials = [trial["test"] for trial in record.figure("results.trial").values() if "test" in trial]
    chosen = next((trial for trial in trials if trial["intervention"] == Q), trials[0])
    prototypes = [row for name, row in chosen["controls"].items() if name.startswith("prototype")]
    best = max((row["aligned"] for row in prototypes if row["aligned"] is not None), default=None)
    beside = "" if best is None else f"; best class prototype {best:.3f}"
    return f"{chosen['intervention']} aligns {rate(chosen, 'aligned')} of {chosen['n']:,}{beside}"


def precision(record: RunRecord) -> str:
    row = record.figure("results.edges.test") or next(iter(record.figure("results.edges").values()))
    known = row["precision"] is not None
    held = f"held out {row['precision']:.4f}, mined {row['mined_precision']:.4f}" if known else "none can be judged"
    return f"{row['implications']:,} implications: mean precision {held}"


def quartiles(record: RunRecord) -> str:
    values = [row["precision"] for row in edges(record)]
    if not values:
        return "no implication"
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"held-out precision: median {middle:.4f}, quartiles {low:.4f} and {high:.4f}"


def above(record: RunRecord) -> str:
    values = np.array([row["precision"] for row in edges(record)])
    return f"{np.mean(values >= 0.99):.3f} of the implications hold out at .99 or more" if len(values) else "none"


def ribbon(record: RunRecord) -> str:
    rows = [row for row in sweep_rows(record) if row["precision"] is not None]
    return "; ".join(f"alpha {row['alpha']:g}: {row['precision']:.3f}" for row in (rows[0], rows[-1]))


def number(record: RunRecord) -> str:
    rows = sweep_rows(record)
    picked = [rows[0], rows[len(rows) // 2], rows[-1]]
    texts = (f"alpha {row['alpha']:g}: {row['implications']:,}, {row['one_way']:,} not mutual" for row in picked)
    return "; ".join(texts)


def between(path: str) -> Says:
    """Edges between two layers or two networks."""

    def says(record: RunRecord) -> str:
        rows = [row for row in record.figure(path) if row["where"] == "between"]
        texts = [
            f"{row.get('condition') or ' and '.join((row['first'], row['second']))}: {row['edges']:,}" for row in rows
        ]
        reasons = record.figure(path.rpartition(".")[0]).get("left_out") or {}
        left_out = [name for name, reason in reasons.items() if isinstance(reason, str)]
        more = f" (not computed: {'; '.join(left_out)})" if left_out else ""
        return f"edges between {'; '.join(texts)}{more}"

    return says


def drawn(record: RunRecord) -> str:
    return f"{record.figure('results.graph.paper.edges'):,} edges"


def board(record: RunRecord) -> str:
    texts = []
    for weights, own in record.figure("results.scoreboard").items():
        rows = {row["method"]: row for row in own["rows"]}
        name = "random weights" if weights == RANDOM else weights
        others = [f"{METHODS[method]} {row['spearman']:.3f}" for method, row in rows.items()
                  if method in METHODS and row.get("spearman") is not None]  # fmt: skip
        texts.append(f"{name}: " + ", ".join([f"G-NDI {rate(rows['gndi'], 'spearman')}, within layers "
                     f"{rate(rows['gndi'], 'spearman_within')}", *others]))  # fmt: skip
    return "; ".join(texts)


def scattered(record: RunRecord) -> str:
    return f"Spearman {rank(record, 'gndi')}"


def pruned(record: RunRecord) -> str:
    rows = record.figure("results.prune.final")
    return "; ".join(f"{row['method']}, {row['parameters']:,} parameters: {rate(row, 'accuracy')}" for row in rows)


def filters(record: RunRecord) -> str:
    [first, *_] = record.figure("results.filters.experiments")
    drops = [f"{row['method']} {rate(row, 'pearson')}" for row in first["drop"] if row["method"] != "ablation"]
    k = min(row["k"] for row in first["probe"])
    probes = {row["method"]: row for row in first["probe"] if row["k"] == k}
    return (
        f"Pearson with the drop: {', '.join(drops[:3])}; classifier on {k} filters: conductance "
        f"{rate(probes['conductance'], 'accuracy')}, random {rate(probes['conductance'], 'random')}"
    )


def sentiment(record: RunRecord) -> str:
    return str(record.figure("results.sentiment.words_line"))


def efficiency(record: RunRecord) -> str:
    [network, *_] = record.figure("results.efficiency.network")
    return f"{network['removable']:.3f} of {network['removable_of_units']:,} units can be removed"


def fitness(record: RunRecord) -> str:
    stages = [each for name, each in record.figure("results.scores").items() if name.startswith("fitness")]
    layers = [row for stage in stages for row in stage["layers"]]
    values = np.concatenate([row["values"] for row in layers])
    return f"{stages[0]['measure']} of {len(values):,} units: mean {values.mean():.3f}, largest {values.max():.3f}"


def votes(record: RunRecord) -> str:
    rows = {row["predictor"]: row for row in record.figure("results.causal.interchange_accuracy.rows")}
    best = max((rows[name] for name in WITHOUT_INTERVENTION if name in rows), key=lambda row: float(row["iia"]))
    return (
        f"votes {rows['votes']['iia']:.3f} [{rows['votes']['low']:.3f}, {rows['votes']['high']:.3f}] of the "
        f"interchanges; strongest control ({best['predictor']}) {best['iia']:.3f}"
    )
