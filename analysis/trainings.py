"""What the trainings of every config reached, beside what its paper reports: the table of docs/results.md.

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
    """One row per config and way of training it, the newest run of each; configs that were never trained say so."""
    rows = []
    for name, path in config.configs().items():
        shipped = config.load(path)
        own = {record["training_digest"]: record for record in reversed(records) if record["name"] == name}
        for record in own.values():
            rows.append({"name": name, "paper": shipped.paper.accuracy, **_row(record, shipped.to_dict())})
        if not own:
            rows.append({"name": name, "paper": shipped.paper.accuracy, "changed": "not run"})
    note = (
        "test accuracy: of the epoch that validation chose, looked at once. paper: what the publication named in the "
        "config reports. time: training and validation. peak memory: of the whole process, of the GPU where there is "
        "one."
    )
    return Table.of("trainings", COLUMNS, rows, note=note)


def _row(record: RunRecord, shipped: dict[str, Any]) -> dict[str, Any]:
    found, examples = record.figure("results.train"), record.figure("results.data.examples.test")
    correct = round(found["test_accuracy"] * examples)
    low, high = wilson(correct, examples)
    peak = found.get("peak_bytes")
    return {
        "network": found.get("network"),
        "changed": " ".join(_changes(record["config"], shipped)) or "nothing",
        "test": Interval(found["test_accuracy"], float(low), float(high)),
        "n": examples,
        "validation": found["validation_accuracy"],
        "epochs": found["epochs"],
        "seconds": found["seconds"],
        "peak": None if peak is None else peak / 1e6,
        "device": record["device"],
        "source": record.figure("results.data.source"),
    }


def _changes(trained: dict[str, Any], shipped: dict[str, Any]) -> list[str]:
    """The settings of a training that differ from those of the config, as overrides."""
    return [
        f"{part}.{key}={json.dumps(value) if isinstance(value, list) else value}"
        for part in PARTS
        for key, value in trained[part].items()
        if value != shipped[part].get(key) and (part, key) != ("data", "dir")
    ]


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], table, kind="train"))
