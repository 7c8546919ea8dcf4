"""Tables of a compression: layers, and figures of the network before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndg.report.tables import Column, Table

LAYERS = {
    "layer": Column("layer", left=True),
    "kind": Column("kind", left=True),
    "units": Column("units"),
    "kept": Column("kept"),
    "error": Column("relative error", digits=6),
    "off": Column("off"),
    "constant": Column("constant"),
    "equivalent": Column("equivalent"),
    "redundant": Column("redundant"),
}
STAGES = {
    "stage": Column("network", left=True),
    "parameters": Column("parameters"),
    "flops": Column("FLOPs", "1 example", digits=0),
    "agreement": Column("agreement", digits=4),
    "r2": Column("R² of the logits", digits=4),
}
NOTE = (
    "relative error: squared error of the next pre-activations over their variance, before the repair. off, constant: "
    "of all calibration examples; equivalent: one class in the graph of the layer, negated ones too; redundant: a "
    "linear combination of units that stay."
)
STAGES_NOTE = "Agreement of predictions and R² of the original's logits: {n} validation examples of the training split."


NETWORKS_NOTE = (
    "On held-out examples, which chose nothing; intervals 95 % (Wilson). The controls lose as many units of the same "
    "layers. untrained: a re-initialised network with itself, which agrees the more, the fewer classes it predicts. "
    "FLOPs are of one example, seconds of one batch, as measured; latency is that time over the original's, in turns."
)


def tables(result: Mapping[str, Any]) -> list[Table]:
    """The tables of the plain document of a compression."""
    stages = [{"stage": name, **figures} for name, figures in result["stages"].items()]
    skipped = "".join(f" {row['method']} is left out: {row['reason']}." for row in result.get("left_out", ()))
    graph, note = result.get("graph"), NOTE
    if graph:
        own = f" (of {graph['run']})" if graph["run"] else ""
        note += f" Units of {', '.join(graph['layers'])} are labelled by the graph {graph['digest']}{own}: off and "
        note += "constant are those whose boolean never changes."
    return [
        Table.of("layers", LAYERS, [{name: row[name] for name in LAYERS} for row in result["rows"]], note=note),
        Table.of_rows("beside controls", result["networks"], note=NETWORKS_NOTE + skipped),
        Table.of("before and after", STAGES, stages, note=STAGES_NOTE.format(n=result["validation"])),
    ]
