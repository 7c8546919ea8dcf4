"""Importance of single weights, by several definitions.

    magnitude    |w|
    activation   |w| times the mean absolute activation of the weight's unit (the source's definition)
    wanda        |w| times the root mean square of the weight's input (Sun et al. 2024)
    gradient     |dL/dw|, L the mean loss over the examples
    taylor       |w dL/dw|, the change of L without the weight, to first order (Molchanov et al. 2017)
    taylor2      |-w dL/dw + w^2/2 d2L/dw2|, to second order with the Hessian's diagonal (LeCun et al. 1990)

The diagonal is exact for at most `EXACT` weights; of more it is estimated from products with random signs
(Hutchinson 1990), `DRAWS` for each compute batch; its relative error falls as one over the root of all draws, and is
about 0.35 after 64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ndg import seeds
from ndg.activations.batches import Batch, examples_in_batches, fixed, forward, pick
from ndg.efficiency.observe import Observation, Observations
from ndg.efficiency.parts import CONVOLUTIONS, TRANSPOSED, Part
from ndg.errors import ConfigError, DataError, LayerError, nearest
from ndg.importance.weights.incoming import replaced
from ndg.options import RunOptions
from ndg.units.gates import unrolled
from ndg.units.heads import unfused

OBSERVED = ("activation", "wanda")
"""Kinds that need the activations."""
SLOPES = ("gradient", "taylor", "taylor2")
"""Kinds that need the loss."""
KINDS = ("magnitude", *OBSERVED, *SLOPES)

EXACT, DRAWS = 256, 16

Loss = Callable[[Tensor, Tensor], Tensor]
"""Sum of the losses of examples, from their logits and labels."""
Matrix = Float64[np.ndarray, "unit input"]


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy in nats, summed over the examples."""
    return functional.cross_entropy(logits, labels, reduction="sum")


