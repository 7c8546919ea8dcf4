"""Trials of edges: does the consequent hold when the antecedent is forced?

trials = try_edges(model, graph, held_out, fit=train)
print(trials.words())
causal = graph.with_verdicts(trials).causal(at_least=0.9, how="closure")
"""

from ndg.abstraction.edges.result import EdgeTrials as EdgeTrials
from ndg.abstraction.edges.trials import EdgeSettings as EdgeSettings
from ndg.abstraction.edges.trials import try_edges as try_edges
