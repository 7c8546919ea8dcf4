"""Conductance of several layers in one pass, against one captum call per layer; G-NDI of all their units beside it.

python -m benchmarks.scores [--json FILE]
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LayerConductance
from torch import nn

from benchmarks.timing import median_seconds, report
from ndg.importance.score import score

STEPS, EXAMPLES, THREADS = 50, 64, 1


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10),
    ).eval()  # fmt: skip


def main() -> None:
    torch.set_num_threads(THREADS)
    model, layers = network(), ["0", "2", "6", "8", "9"]
    inputs = torch.rand(EXAMPLES, 1, 8, 8)
    with torch.no_grad():
        target = model(inputs).argmax(1)

    def ours(method: str = "conductance"):
        return score(model, [inputs], layers, method, steps=STEPS, batch=EXAMPLES, threads=THREADS)

    def captum() -> dict[str, np.ndarray]:
        found = {}
        for layer in layers:
            values = LayerConductance(model, model.get_submodule(layer)).attribute(inputs, target=target, n_steps=STEPS)
            found[layer] = values.detach().flatten(2).sum(2).mean(0) if values.ndim == 4 else values.detach().mean(0)
        return {layer: values.numpy() for layer, values in found.items()}

    mine, theirs = ours(), captum()
    worst = min(float(np.corrcoef(mine[layer], theirs[layer])[0, 1]) for layer in layers)
    seconds = median_seconds({"ours": ours, "captum": captum, "gndi": lambda: ours("gndi")}, rounds=3)
    what = f"{len(layers)} layers, {STEPS} steps, batch {EXAMPLES}"
    report(
        "scores",
        {
            "conductance_vs_captum": (seconds["captum"] / seconds["ours"], f"times as fast, {what}"),
            "conductance_correlation": (worst, "Pearson with captum's per-unit means, of the worst layer"),
            "seconds_conductance": (seconds["ours"], what),
            "seconds_gndi": (seconds["gndi"], f"all units of {len(layers)} layers"),
        },
    )


if __name__ == "__main__":
    main()
