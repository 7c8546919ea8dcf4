"""SNIP (Lee, Ajanthan & Torr 2019): sensitivity of the loss.

S_u = sum over incoming weights w of |w dL/dw|,    L the mean cross-entropy over the examples
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ndg.activations.batches import Batch, check_finite, fixed, forward
from ndg.activations.labels import true_labels
from ndg.errors import DataError, LayerError
from ndg.gradients.tape import add
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.importance.weights.incoming import Incoming, gradients, leaves, per_unit, replaced, weighted


def snip(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores of 0 or more in nats; `whole` sums the units.

    Scores of parts of the data do not add up. Raises DataError without classes, LayerError for layers without weights.
    """
    incoming = weighted(model, layers, settings, "snip")
    sizes, examples, forwards = _effects(model, loader, incoming, settings)
    facts = {"batch": settings.options.batch, "forward_passes": forwards, "backward_passes": forwards}
    sizes = {path: effect.abs() for path, effect in sizes.items()}
    return METHOD.scores(settings, per_unit(incoming, sizes), examples, facts=facts)


def effects(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> dict[str, Tensor]:
    """First-order effect w dL/dw of each incoming weight by path, in nats."""
    with torch.inference_mode(False), fixed(model, settings.options.threads, grad=True):
        return _effects(model, loader, weighted(model, layers, settings, "snip"), settings)[0]


def _effects(
    model: nn.Module, loader: Loader, incoming: Mapping[str, Incoming], settings: Settings
) -> tuple[dict[str, Tensor], int, int]:
    """Effects of weights, with the examples and the passes that they took."""
    sums: dict[str, Tensor] = {}
    examples = forwards = 0
    with replaced({parts.module: None for parts in incoming.values()}):
        weights = leaves(incoming, "snip")
        for batch in passes(loader, settings, "SNIP"):
            for path, gradient in gradients(loss(model, batch, "snip"), weights, "snip").items():
                add(sums, path, gradient.double())
            examples, forwards = examples + batch.count, forwards + 1
        values = {path: weight.detach().double() * sums[path] / examples for path, weight in weights.items()}
    return values, examples, forwards


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
