"""Sentiment experiment of the conductance paper: which sentiment does a unit serve, and by which words?

    python -m analysis.sentiment_experiment [RUN...] [--configs sst2_small] [--layers PATH] [--json FILE]

After Dhamdhere et al. 2018. Division of labour: how much of the conductance of a unit, over held-out sentences, is for
the class of its larger part; 1 means one sentiment alone, .5 both alike. Control: the same network with random weights.
Words: the tokens of which a strong unit's conductance is largest on average (conductance by input).
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64
from torch import nn

from analysis.edge_survival import Run, opened
from analysis.subjects import Tables, main, name_of, some
from ndg.comparison.sources import reinitialised
from ndg.errors import DataError
from ndg.importance.methods.breakdown import conductance_by_input
from ndg.importance.score import score
from ndg.importance.settings import ScoreSettings
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Table
from ndg.runs.record import RunRecord

CONFIGS = ("sst2_small",)
POSITIVE = 1
SENTENCES, STEPS, WORDS_OF, UNITS, SHOWN = 120, 20, 60, 4, 6
QUICK_SENTENCES, QUICK_STEPS, QUICK_WORDS = 8, 4, 4
LEAST = 2
"""Sentences in which a word has to be."""
CLEAR = 0.9
"""Share of the larger part from which a unit serves one sentiment."""
IDS, MASK, LABELS = "input_ids", "attention_mask", "labels"
NOTE = (
    "share: of the absolute conductance of a unit for the positive logit, over sentences, the part of its larger sign. "
    "one sentiment: units whose share is at least 0.9; positive, negative: those units by sign."
)


def divided(
    model: nn.Module, batches: Iterable[Any], layer: str, n_steps: int, threads: int
) -> Float64[np.ndarray, "sentence unit"]:
    """Conductance of each unit for the positive logit, by sentence."""
    settings, options = ScoreSettings(n_steps=n_steps), RunOptions(threads=threads)
    rows = [
        score(model, [batch], (layer,), "conductance", target=POSITIVE, settings=settings, options=options)[layer]
        for batch in batches
    ]
    return np.stack(rows)


def division(values: Float64[np.ndarray, "sentence unit"]) -> dict[str, Any]:
    """Shares of the units' larger parts."""
    up, down = np.maximum(values, 0).sum(axis=0), np.maximum(-values, 0).sum(axis=0)
    total = up + down
    live = total > 0
    shares = np.maximum(up, down)[live] / total[live]
    clear = shares >= CLEAR
    signs = (up > down)[live]
    return {
        "sentences": len(values),
        "units": int(live.sum()),
        "median_share": float(np.median(shares)) if len(shares) else None,
        "one_sentiment": int(clear.sum()),
        "positive": int((clear & signs).sum()),
        "negative": int((clear & ~signs).sum()),
    }


def strongest_words(
    model: nn.Module,
    batches: Iterable[Any],
    layer: str,
    units: list[int],
    spelled: Callable[[list[int]], list[str]],
    n_steps: int,
) -> dict[int, list[tuple[str, float]]]:
    """Words of each unit by mean conductance for the positive logit, the largest absolute one first."""
    sums: dict[int, dict[str, list[float]]] = {unit: defaultdict(list) for unit in units}
    settings, options = ScoreSettings(n_steps=n_steps), RunOptions(batch=1)
    for batch in batches:
        inputs = batch[0]
        shares = conductance_by_input(model, [batch], layer, units, POSITIVE, settings=settings, options=options)[IDS]
        words = spelled(inputs[IDS][0].tolist())
        live = inputs[MASK][0].bool().tolist()
        for unit, row in zip(units, shares, strict=True):
            for word, share, real in zip(words, row.reshape(len(words), -1).sum(axis=1), live, strict=True):
                if real and word.strip().isalpha():
                    sums[unit][word.strip()].append(float(share))
    return {
        unit: sorted(
            ((word, float(np.mean(shares))) for word, shares in found.items() if len(shares) >= LEAST),
            key=lambda pair: -abs(pair[1]),
        )
        for unit, found in sums.items()
    }


def measured(run: Run, layer: str, quick: bool, threads: int = 1) -> dict[str, Any]:
    """Division of labour of a trained and of an untrained network, and words of the strongest units."""
    count, n_steps, n_words = (QUICK_SENTENCES, QUICK_STEPS, QUICK_WORDS) if quick else (SENTENCES, STEPS, WORDS_OF)
    tokenizer = run.splits.tokenizer
    if tokenizer is None:
        raise DataError(f"the sentiment experiment is of texts; {run.network} has other inputs; take sst2_small")
    sentences = list(some(run, "test", count))
    single = [row for batch in sentences for row in rows_of(batch)]
    values = divided(run.model, single, layer, n_steps, threads)
    untrained = divided(reinitialised(run.model, run.seed).model, single, layer, n_steps, threads)
    rows = [
        {"weights": weights, "layer": layer, **division(array)}
        for weights, array in (("trained", values), ("random", untrained))
    ]
    strong = np.argsort(-np.abs(values).sum(axis=0))[:UNITS].tolist()
    found = strongest_words(run.model, single[:n_words], layer, strong, tokenizer.words, n_steps)
    words = [
        {"unit": unit, "serves": "positive" if values[:, unit].sum() > 0 else "negative",
         "words": [f"{word} {share:+.3f}" for word, share in found[unit][:SHOWN]]}
        for unit in strong
    ]  # fmt: skip
    first, second = rows
    line = (
        f"{first['one_sentiment']} of {first['units']} units serve one sentiment ({first['positive']} positive, "
        f"{first['negative']} negative); random weights: {second['one_sentiment']} of {second['units']}"
    )
    return {"division": rows, "words": words, "words_line": line, "note": NOTE}


def rows_of(batch: Any) -> list[tuple[dict[str, Any], Any]]:
    """The examples of a batch of texts, each as a batch (inputs, labels) without padding."""
    columns = dict(batch) if isinstance(batch, Mapping) else {**batch[0], LABELS: batch[1]}
    labels, rows = columns.pop(LABELS), []
    columns = {name: column for name, column in columns.items() if column.shape == columns[IDS].shape}
    for place, length in enumerate(columns[MASK].sum(dim=1).tolist()):
        inputs = {name: column[place : place + 1, :length] for name, column in columns.items()}
        rows.append((inputs, labels[place : place + 1]))
    return rows


def work(args: argparse.Namespace, runs: list[Run]) -> Tables:
    """Both tables for all networks."""
    tables: list[Table] = []
    document = {}
    for run in runs:
        result = measured(run, args.layers[0] if args.layers else latent_layer(run), args.quick, args.threads)
        tables.append(Table.of_rows(f"{name_of(run)}: division of labour", result["division"], note=result["note"]))
        words = [{**row, "words": ", ".join(row["words"])} for row in result["words"]]
        tables.append(Table.of_rows(f"{name_of(run)}: words by conductance through a unit", words))
        document[name_of(run)] = result
    return tables, document


def document(training: RunRecord, where: Locations, quick: bool) -> dict[str, Any]:
    """Figures of the experiment at the latent layer of a training."""
    run = opened(training.locate(where.runs), where)
    return measured(run, latent_layer(run), quick)


def latent_layer(run: Run) -> str:
    """Path of the layer of the graph's units."""
    return str(run.model.latent_layer)


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], work, CONFIGS))
