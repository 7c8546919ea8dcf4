"""Interchange of the two hidden variables of hierarchical equality, by basis.

    python -m analysis.hierarchical_equality [--seeds 0 1 2] [--decays 0.0001 0.1] [--layers 1] [--json FILE]

For every weight decay and seed a small network is trained on fresh inputs. The interchange intervention accuracy (IIA)
of Geiger et al. (2023) is counted on held-out pairs: for the best units (chosen on validation pairs), for as many
principal components and random directions (chosen likewise), for directions learned by distributed alignment search,
and, as a control, for directions learned on the untrained network.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndg import atomic
from ndg.errors import NDGError
from ndg.report.tables import Column, Interval, Table
from ndg.rotation.equality import LAYER, Effort, hierarchical_equality

COLUMNS = {
    "weight_decay": Column("weight decay", digits=4),
    "seed": Column("seed"),
    "layer": Column("layer", left=True),
    "basis": Column("basis", left=True),
    "sizes": Column("coordinates", left=True),
    "iia": Column("IIA", "95 %"),
    "n": Column("n", "pairs"),
    "moved_iia": Column("IIA where the label moves", "95 %"),
    "n_moved": Column("n", "moved"),
    "base_label": Column("base label"),
    "most_common_label": Column("most common label"),
    "accuracy": Column("accuracy", "95 %"),
}
NOTE = (
    "IIA: share of held-out pairs on which the network after the interchange predicts the label of the high-level "
    "model; Wilson intervals. Moved: pairs whose label differs from that of the base. base label, most common label: "
    "IIA of these constant predictors. accuracy: of the trained network on as many fresh inputs. localist, pca, "
    "random: coordinates chosen on validation pairs; das: the first and the next learned directions, fitted on "
    "separate pairs."
)


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Table of all seeds, with intervals."""
    return Table.of("Hierarchical equality", COLUMNS, [_cells(row) for row in rows], note=NOTE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and sentences; with `--json` also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings (default 0 1 2)")
    parser.add_argument("--decays", type=float, nargs="+", default=[1e-4, 0.1], help="weight decays of the training")
    parser.add_argument("--layers", nargs="+", default=[LAYER], help="1, 3 or 5: the ReLUs (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a third of the training, search and pairs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    args = parser.parse_args(arguments)
    effort = Effort().scaled(1 / 3) if args.quick else Effort()
    try:
        results = [
            hierarchical_equality(seed, args.layers, effort, decay) for decay in args.decays for seed in args.seeds
        ]
        print(table([row for result in results for row in result.rows()]))
        lines = [f"Weight decay {result.weight_decay:g}, seed {result.seed}: {result.words()}" for result in results]
        print("\n".join(lines))
        if args.json:
            atomic.write(
                args.json, json.dumps([result.to_dict() for result in results], indent=2, allow_nan=False) + "\n"
            )
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row with each rate and its interval in one cell."""
    intervals = {
        name: Interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
        for name in ("iia", "moved_iia", "accuracy")
        if row.get(name) is not None
    }
    return row | intervals


if __name__ == "__main__":
    sys.exit(main())
