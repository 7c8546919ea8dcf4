"""Test accuracy of the networks on digits: every shipped config by five seeds, each printed, with the medians.

    python -m benchmarks.accuracy [--json FILE]

The test split is looked at once for each training, with the epoch that validation chose.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.timing import report
from ndg import config, data, training

CONFIGS, SEEDS = ("digits_mlp", "digits_cnn", "digits_vit"), range(5)


def main() -> None:
    figures = {}
    for name in CONFIGS:
        found = []
        for seed in SEEDS:
            experiment = config.load(config.find(name), [f"seed={seed}"])
            with tempfile.TemporaryDirectory() as folder:
                result = training.train(experiment, data.load(experiment.data), Path(folder) / "run")
            found.append(result.test_accuracy)
            n = result.examples["test"]
            figures[f"{name}_seed_{seed}"] = (
                result.test_accuracy,
                f"validation {result.validation_accuracy:.4f}, {result.seconds:.1f} s, n = {n}",
            )
        figures[f"{name}_median"] = (statistics.median(found), f"of seeds {SEEDS[0]} to {SEEDS[-1]}")
    report("test accuracy", figures)


if __name__ == "__main__":
    main()
