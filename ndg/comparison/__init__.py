"""Comparison of graphs: layers, networks, trainings, resamples and controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.comparison.difference import diff as diff
    from ndg.comparison.inputs import random_inputs as random_inputs
    from ndg.comparison.models import inter_layer as inter_layer
    from ndg.comparison.models import inter_model as inter_model
    from ndg.comparison.models import inter_models as inter_models
    from ndg.comparison.over_examples import bootstrap as bootstrap
    from ndg.comparison.retraining import over_trainings as over_trainings
    from ndg.comparison.retraining import trainings as trainings
    from ndg.comparison.sources import controls as controls
    from ndg.comparison.sources import reinitialised as reinitialised
    from ndg.comparison.tables import cross_accuracy as cross_accuracy
    from ndg.comparison.tables import crossed as crossed
    from ndg.comparison.tables import table_3 as table_3
    from ndg.comparison.tables import table_7 as table_7
    from ndg.comparison.units import in_units_of as in_units_of
    from ndg.comparison.units import match_units as match_units

__getattr__, __dir__, __all__ = lazily(__name__)
