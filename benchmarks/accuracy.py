"""Test accuracy of the networks on digits: every shipped config with five seeds, and the medians.

    python -m benchmarks.accuracy [--json FILE] [--quick]

Each training reads the test split once, with the epoch that validation chose. `--quick`: one seed, one epoch.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.frame import Figure, parser, run
from ndg import config, data, training

CONFIGS, SEEDS = ("digits_mlp", "digits_cnn", "digits_vit"), range(5)


def accuracies(name: str, seeds: Sequence[int], changes: Iterable[str]) -> Iterator[Figure]:
    """Test accuracy of one config by seed, then the median."""
    values = []
    for seed in seeds:
        experiment = config.load(config.find(name), [f"seed={seed}", *changes])
        with tempfile.TemporaryDirectory() as folder:
            result = training.train(experiment, data.load(experiment.data), Path(folder) / "run")
        values.append(result.test_accuracy)
        how = f"validation {result.validation_accuracy:.4f}, {result.seconds:.1f} s, n = {result.examples['test']}"
        yield f"{name}_seed_{seed}", result.test_accuracy, how
    yield f"{name}_median", statistics.median(values), f"of seeds {seeds[0]} to {seeds[-1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    seeds, changes = (SEEDS[:1], ("train.epochs=1",)) if options.quick else (SEEDS, ())
    return run({name: partial(accuracies, name, seeds, changes) for name in CONFIGS}, options)


if __name__ == "__main__":
    raise SystemExit(main())
