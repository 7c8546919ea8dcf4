"""One workload of `benchmarks.regression`, timed by its public calls alone, so that an older checkout runs it too.

python benchmarks/workloads.py conductance 5 [--quick]    # prints CPU seconds, one per repetition
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

warnings.simplefilter("ignore", DeprecationWarning)  # keywords that both checkouts accept

Call = Callable[[], Any]


def cnn(classes: int = 10) -> nn.Module:
    """The shape of the MNIST network of Hu & Tian 2022 with random weights."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 32), nn.Sigmoid(),
    )  # fmt: skip
    decoder = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, classes))
    return nn.Sequential(encoder, decoder).eval()


def images(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Random images, labelled by a network of their own."""
    torch.manual_seed(1)
    x = torch.rand(count, 1, 28, 28)
    with torch.no_grad():
        y = cnn()(x).argmax(dim=1)
    return [(x, y)]


def trial(quick: bool) -> Call:
    """Q and its controls on a mined graph."""
    return _on_trial(quick, "trial")


def interchange(quick: bool) -> Call:
    """Interchange interventions of the sets of a mined graph."""
    return _on_trial(quick, "interchange")


def edges(quick: bool) -> Call:
    """Every edge of a mined graph on trial."""
    return _on_trial(quick, "try_edges")


def conductance(quick: bool) -> Call:
    """Conductance of five layers, 10 steps."""
    import ndg

    model, data = cnn(), images(32 if quick else 128)
    layers = ["0.0", "0.2", "0.6", "1.0", "1.2"]
    return lambda: ndg.score(model, data, layers, method="conductance", n_steps=10, internal_batch_size=64)


def ablation(quick: bool) -> Call:
    """Exact ablation of the channels of two convolutions."""
    import ndg

    model, data = cnn(), images(8 if quick else 64)
    return lambda: ndg.score(model, data, ["0.0", "0.2"], method="ablation", internal_batch_size=64, executor="serial")


def mining(quick: bool) -> Call:
    """The paper's criterion on all pairs of random booleans."""
    import ndg

    generator = np.random.default_rng(0)
    nodes, examples = (256, 4096) if quick else (4096, 65_536)
    units = ndg.NodeSpace(0, (ndg.LayerUnits("random", nodes),))
    bits = ndg.BitMatrix.from_bool(generator.random((examples, nodes)) < 0.5, units)
    return lambda: ndg.mine(bits, "paper", alpha=2, executor="serial")


def _on_trial(quick: bool, study: str) -> Call:
    import ndg

    model, data = cnn(), images(512 if quick else 4096)
    layers = ["0.9", "1.1"] if study == "try_edges" else ["0.9"]
    graph = ndg.mine(ndg.extract(model, data, layers=layers), "paper", alpha=1.5)
    some = [(data[0][0][: 256 if quick else 2048], data[0][1][: 256 if quick else 2048])]
    named: dict[str, Any] = {"executor": "serial"} | ({"fit": data} if study != "interchange" else {})
    return lambda: getattr(ndg, study)(model, graph, some, **named)


WORKLOADS: dict[str, Callable[[bool], Call]] = {
    "trial": trial,
    "interchange": interchange,
    "edges": edges,
    "conductance": conductance,
    "ablation": ablation,
    "mining": mining,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", choices=WORKLOADS, nargs="+", metavar="NAME")
    parser.add_argument("repetitions", type=int)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        call = WORKLOADS[name](options.quick)
        call()
        for _ in range(options.repetitions):
            started = time.process_time()
            call()
            print(time.process_time() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
