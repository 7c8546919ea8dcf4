"""Coverage of fast ablation's standard errors by network, layer size and budget.

    python -m benchmarks.error_coverage [--json FILE] [--quick]     # quick: two networks, fewer draws

Networks of layers of 16 to 512 units are trained on the digits that scikit-learn bundles. Coverage is the share of
units whose exact damage lies within two standard errors of the estimate, on examples that were not trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks.cheap import Measured, fast_with_errors, measure
from benchmarks.frame import Figure, parser, run
from ndg.config import ViT
from ndg.models import build

SHARES = (1 / 400, 1 / 200, 1 / 100, 1 / 50, 1 / 20, 1 / 10, 1 / 5)
DEFAULT = 1 / 50
SEEDS, DRAWS = (0, 1, 2), 10
TRAINED = 1400
"""Number of digits to train on; the other 397 are measured."""


def dense(widths: Sequence[int], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    parts: list[nn.Module] = [nn.Flatten()]
    for before, after in zip([64, *widths], widths, strict=False):
        parts += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], 10))


def convolutional(channels: Sequence[int], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    first, second, third = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(second, third, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(4 * third, 48), nn.ReLU(), nn.Linear(48, 10),
    )  # fmt: skip


def transformer(width: int, seed: int) -> nn.Module:
    return build(ViT(patch=2, width=width, depth=2, heads=4, mlp=2 * width, head="linear"), (1, 8, 8), 10, seed)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "mlp_16": partial(dense, (16, 16, 16)),
    "cnn_16": partial(convolutional, (16, 16, 32)),
    "vit_16": partial(transformer, 16),
    "mlp_32": partial(dense, (32, 32, 32)),
    "mlp_48": partial(dense, (48, 48)),
    "cnn_48": partial(convolutional, (32, 48, 64)),
    "vit_48": partial(transformer, 48),
    "mlp_128": partial(dense, (128, 128)),
    "mlp_512": partial(dense, (512, 256)),
}


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    images = torch.tensor(bunch.images[order] / 16, dtype=torch.float32)[:, None]
    return images, torch.tensor(bunch.target[order])


def trained(name: str, seed: int, epochs: int) -> tuple[nn.Module, torch.Tensor]:
    """A network and the examples that it was not trained on."""
    (images, labels), model = digits(), NETWORKS[name](seed)
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(TRAINED).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimiser.step()
    return model.eval(), images[TRAINED:]


Estimates = list[tuple[np.ndarray, np.ndarray]]


def covered(measured: Measured, estimates: Estimates) -> Iterator[tuple[int, float]]:
    """The size of each layer and the share of its units within two errors."""
    for values, errors in estimates:
        inside = np.abs(values - measured.truth) <= 2 * errors
        for rows in measured.layers:
            yield rows.stop - rows.start, float(inside[rows].mean())


def coverage(names: Sequence[str], seeds: Sequence[int], epochs: int, draws: int) -> Iterator[Figure]:
    """Lowest coverage of each network's layers by size, over budgets, and of all; correlations at 1/50."""
    lowest = 1.0
    for name in names:
        by_size: dict[int, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        ranks: list[float] = []
        for seed in seeds:
            model, images = trained(name, seed, epochs)
            layers = [path for path, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
            measured = measure(model, images, layers[:-1])
            for share in SHARES:
                random = (np.random.default_rng([7, draw]) for draw in range(draws))
                estimates = [fast_with_errors(measured, share, each) for each in random]
                ranks += [measured.within(values) for values, _ in estimates if share == DEFAULT]
                for size, inside in covered(measured, estimates):
                    by_size[size][share].append(inside)
        for size, by_share in sorted(by_size.items()):
            means = {share: float(np.mean(values)) for share, values in by_share.items()}
            lowest = min(lowest, *means.values())
            about = ", ".join(f"1/{round(1 / share)} {mean:.3f}" for share, mean in means.items())
            yield f"{name}_layers_of_{size}", min(means.values()), f"{about}; {len(seeds)} trainings, {draws} draws"
        yield f"{name}_spearman_within", float(np.mean(ranks)), f"at 1/{round(1 / DEFAULT)}, with exact ablation"
    yield "lowest_coverage", lowest, "of all layers and budgets, within two standard errors"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    names = ["mlp_16", "cnn_16"] if options.quick else list(NETWORKS)
    seeds, epochs, draws = ((0,), 2, 2) if options.quick else (SEEDS, 15, DRAWS)
    return run({"coverage": partial(coverage, names, seeds, epochs, draws)}, options)


if __name__ == "__main__":
    raise SystemExit(main())
