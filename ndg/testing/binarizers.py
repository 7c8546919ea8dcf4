"""The laws of a binarizer: one reproducible threshold per unit."""

from __future__ import annotations

import numpy as np

from ndg.activations.binarize import Binarizer
from ndg.testing.checks import named, rule, run

QUANTILE = 0.3
ORDER = np.array([3, 1, 0, 5, 4, 2])


def check_binarizer(subject: Binarizer) -> None:
    """Raise ConformanceError for a binarizer that breaks a law."""
    run(BINARIZER_CHECKS, subject)


def sample() -> np.ndarray:
    """Activations of six units on 101 examples."""
    return np.random.default_rng(0).normal(size=(101, 6)).astype(np.float32)


def constant_or_fitted(subject: Binarizer) -> None:
    """A binarizer has either a constant or a fit."""
    rule((subject.threshold is None) != (subject.fit is None), "a binarizer has either a threshold or a fit")


def one_threshold_per_unit(subject: Binarizer) -> None:
    """A fit gives a float64 for each unit, the same each time."""
    if subject.fit:
        thresholds = subject.fit(sample(), QUANTILE)
        rule(thresholds.shape == (6,), f"a fit gives one threshold for each of 6 units; got shape {thresholds.shape}")
        rule(thresholds.dtype == np.float64, f"thresholds are float64; got {thresholds.dtype}")
        rule((thresholds == subject.fit(sample(), QUANTILE)).all(), "the same sample gives the same thresholds")


def follows_units(subject: Binarizer) -> None:
    """Permuting the units permutes their thresholds."""
    if subject.fit:
        moved = subject.fit(sample()[:, ORDER], QUANTILE)
        rule((moved == subject.fit(sample(), QUANTILE)[ORDER]).all(), "permuting units permutes thresholds")


def parts_examples(subject: Binarizer) -> None:
    """A fitted threshold has examples on both sides of it."""
    if subject.fit:
        above = (sample() > subject.fit(sample(), QUANTILE)).mean(axis=0)
        rule(((above > 0) & (above < 1)).all(), f"a unit is on for some examples and off for others; got {above}")


BINARIZER_CHECKS = named(constant_or_fitted, one_threshold_per_unit, follows_units, parts_examples)
