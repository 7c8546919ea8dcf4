"""A planted graph that shows everything a picture can show, and a run document of the shape that align runs write."""

from __future__ import annotations

import numpy as np
import pytest

from ndg.bits.matrix import BitMatrix
from ndg.discovery import mine
from ndg.nodes import LayerUnits, NodeSpace

EXAMPLES = 3000


@pytest.fixture(scope="session")
def planted_bits():
    """Four classes; `first` 0 is class 0, `first` 1 its negation, `first` 2 to 9 one long class, `first` 10 constant,
    `second` 0 implies class 3, class 2 implies `second` 1, `second` 2 is noise."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, EXAMPLES)
    often, rarely = rng.random(EXAMPLES) < 0.7, rng.random(EXAMPLES) < 0.002
    units = [label == 0, label != 0, *[label < 2] * 7, (label < 2) ^ rarely, np.ones(EXAMPLES, bool)]
    units += [(label == 3) & often, (label == 2) | (rng.random(EXAMPLES) < 0.3), rng.random(EXAMPLES) < 0.5]
    nodes = NodeSpace(4, (LayerUnits("first", 11), LayerUnits("second", 3)))
    return BitMatrix.from_bool(np.column_stack([label[:, None] == np.arange(4), *units]), nodes)


@pytest.fixture(scope="session")
def planted(planted_bits):
    return mine(planted_bits, alpha=20.0, provenance={"run": "run-1", "config": {"digest": "ab12"}, "seed": 7})


@pytest.fixture
def record(planted, planted_bits):
    """The document of an align run, with the stages that the report reads."""
    from dataclasses import asdict

    figures = planted.stats(planted_bits)

    def rates(aligned, low, high, neurons=5.5):
        return {
            "aligned": aligned,
            "aligned_low": low,
            "aligned_high": high,
            "changed": 0.1,
            "unchanged": 0.9 - aligned,
            "contradictory": 0.0,
            "n": 200,
            "examples": 210,
            "neurons_set": neurons,
            "neurons_changed": neurons / 2,
        }

    def trial(selectivity):
        controls = {
            "binarise": rates(0.0, 0.0, 0.02, 0.0),
            "random": rates(0.05, 0.03, 0.09),
            "prototype_random": rates(0.5, 0.43, 0.57),
            "prototype_surest": rates(0.6, 0.53, 0.67),
        }
        low, high = selectivity - 0.03, selectivity + 0.03
        found = {"selectivity": selectivity, "selectivity_low": low, "selectivity_high": high}
        return {**rates(0.62, 0.55, 0.69), **found, "controls": controls, "intervention": "Q", "units": 14, "words": ""}

    return {
        "_id": "run-1",
        "name": "planted",
        "kind": "align",
        "parent": "run-0",
        "status": "COMPLETED",
        "digest": "ab12cd34",
        "commit": "0123abcd",
        "dirty": True,
        "seeds": {"seed": 7, "data": 0},
        "versions": {"python": "3.11", "ndg": "0.1.0", "torch": None},
        "host": "machine",
        "device": "cpu",
        "command": "align.py planted",
        "started": "2026-01-01T00:00:00.000Z",
        "ended": "2026-01-01T00:01:00.000Z",
        "results": {
            "data": {"source": "planted bits", "classes": 4, "examples": {"train": EXAMPLES}},
            "accuracy": {"test": {"rate": 0.95, "low": 0.91, "high": 0.97, "correct": 200, "n": 210}},
            "graph": {
                "digest": planted.digest,
                "criterion": planted.criterion,
                "layers": [{"layer": "first", "units": 11}, {"layer": "second", "units": 3}],
                "examples": planted.examples,
                "implications": len(planted),
                "paper": asdict(figures.paper),
                "condensed": asdict(figures.condensed),
                "equivalent_pairs": figures.equivalent_pairs,
                "worst_agreement": figures.worst_agreement,
                "cyclic_components": figures.cyclic_components,
                "contradictory": figures.contradictory,
            },
            "edges": {
                "train": planted.held_out(planted_bits).to_dict(),
                "test": planted.held_out(planted_bits).to_dict(),
            },
            "trial": {"q": {"train": trial(0.2), "test": trial(0.02)}},
            "scores": {
                "gndi": {
                    "measure": "logits",
                    "target": "all logits",
                    "baseline": "zero",
                    "examples": 100,
                    "split": "validation",
                    "layers": [{"layer": "second", "whole": 1.0, "values": [0.5, -2.0, 0.25]}],
                }
            },
        },
    }
