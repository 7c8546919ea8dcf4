"""SynFlow (Tanaka et al. 2020): share of the synaptic flow.

    S_u = sum over incoming weights w of |w| dR/d|w| / R,    R = sum of the logits of the network with |weights|,
                                                             no biases and no nonlinearity, at an input of ones

It uses no data. Unlike the published score it is divided by R, so that the shares of a layer that every path crosses
add up to 1; where R overflows double precision, the input is scaled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from ndg.activations.batches import Inputs, forward, pick
from ndg.errors import LayerError
from ndg.gradients.paths import joined, parts
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.importance.weights.incoming import gradients, leaves, per_unit, replaced, weighted
from ndg.importance.weights.outgoing import ACTIVATIONS

SCALES = (1.0, 1e-150, 1e150, 1e-290, 1e290)
"""Scales of the input, tried in turn until the flow fits double precision."""

LEAST, MOST = 1e-280, 1e280


def synflow(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores from 0 to 1; `whole` is the sum over units.

    The flow leads to all logits, or to `settings.target`. Activations are the identity. A norm multiplies by its gain,
    batch norm also divides by its running standard deviation. Token ids have embeddings of ones. The loader only gives
    the shape of one example. `facts["log10_flow"]` is log10 R, or None if R is 0; then all scores are 0.
    """
    incoming = weighted(model, layers, settings, "synflow")
    inputs = _ones(next(iter(passes(loader, settings, "SynFlow"))).inputs)
    with replaced(model.modules(), _positive), _double_buffers(model), sdpa_kernel(SDPBackend.MATH):
        weights = leaves(incoming, "synflow")
        forwards = 0
        for scale in SCALES:
            flow, forwards = _flow(model, inputs, scale, settings), forwards + 1
            total = float(flow.detach())
            if LEAST < total < MOST:
                break
        else:
            if total:
                raise LayerError(
                    "the synaptic flow of a network fits double precision with an input from 1e-290 to 1e290; that of "
                    f"{type(model).__name__} does not; look for weights that are not finite, or choose magnitude"
                )
        start = torch.full_like(flow, 1 / total if total else 0.0)
        slopes = gradients(flow, weights, "synflow", start)
        shares = {path: weights[path].detach() * gradient for path, gradient in slopes.items()}
        values = per_unit(incoming, shares)
    log_flow = math.log10(total) - math.log10(scale) if total else None
    facts = {"forward_passes": forwards, "backward_passes": 1, "log10_flow": log_flow}
    return METHOD.scores(settings, values, 0, facts=facts)


METHOD = Method(
    synflow,
    title="SynFlow",
    source="Tanaka et al. 2020",
    target="all logits",
    measure="share of the flow",
    baselines=("zero",),
    weights=True,
    laws=frozenset({"unread", "weightless"}),
)


def _positive(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    return torch.zeros_like(value, dtype=torch.float64) if "bias" in name else value.abs().double()


def _ones(inputs: Inputs) -> Inputs:
    """Example of ones with the same shape.

    Non-float inputs and token ids stay.
    """
    moving, still = parts(pick(inputs, torch.zeros(1, dtype=torch.long)))
    floats = {key: column for key, column in moving.items() if column.is_floating_point()}
    return joined({**moving, **{key: torch.ones_like(x, dtype=torch.float64) for key, x in floats.items()}}, still)


def _flow(model: nn.Module, inputs: Inputs, scale: float, settings: Settings) -> Float64[Tensor, ""]:
    scaled = tree_map(lambda column: column * scale if column.dtype == torch.float64 else column, inputs)
    with _Linear(scale):
        logits = forward(model, scaled)
    classes = settings.classes(logits.shape[1])
    return logits[0, classes.start : classes.stop].sum()


@contextmanager
def _double_buffers(model: nn.Module) -> Iterator[None]:
    """Context in which floating-point buffers of a network are in double precision."""
    before = [
        (module, name, value)
        for module in model.modules()
        for name, value in module._buffers.items()
        if value is not None and value.is_floating_point()
    ]
    for module, name, value in before:
        module._buffers[name] = value.double()
    try:
        yield
    finally:
        for module, name, value in before:
            module._buffers[name] = value


class _Linear(TorchFunctionMode):
    """Context with linear activations and norms, and embeddings of `scale`."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").removesuffix("_")
        if name in ACTIVATIONS:
            return args[0] if args else kwargs["input"]
        if name == "embedding":
            return torch.full_like(func(*args, **kwargs), self._scale).detach()
        rule = RULES.get(name)
        if rule is not None:
            return rule(*args, **kwargs)
        result = func(*args, **kwargs)
        single = isinstance(result, Tensor) and result.is_floating_point() and result.dtype != torch.float64
        return result.double() if single else result  # a network may request single precision


def _batch_norm(
    input: Tensor,
    mean: Any,
    variance: Tensor | None,
    weight: Tensor | None = None,
    *_: Any,
    eps: float = 1e-5,
    **__: Any,
) -> Tensor:
    gain = input.new_ones(input.shape[1]) if weight is None else weight
    if variance is not None:
        gain = gain / (variance + eps).sqrt()
    return input * gain.reshape(1, -1, *[1] * (input.ndim - 2))


def _layer_norm(input: Tensor, shape: Any, weight: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    return input if weight is None else input * weight


def _group_norm(input: Tensor, groups: int, weight: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    return _batch_norm(input, None, None, weight)


RULES: dict[str, Callable[..., Tensor]] = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": lambda input, mean=None, var=None, weight=None, *_, **__: _batch_norm(input, None, None, weight),
}
