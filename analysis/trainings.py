"""Accuracy of the trainings of every config, beside the published accuracy (docs/results.md).

python -m analysis.trainings [--markdown] [--store URI] [--where JSON]
"""

from __future__ import annotations

import json
import sys
from typing import Any

from analysis.log import main
from ndg import config
from ndg.intervals import wilson
from ndg.report.tables import Column, Interval, Table
from ndg.runs.record import RunRecord

COLUMNS = {
    "name": Column("config", left=True),
    "network": Column("network", left=True),
    "changed": Column("changed from the config", left=True),
    "test": Column("test accuracy [95 %]"),
    "n": Column("n"),
    "validation": Column("validation"),
    "paper": Column("paper"),
    "epochs": Column("epochs"),
    "seconds": Column("time", "s", digits=0),
    "peak": Column("peak memory", "MB", digits=0),
    "device": Column("device", left=True),
    "source": Column("data", left=True),
}
PARTS = ("data", "model", "train")


def table(records: list[RunRecord]) -> Table:
    """One row per config and training settings."""
    rows = []
    for name, path in config.configs().items():
        shipped = config.load(path)
        runs = {record["training_digest"]: record for record in reversed(records) if record["name"] == name}
        for record in runs.values():
            rows.append({"name": name, "paper": shipped.paper.accuracy, **_row(record, shipped.to_dict())})
        if not runs:
            rows.append({"name": name, "paper": shipped.paper.accuracy, "changed": "not run"})
    note = (
        "test accuracy: of the epoch chosen on validation; the test set was used once. paper: accuracy in the "
        "publication of the config. time: training and validation. peak memory: of the whole process, or of the GPU."
    )
    return Table.of("trainings", COLUMNS, rows, note=note)


def _row(record: RunRecord, shipped: dict[str, Any]) -> dict[str, Any]:
    results, examples = record.figure("results.train"), record.figure("results.data.examples.test")
    correct = round(results["test_accuracy"] * examples)
    low, high = wilson(correct, examples)
    peak = results.get("peak_bytes")
    return {
        "network": results.get("network"),
        "changed": " ".join(_changes(record["config"], shipped)) or "nothing",
        "test": Interval(results["test_accuracy"], float(low), float(high)),
        "n": examples,
        "validation": results["validation_accuracy"],
        "epochs": results["epochs"],
        "seconds": results["seconds"],
        "peak": None if peak is None else peak / 1e6,
        "device": record["device"],
        "source": record.figure("results.data.source"),
    }


def _changes(trained: dict[str, Any], shipped: dict[str, Any]) -> list[str]:
    """Settings that differ from the config, as overrides."""
    return [
        f"{part}.{key}={json.dumps(value) if isinstance(value, list) else value}"
        for part in PARTS
        for key, value in trained[part].items()
        if value != shipped[part].get(key) and (part, key) != ("data", "dir")
    ]


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], table, kind="train"))
