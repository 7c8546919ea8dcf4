"""GraSP (Wang, Zhang & Grosse 2020): effect on the gradient flow.

    S_u = - sum over incoming weights w of w (H g)_w,    g = dL/d(all parameters), H its Hessian

L is the mean cross-entropy over the examples. It is made for untrained networks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ndg.errors import LayerError
from ndg.gradients.autograd import gradients_of
from ndg.gradients.neutral import check_rereadable
from ndg.gradients.tape import add, check_gradients
from ndg.importance.method import Method
from ndg.importance.methods.snip import loss
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.importance.weights.incoming import leaves, no_path, per_unit, replaced, weighted


def grasp(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Signed scores in nats squared; `whole` is the sum over units.

    g and H cover all examples and all parameters, at the network's own logits (the published code divides them by 200).
    The loader is read twice. Raises DataError without true classes, LayerError for layers without weights and for
    networks that cannot be differentiated twice.
    """
    check_rereadable(loader, "grasp")
    incoming = weighted(model, layers, settings, "grasp")
    first: dict[str, Tensor] = {}
    products: dict[str, Tensor] = {}
    examples = forwards = 0
    with sdpa_kernel(SDPBackend.MATH), replaced(model.modules()) as parameters:  # other kernels differentiate once
        weights = leaves(incoming, "grasp")
        for batch in passes(loader, settings, "GraSP, gradient"):
            value = loss(model, batch, "grasp")
            if not value.requires_grad:
                raise no_path(layers[0], "grasp")
            gradients = gradients_of(value, parameters, allow_unused=True)
            for number, gradient in enumerate(gradients):
                if gradient is not None:
                    add(first, str(number), gradient.double())
            examples, forwards = examples + batch.count, forwards + 1
        used = {number: parameters[int(number)] for number in first}
        along = [(first[number] / examples).to(parameter) for number, parameter in used.items()]
        for path, weight in weights.items():
            if not any(weight is parameter for parameter in used.values()):
                raise no_path(path.rpartition(".")[0], "grasp")
        for batch in passes(loader, settings, "GraSP, curvature"):
            for path, product in zip(weights, _curved(model, batch, used, along, weights), strict=True):
                check_gradients([product], path.rpartition(".")[0])
                add(products, path, product.double())
        for path, weight in weights.items():
            products[path] = -weight.detach().double() * products[path] / examples
    facts = {"batch": settings.options.batch, "forward_passes": 2 * forwards, "backward_passes": 3 * forwards}
    return METHOD.scores(settings, per_unit(incoming, products), examples, facts=facts)


METHOD = Method(
    grasp,
    title="GraSP",
    source="Wang, Zhang & Grosse 2020",
    measure="nats squared",
    baselines=("zero",),
    weights=True,
    labels=True,
    laws=frozenset({"weightless"}),
)


def _curved(
    model: nn.Module, batch: Any, used: dict[str, nn.Parameter], along: list[Tensor], weights: dict[str, Tensor]
) -> list[Tensor]:
    """Rows of H g of the weights for a batch."""
    total = loss(model, batch, "grasp")
    try:
        gradients = gradients_of(total, list(used.values()), create_graph=True)
        dot = sum((gradient * direction).sum() for gradient, direction in zip(gradients, along, strict=True))
        products = gradients_of(dot, list(weights.values()), allow_unused=True)  # type: ignore[arg-type]
    except (RuntimeError, NotImplementedError) as error:
        if "implement" not in str(error) and "double backward" not in str(error):
            raise
        raise LayerError(
            f"grasp differentiates the loss twice; this network cannot be: {str(error).splitlines()[0]}; choose snip"
        ) from error
    return [torch.zeros_like(weight) if p is None else p for p, weight in zip(products, weights.values(), strict=True)]
