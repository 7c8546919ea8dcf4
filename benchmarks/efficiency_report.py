"""The efficiency report: what its metrics predict, and the time it takes.

Parts of `benchmarks.efficiency`. `predictor_rho` is the rank correlation of the removable share with the share of units
that can really be removed (`analysis.efficiency_validation`). `report_seconds_per_million_weights` is the time of a
report beyond two forward passes of the same images, for a ResNet-18 of width 16. Quick: three
networks, width 4, 16 images.
"""

from __future__ import annotations

from pathlib import Path

import torch

from analysis.efficiency_validation import predictor_rho, validate
from benchmarks.timing import median_seconds
from ndg.config import ResNet
from ndg.efficiency import report
from ndg.locations import Locations
from ndg.models import build
from ndg.options import RunOptions

IMAGES, ROUNDS = 1024, 5
Figures = dict[str, tuple[float, str]]


def predictor(folder: Path | None) -> Figures:
    """Correlation of the removable share with what can be removed, and its lead over the source's metrics.

    Networks are kept in the folder; without one, three are trained and thrown away.
    """
    result = validate([0], Locations.choose(), folder, quick=folder is None)
    rho, low, high, best = predictor_rho(result)
    how = f"Spearman [{low:.2f}, {high:.2f}], {len(result['layers'])} layers of {result['networks']} networks"
    lead = f"lower end of that interval minus the best of the source's metrics ({best:.2f})"
    return {"predictor_rho": (rho, how), "predictor_lead": (low - best, lead)}


def seconds(quick: bool) -> Figures:
    """Time of a report beyond two forward passes, per million weights."""
    images = 16 if quick else IMAGES
    network = build(ResNet(width=4 if quick else 16), (3, 32, 32), 10, 0)
    inputs = torch.rand(images, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    options = RunOptions(progress=False)
    batches = list(inputs.split(options.batch))
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        with torch.no_grad():
            times = median_seconds(
                {
                    "passes": lambda: [network(batch) for batch in batches],
                    "report": lambda: report(network, batches, options=options),
                },
                2 if quick else ROUNDS,
            )
    finally:
        torch.set_num_threads(threads)
    millions = sum(weight.numel() for weight in network.parameters()) / 1e6
    value = (times["report"] - 2 * times["passes"]) / millions
    how = (
        f"report {times['report']:.2f} s, one pass of {images} images {times['passes']:.2f} s, {millions:.2f} M weights"
    )
    return {"report_seconds_per_million_weights": (value, how)}
