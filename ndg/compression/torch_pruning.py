"""Scores of Torch-Pruning (Fang et al. 2023), an optional package: a rival.

Its own coupling of layers is used. It is not asked for attention, whose heads it cannot count from plain layers, nor
for LSTM and GRU, which it does not prune.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ndg.activations.batches import bare, columns, fixed, forward, join
from ndg.compression.groups import Group
from ndg.errors import LayerError
from ndg.extras import require

KINDS = {"magnitude": "GroupMagnitudeImportance", "taylor": "GroupTaylorImportance"}
"""Scores by name: norms of all weights that make, scale or read a unit; change of the loss by them, to first order."""


def scores(model: nn.Module, groups: Mapping[str, Group], examples: Iterable[Any], kind: str) -> dict[str, np.ndarray]:
    """Score of each unit of the groups.

    Without classes the loss is that of the network's own predictions.

    Raises MissingPackageError without the package, LayerError for attention heads and hidden units.
    """
    require("torch_pruning", "a method of Torch-Pruning", "the other methods need no package")
    import torch_pruning

    for name, group in groups.items():
        if group.kind in ("head", "hidden unit"):
            raise LayerError(
                f"Torch-Pruning scores units and channels; {name!r} has {group.kind}s, which it prunes wrongly or not "
                "at all; compress other layers"
            )
    model = copy.deepcopy(model)
    tensors = join([columns(batch) for batch in examples])
    classes = tensors.pop("labels", None)
    inputs = bare(tensors)
    result = {}
    with fixed(model, torch.get_num_threads(), grad=True):
        for weight in model.parameters():
            weight.requires_grad_(weight.is_floating_point())
        coupled = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=inputs)
        output = forward(model, inputs)
        functional.cross_entropy(output, output.argmax(1) if classes is None else classes).backward()
        score = getattr(torch_pruning.importance, KINDS[kind])()
        for name, group in groups.items():
            module: Any = model.get_submodule(group.makers[0].path)
            prune = coupled.get_pruner_of_module(module).prune_out_channels
            values = score(coupled.get_pruning_group(module, prune, idxs=list(range(len(module.weight)))))
            result[name] = values.detach().double().cpu().numpy()[group.makers[0].index[:, 0]]
    return result
