"""Causal graphs: booleans of recombined examples, factorial effects, votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

if TYPE_CHECKING:
    from ndg.causal.accuracy import AccuracySettings as AccuracySettings
    from ndg.causal.accuracy import InterchangeAccuracy as InterchangeAccuracy
    from ndg.causal.accuracy import interchange_accuracy as interchange_accuracy
    from ndg.causal.assembly import causal_graph as causal_graph
    from ndg.causal.certificates import Certificate as Certificate
    from ndg.causal.certificates import CertifySettings as CertifySettings
    from ndg.causal.certificates import certify as certify
    from ndg.causal.certificates import smallest as smallest
    from ndg.causal.control_sets import SetControls as SetControls
    from ndg.causal.control_sets import set_controls as set_controls
    from ndg.causal.factorial import Effects as Effects
    from ndg.causal.factorial import effects as effects
    from ndg.causal.faithful import Faithful as Faithful
    from ndg.causal.faithful import train_faithful as train_faithful
    from ndg.causal.forcing import ForcedEffects as ForcedEffects
    from ndg.causal.forcing import ForcingSettings as ForcingSettings
    from ndg.causal.forcing import forced_effects as forced_effects
    from ndg.causal.recombination import recombine as recombine
    from ndg.causal.sufficient import SetSettings as SetSettings
    from ndg.causal.sufficient import SufficientSets as SufficientSets
    from ndg.causal.sufficient import sufficient_sets as sufficient_sets
    from ndg.causal.towards import FaithfulSettings as FaithfulSettings
    from ndg.causal.voting import votes as votes
    from ndg.graph.votes import Votes as Votes

__getattr__, __dir__, __all__ = lazily(__name__)
