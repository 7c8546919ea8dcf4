"""Neuron dependency graphs and causal abstraction.

Which neurons depend on which, which ones matter, and is that picture causally true? This module exports the public
interface and loads everything at first use, so importing it is silent and quick.

Examples of the public names use this network, its data, bits and graph:

>>> import ndg, torch
>>> _ = torch.manual_seed(4)
>>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
>>> x = torch.randn(300, 6)
>>> data = [(x, net(x).argmax(dim=1))]
>>> bits = ndg.extract(net, data, layers=["1"])
>>> graph = ndg.mine(bits, alpha=2)
>>> graph
NDG(3 labels, 8 neurons, 40 implications, 300 examples)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndg.lazy import lazily

__version__ = "1.0.0"

if TYPE_CHECKING:
    from ndg import causal as causal
    from ndg import comparison as comparison
    from ndg import compression as compression
    from ndg import config as config
    from ndg import counterfactual as counterfactual
    from ndg import data as data
    from ndg import efficiency as efficiency
    from ndg import errors as errors
    from ndg import executors as executors
    from ndg import importance as importance
    from ndg import models as models
    from ndg import report as report
    from ndg import rotation as rotation
    from ndg import runs as runs
    from ndg import seeds as seeds
    from ndg import testing as testing
    from ndg.abstraction.edges import EdgeSettings as EdgeSettings
    from ndg.abstraction.edges import EdgeTrials as EdgeTrials
    from ndg.abstraction.edges import try_edges as try_edges
    from ndg.abstraction.explain import ExplainSettings as ExplainSettings
    from ndg.abstraction.explain import Explanation as Explanation
    from ndg.abstraction.explain import explain as explain
    from ndg.abstraction.interchange import InterchangeResult as InterchangeResult
    from ndg.abstraction.interchange import InterchangeSettings as InterchangeSettings
    from ndg.abstraction.interchange import interchange as interchange
    from ndg.abstraction.minimal import MinimalResult as MinimalResult
    from ndg.abstraction.minimal import MinimalSettings as MinimalSettings
    from ndg.abstraction.minimal import minimal as minimal
    from ndg.abstraction.result import TrialResult as TrialResult
    from ndg.abstraction.trial import TrialSettings as TrialSettings
    from ndg.abstraction.trial import trial as trial
    from ndg.abstraction.trial import trials as trials
    from ndg.bits.matrix import BitMatrix as BitMatrix
    from ndg.causal.certificates import certify as certify
    from ndg.causal.recombination import recombine as recombine
    from ndg.causal.voting import votes as votes
    from ndg.compression.result import Compression as Compression
    from ndg.compression.smaller import CompressSettings as CompressSettings
    from ndg.compression.smaller import compress as compress
    from ndg.config import Experiment as Experiment
    from ndg.config import load as load_config  # noqa: F401
    from ndg.discovery import mine as mine
    from ndg.discovery import sweep as sweep
    from ndg.extraction import ReadingSettings as ReadingSettings
    from ndg.extraction import extract as extract
    from ndg.graph.closure import Closure as Closure
    from ndg.graph.evaluate import HeldOut as HeldOut
    from ndg.graph.ndg import NDG as NDG
    from ndg.graph.scm import SCM as SCM
    from ndg.graph.statistics import GraphStats as GraphStats
    from ndg.importance.score import score as score
    from ndg.importance.scores import Scores as Scores
    from ndg.importance.settings import ScoreSettings as ScoreSettings
    from ndg.literal import Literal as Literal
    from ndg.mining.implications import Implications as Implications
    from ndg.nodes import LayerUnits as LayerUnits
    from ndg.nodes import NodeSpace as NodeSpace
    from ndg.options import RunOptions as RunOptions
    from ndg.report.explorer.page import explore as explore
    from ndg.report.render import plot as plot
    from ndg.report.render import render as render
    from ndg.results import Result as Result
    from ndg.runs.record import RunRecord as RunRecord
    from ndg.stimuli.collect import examples as examples
    from ndg.stimuli.result import Examples as Examples
    from ndg.training import TrainResult as TrainResult
    from ndg.training import load_model as load_model
    from ndg.workflows.train import train as train

__getattr__, __dir__, __all__ = lazily(__name__)