def check_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds, each once; ConfigError for an unknown one."""
    chosen = tuple(dict.fromkeys([kinds] if isinstance(kinds, str) else kinds))
    for kind in chosen:
        if kind not in KINDS:
            raise ConfigError(f"importance of weights is {', '.join(KINDS)}; got {kind!r}; {nearest(kind, KINDS)}")
    if not chosen:
        raise ConfigError(f"at least one importance of weights is needed, of {', '.join(KINDS)}; got none")
    return chosen


def of_part(part: Part, kind: str, observations: Observations | None = None, slopes: Slopes | None = None) -> Matrix:
    """Importance of each weight of a part, one row per unit."""
    weight = part.weight.double().cpu().numpy()
    if kind == "magnitude":
        return np.abs(weight)
    if kind in OBSERVED:
        assert observations is not None
        return np.abs(weight) * _scale(part, kind, observations[part.name])
    assert slopes is not None
    gradient = slopes.gradient(part)
    if kind == "gradient":
        return np.abs(gradient)
    change = -gradient * weight
    return np.abs(change + slopes.curvature(part) * weight**2 / 2) if kind == "taylor2" else np.abs(change)


def _scale(part: Part, kind: str, seen: Observation) -> Matrix:
    """Factor of each weight's magnitude, broadcast over units or inputs."""
    if kind == "activation":
        return seen.activation[:, None]
    rms = seen.input_rms
    if isinstance(part.module, TRANSPOSED):
        by_group = rms.reshape(part.module.groups, -1)  # [group, input]; a unit reads the inputs of its group
        units = part.module.out_channels // part.module.groups
        wide = np.repeat(by_group, units, axis=0)
        return np.repeat(wide, int(np.prod(part.module.kernel_size)), axis=1)
    if isinstance(part.module, CONVOLUTIONS):
        by_group = rms.reshape(part.module.groups, -1)
        wide = np.repeat(by_group, part.module.out_channels // part.module.groups, axis=0)
        return np.repeat(wide, int(np.prod(part.module.kernel_size)), axis=1)
    return rms[None, :]


@dataclass(frozen=True, eq=False)
class Slopes:
    """Gradient and Hessian diagonal of the mean loss, by parameter of a module."""

    gradients: Mapping[tuple[int, str], Tensor]
    curvatures: Mapping[tuple[int, str], Tensor]
    exact: bool
    examples: int

    def gradient(self, part: Part) -> Matrix:
        """Gradient at each weight of a part."""
        return self._of(part, self.gradients)

    def curvature(self, part: Part) -> Matrix:
        """Second derivative at each weight of a part."""
        return self._of(part, self.curvatures)

    def _of(self, part: Part, values: Mapping[tuple[int, str], Tensor]) -> Matrix:
        return part.of([values[id(part.module), name] for name in part.names]).cpu().numpy()


def slopes_of(
    model: nn.Module,
    loader: Iterable[Any],
    parts: Sequence[Part],
    options: RunOptions,
    *,
    second: bool = False,
    loss: Loss = summed_cross_entropy,
) -> Slopes:
    """Slopes of the mean loss at the weights of parts.

    With `second` also the Hessian's diagonal.

    Raises DataError without true classes, LayerError for weights that the loss does not depend on.
    """
    keys = list(dict.fromkeys((id(part.module), name) for part in parts for name in part.names))
    modules = {id(part.module): part.module for part in parts}
    gradients: dict[tuple[int, str], Any] = dict.fromkeys(keys, 0.0)
    curvatures: dict[tuple[int, str], Any] = dict.fromkeys(keys, 0.0)
    examples, exact = 0, False
    with fixed(model, options.threads, grad=True), _twice(model, second), _leaves(modules.values()) as leaf:
        for number, batch in enumerate(examples_in_batches(loader, options.batch, "gradients of weights")):
            weights = [leaf(*key) for key in keys]
            _check_own(parts, keys, weights)
            exact = sum(weight.numel() for weight in weights) <= EXACT
            value = loss(_logits(model, batch), _labels(batch).to(weights[0].device))
            slopes = torch.autograd.grad(value, weights, create_graph=second, allow_unused=True)
            for key, slope in zip(keys, slopes, strict=True):
                if slope is None:
                    raise LayerError(
                        "gradients of weights need a path from the loss to them; to those of "
                        f"{_layer(parts, key)!r} there is none; choose layers that the logits depend on"
                    )
                gradients[key] = gradients[key] + slope.detach().double()
            if second:
                seed = seeds.integer(options.seed, "curvature", number)
                diagonals = _exact(slopes, weights) if exact else _estimated(slopes, weights, seed)
                for key, diagonal in zip(keys, diagonals, strict=True):
                    curvatures[key] = curvatures[key] + diagonal.double()
            examples += batch.count
    gradient = {key: each / examples for key, each in gradients.items()}
    curvature = {key: each / examples for key, each in curvatures.items()} if second else {}
    return Slopes(gradient, curvature, exact or not second, examples)


def _logits(model: nn.Module, batch: Batch) -> Float[Tensor, "example logit"]:
    return forward(model, pick(batch.inputs, torch.arange(batch.count)))


def _labels(batch: Batch) -> Tensor:
    if batch.labels is None:
        raise DataError(
            "importance by the loss needs true labels; the loader gives inputs alone; give (inputs, labels)"
        )
    return batch.labels


@contextmanager
def _twice(model: nn.Module, second: bool) -> Iterator[None]:
    """Kernels that can be differentiated, twice with `second`."""
    with ExitStack() as stack:
        stack.enter_context(unfused())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        for module in model.modules():
            if second and isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
                stack.enter_context(unrolled(module))
        yield


@contextmanager
def _leaves(modules: Iterable[nn.Module]) -> Iterator[Callable[[int, str], Tensor]]:
    """Leaves in the place of parameters, found by module and name."""
    own = list(modules)
    inner = [part for module in own for part in module.modules()]
    known = {id(module): module for module in own}

    def leaf(module: int, name: str) -> Tensor:
        owner, _, last = name.rpartition(".")
        value: Tensor = getattr(known[module].get_submodule(owner), last)
        return value

    with replaced(dict.fromkeys(inner)):
        yield leaf


def _exact(slopes: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """Second derivative of each weight, one backward pass each."""
    diagonals = []
    for slope, weight in zip(slopes, weights, strict=True):
        diagonal = torch.zeros_like(weight).reshape(-1)
        if slope.requires_grad:
            for place, entry in enumerate(slope.reshape(-1)):
                (row,) = torch.autograd.grad(entry, weight, retain_graph=True, allow_unused=True)
                diagonal[place] = 0 if row is None else row.reshape(-1)[place]
        diagonals.append(diagonal.reshape(weight.shape).detach())
    return diagonals


def _estimated(slopes: Sequence[Tensor], weights: Sequence[Tensor], seed: int) -> list[Tensor]:
    """Mean of v * (H v) over random signs v."""
    generator = torch.Generator().manual_seed(seed)
    sums = [torch.zeros_like(weight) for weight in weights]
    for draw in range(DRAWS):
        signs = [(torch.randint(0, 2, weight.shape, generator=generator) * 2 - 1).to(weight) for weight in weights]
        product = sum((slope * sign).sum() for slope, sign in zip(slopes, signs, strict=True))
        assert isinstance(product, Tensor)
        last = draw == DRAWS - 1
        rows = torch.autograd.grad(product, list(weights), retain_graph=not last, allow_unused=True)
        for place, (row, sign) in enumerate(zip(rows, signs, strict=True)):
            if row is not None:
                sums[place] = sums[place] + (row * sign).detach()
    return [each / DRAWS for each in sums]


def _check_own(parts: Sequence[Part], keys: Sequence[tuple[int, str]], weights: Sequence[Tensor]) -> None:
    """Raise LayerError for weights that are computed from others."""
    for key, weight in zip(keys, weights, strict=True):
        module = next(part.module for part in parts if id(part.module) == key[0])
        if not weight.requires_grad or hasattr(module, "parametrizations"):
            raise LayerError(
                f"gradients are those of parameters; the weights of {_layer(parts, key)!r} are computed from others "
                "(weight norm, spectral norm, a pruning mask); fold them first, or name other layers"
            )


def _layer(parts: Sequence[Part], key: tuple[int, str]) -> str:
    return next(part.name for part in parts if id(part.module) == key[0])
