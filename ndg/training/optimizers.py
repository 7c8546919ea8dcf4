"""AdamW and SGD by torch's fused kernels.

Their steps are those of `torch.optim` with `fused=True`, to the last bit. The classes of `torch.optim` import torch's
compiler, which takes longer than the training of a small network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

Slots = dict[str, Tensor]


class Optimizer(ABC):
    """Groups of parameters with their learning rates, and the state of each parameter.

    `after_step` are functions that are called after each step.
    """

    slots: tuple[str, ...] = ()
    """Names of the tensors that are kept for a parameter."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        self.param_groups = [{"lr": 0.0, **group} for group in groups]
        self.state: defaultdict[Tensor, Slots] = defaultdict(dict)
        self.after_step: list[Callable[[], None]] = []
        self._parameters = [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update the parameters that have gradients."""
        with torch.no_grad():
            for group in self.param_groups:
                for parameters in _alike(parameter for parameter in group["params"] if parameter.grad is not None):
                    self._update(parameters, group["lr"])
        for call in self.after_step:
            call()

    @abstractmethod
    def _update(self, parameters: list[Tensor], rate: float) -> None:
        """Update parameters of one device and type."""

    def state_dict(self) -> dict[str, dict[int, Slots]]:
        """Tensors of each parameter, by its number."""
        numbers = {parameter: number for number, parameter in enumerate(self._parameters)}
        return {"state": {numbers[parameter]: dict(slots) for parameter, slots in self.state.items() if slots}}

    def load_state_dict(self, state: Mapping[str, Mapping[int, Mapping[str, Tensor]]]) -> None:
        """Restore the tensors of `state_dict`.

        Raises ValueError for those of other parameters.
        """
        loaded: defaultdict[Tensor, Slots] = defaultdict(dict)
        for number, slots in state["state"].items():
            parameter = self._parameters[number] if 0 <= number < len(self._parameters) else torch.empty(0)
            for name, value in slots.items():
                if name not in self.slots or len(slots) != len(self.slots):
                    raise ValueError(f"parameter {number} has {', '.join(self.slots) or 'no tensors'}; got {name}")
                single = name == STEP
                if tuple(value.shape) != (() if single else tuple(parameter.shape)):
                    raise ValueError(f"{name} of parameter {number} has another shape, {tuple(value.shape)}")
                kind = torch.float32 if single else parameter.dtype
                loaded[parameter][name] = value.to(parameter.device, kind)
        self.state = loaded


STEP, MEAN, SQUARE, MOMENTUM = "step", "exp_avg", "exp_avg_sq", "momentum_buffer"


class AdamW(Optimizer):
    """AdamW (Loshchilov & Hutter 2019)."""

    slots = (STEP, MEAN, SQUARE)

    def __init__(self, groups: Iterable[dict[str, Any]], weight_decay: float) -> None:
        super().__init__(groups)
        self._weight_decay = weight_decay

    def _update(self, parameters: list[Tensor], rate: float) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                count = torch.zeros((), dtype=torch.float32, device=parameter.device)
                mean, square = torch.zeros_like(parameter), torch.zeros_like(parameter)
                self.state[parameter] = {STEP: count, MEAN: mean, SQUARE: square}
        steps, means, squares = ([self.state[parameter][name] for parameter in parameters] for name in self.slots)
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters,
            _gradients(parameters),
            means,
            squares,
            [],
            steps,
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self._weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class SGD(Optimizer):
    """Gradient descent with momentum and weight decay."""

    def __init__(self, groups: Iterable[dict[str, Any]], momentum: float, weight_decay: float) -> None:
        super().__init__(groups)
        self.slots = (MOMENTUM,) if momentum else ()
        self._momentum, self._weight_decay = momentum, weight_decay

    def _update(self, parameters: list[Tensor], rate: float) -> None:
        new = {parameter for parameter in parameters if self.slots and not self.state[parameter]}
        for parameter in new:
            self.state[parameter] = {MOMENTUM: torch.empty_like(parameter)}
        for first in (True, False):
            if some := [parameter for parameter in parameters if (parameter in new) == first]:
                torch._fused_sgd_(
                    some,
                    _gradients(some),
                    [self.state[parameter][MOMENTUM] for parameter in some] if self.slots else [],
                    weight_decay=self._weight_decay,
                    momentum=self._momentum,
                    lr=rate,
                    dampening=0.0,
                    nesterov=False,
                    maximize=False,
                    is_first_step=first,
                )


def _alike(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Parameters by device and type, which a fused kernel needs to be one."""
    alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:
        alike.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    return list(alike.values())


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
