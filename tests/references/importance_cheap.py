"""Scores that need few passes, by their definitions: one example, one unit, one weight at a time.

A network is given as its two halves, as in `tests.references.importance`; a dense one as its weights.
"""

import itertools

import numpy as np
import torch
from torch import nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call


def activation(encoder: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """Mean over examples and positions of the size of each unit's activation."""
    hidden = encoder(inputs).detach().double()
    return np.array(
        [_mean([float(abs(v)) for h in hidden for v in h[unit].flatten()]) for unit in range(len(hidden[0]))]
    )


def slopes(encoder: nn.Module, head: nn.Module, x: torch.Tensor, target: int | None = None) -> torch.Tensor:
    """Gradient at a layer of the logit of a class, or of the one that is predicted."""
    hidden = encoder(x[None])[0].detach()
    target = int(head(hidden[None]).argmax()) if target is None else target
    return jacobian(lambda value: head(value[None])[0, target], hidden).double()


def gradient(encoder: nn.Module, head: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    return np.mean([[float(s.abs().mean()) for s in slopes(encoder, head, x)] for x in inputs], axis=0)


def gradient_x_activation(encoder: nn.Module, head: nn.Module, inputs: torch.Tensor, absolute: bool) -> np.ndarray:
    rows = []
    for x in inputs:
        hidden = encoder(x[None])[0].detach()
        effects = [float((s * h).sum()) for s, h in zip(slopes(encoder, head, x), hidden, strict=True)]
        rows.append(np.abs(effects) if absolute else effects)
    return np.mean(rows, axis=0)


def influence(encoder: nn.Module, head: nn.Module, inputs: torch.Tensor, steps: int) -> np.ndarray:
    rows = []
    for x in inputs:
        target = int(head(encoder(x[None])).argmax())
        points = [slopes(encoder, head, (step + 0.5) / steps * x, target) for step in range(steps)]
        rows.append(np.mean([[float(s.sum()) for s in point] for point in points], axis=0))
    return np.mean(rows, axis=0)


def integrated(encoder: nn.Module, head: nn.Module, inputs: torch.Tensor, steps: int) -> np.ndarray:
    """For each unit the mean over examples of the norm of the integral of J along the path of that unit to zero."""
    rows = []
    for h in encoder(inputs).detach():
        damages = []
        for unit in range(len(h)):
            total = torch.zeros(head(h[None]).shape[1], dtype=torch.float64)
            for step in range(steps):
                point, moved = h.clone(), torch.zeros_like(h)
                point[unit], moved[unit] = (1 - (step + 0.5) / steps) * h[unit], h[unit]
                rows_of_j = jacobian(lambda value: head(value[None])[0], point)
                total += (rows_of_j.flatten(1) @ moved.flatten()).double() / steps
            damages.append(float(total.norm()))
        rows.append(damages)
    return np.mean(rows, axis=0)


def snip(model: nn.Module, layer: str, inputs: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """For each unit the sum over its weights of |w dL/dw|, weight by weight."""
    weight = model.get_submodule(layer).weight
    model.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(model(inputs), labels).backward()
    found = [
        sum(abs(float(w) * float(g)) for w, g in zip(row.flatten(), slope.flatten(), strict=True))
        for row, slope in zip(weight.detach(), weight.grad, strict=True)
    ]
    model.zero_grad(set_to_none=True)
    return np.array(found)


def grasp(model: nn.Module, layer: str, inputs: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """For each unit - sum of w (H g)_w, with the whole Hessian of all parameters."""
    parameters = dict(model.named_parameters())
    flat = torch.cat([value.detach().flatten() for value in parameters.values()])

    def loss(values: torch.Tensor) -> torch.Tensor:
        parts = values.split([value.numel() for value in parameters.values()])
        named = {name: part.view_as(parameters[name]) for name, part in zip(parameters, parts, strict=True)}
        return nn.functional.cross_entropy(functional_call(model, named, (inputs,)), labels)

    curved = -flat * (hessian(loss, flat) @ jacobian(loss, flat))
    parts = dict(zip(parameters, curved.split([value.numel() for value in parameters.values()]), strict=True))
    wanted = parts[f"{layer}.weight"].view_as(parameters[f"{layer}.weight"])
    return wanted.flatten(1).sum(dim=1).numpy()


def synflow(weights: list[np.ndarray], layer: int) -> np.ndarray:
    """For each unit of a dense network the share of all paths' products of |weights| that go through it."""
    widths = [weights[0].shape[1], *(len(weight) for weight in weights)]
    shares, total = np.zeros(widths[layer + 1]), 0.0
    for path in itertools.product(*(range(width) for width in widths)):
        product = 1.0
        for depth, weight in enumerate(weights):
            product *= abs(weight[path[depth + 1], path[depth]])
        shares[path[layer + 1]] += product
        total += product
    return shares / total


def hrank(maps: torch.Tensor) -> np.ndarray:
    """Mean over examples of the rank of each channel's map."""
    ranks = [[np.linalg.matrix_rank(one.numpy()) for one in example] for example in maps]
    return np.mean(ranks, axis=0)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
