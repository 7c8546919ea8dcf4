"""SNIP (Lee, Ajanthan & Torr 2019): sensitivity of the loss.

    S_u = sum over incoming weights w of |w dL/dw|,    L the mean cross-entropy over the examples

One forward and one backward pass. The paper divides by the sum over the network, which does not change the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ndg.activations.batches import Batch, check_finite, forward, true_labels
from ndg.errors import DataError, LayerError
from ndg.gradients.tape import add, check_gradients
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings, passes
from ndg.importance.validate import no_baseline, no_class
from ndg.importance.weights.incoming import Leaves, no_path, weighted


def snip(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Scores of 0 or more in nats; `whole` sums the units.

    The gradient is that of all examples together, so scores of parts of the data do not add up. Raises DataError
    without true classes, LayerError for layers without weights.
    """
    no_class(settings, "snip")
    no_baseline(settings, "snip")
    incoming = weighted(model, layers, settings, "snip")
    sums: dict[str, Tensor] = {}
    examples = forwards = 0
    with Leaves(batch.module for batch in incoming.values()):
        weights = {path: weight for batch in incoming.values() for path, weight in batch.leaves("snip").items()}
        for batch in passes(loader, settings, "SNIP"):
            gradients = torch.autograd.grad(loss(model, batch, "snip"), list(weights.values()), allow_unused=True)
            for path, gradient in zip(weights, gradients, strict=True):
                if gradient is None:
                    raise no_path(path.rpartition(".")[0], "snip")
                check_gradients([gradient], path.rpartition(".")[0])
                add(sums, path, gradient.double())
            examples, forwards = examples + batch.count, forwards + 1
        sizes = {path: (weight.detach().double() * sums[path] / examples).abs() for path, weight in weights.items()}
    values = {layer: batch.rows(sizes).sum(dim=1).cpu().numpy() for layer, batch in incoming.items()}
    return Scores(
        method="snip",
        values=values,
        whole={layer: float(values[layer].sum()) for layer in layers},
        target="true class",
        baseline="none",
        examples=examples,
        measure="nats",
        facts={"batch": settings.options.batch, "forward_passes": forwards, "backward_passes": forwards},
    )


METHOD = Method(
    snip,
    title="SNIP",
    source="Lee, Ajanthan & Torr 2019",
    measure="nats",
    baselines=("zero",),
    weights=True,
    labels=True,
    laws=frozenset({"unread", "weightless"}),
)


def loss(model: nn.Module, batch: Batch, name: str) -> Float[Tensor, ""]:
    """Summed cross-entropy of the true classes of a batch, in nats.

    Raises DataError without classes, LayerError for a network with one logit.
    """
    if batch.labels is None:
        raise DataError(f"{name} needs the true classes; the loader gives inputs alone; give (inputs, labels)")
    logits = forward(model, batch.inputs)[: batch.count]
    check_finite(logits, "logits", batch)
    if logits.shape[1] == 1:
        raise LayerError(
            f"{name} follows the cross-entropy of the true class, which for one logit is 0 whatever the weights; the "
            "network gives one; give it one logit per class, or choose synflow or magnitude"
        )
    labels = true_labels(batch.labels, batch.count, logits.shape[1]).to(logits.device)
    return functional.cross_entropy(logits, labels, reduction="sum")
