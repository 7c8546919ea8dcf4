"""Can two hidden booleans of hierarchical equality be interchanged in a network? In its units, and in other bases.

    python -m analysis.hierarchical_equality [--seeds 0 1 2] [--decays 0.0001 0.1] [--layers 1] [--json FILE]

For every weight decay and seed a small network is trained on fresh inputs. The interchange intervention accuracy (IIA)
of Geiger et al. (2023) is counted on held-out pairs of fresh vectors: for the best units (picked on validation pairs),
for as many principal components and directions of a random rotation (picked likewise), for directions learned by
distributed alignment search, and, as a control, for directions learned on the untrained network.
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
    "IIA: share of held-out pairs on which the network predicts under the interchange what the high-level model does; "
    "intervals are Wilson's. Moved: pairs whose label differs from the base's. base label, most common label: the IIA "
    "of these constant predictors. accuracy: of the trained network on as many fresh inputs. localist, pca, random: "
    "the coordinates of each variable are the best found on validation pairs; das: the first, and the next, of the "
    "learned directions, fitted to pairs of their own."
)


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows of all seeds, with their intervals."""
    return Table.of("Hierarchical equality", COLUMNS, [_cells(row) for row in rows], note=NOTE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and what it says; with `--json` write the figures as well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings (default 0 1 2)")
    parser.add_argument("--decays", type=float, nargs="+", default=[1e-4, 0.1], help="weight decays of the training")
    parser.add_argument("--layers", nargs="+", default=[LAYER], help="1, 3 or 5: the ReLUs (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a third of the training, search and pairs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    asked = parser.parse_args(arguments)
    effort = Effort().scaled(1 / 3) if asked.quick else Effort()
    try:
        found = [
            hierarchical_equality(seed, asked.layers, effort, decay) for decay in asked.decays for seed in asked.seeds
        ]
        print(table([row for one in found for row in one.rows()]))
        print("\n".join(f"Weight decay {one.weight_decay:g}, seed {one.seed}: {one.words()}" for one in found))
        if asked.json:
            atomic.write(asked.json, json.dumps([one.to_dict() for one in found], indent=2, allow_nan=False) + "\n")
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row in which a rate and the ends of its interval are one cell."""
    intervals = {
        name: Interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
        for name in ("iia", "moved_iia", "accuracy")
        if row.get(name) is not None
    }
    return row | intervals


if __name__ == "__main__":
    sys.exit(main())
