"""Counterfactual training: networks learn to obey a graph's interventions (Hu & Tian 2022).

    data = counterfactual_set(model, graph, train)
    data.save("counterfactual.safetensors")
    result = train_on(model, graph, data, {"train": train, "validation": validation, "test": test})

`result.model` is a new network; `result.rows()` compares it with the old one. `train_on` is in
`ndg.workflows.counterfactual`: it puts the graph on trial before and after the training.
"""

from ndg.counterfactual.counterfactual_set import CounterfactualSet as CounterfactualSet
from ndg.counterfactual.generate import counterfactual_set as counterfactual_set
from ndg.counterfactual.training import CounterfactualSettings as CounterfactualSettings
