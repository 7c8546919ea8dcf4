"""Pass of a network under the rules of relevance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ndg.errors import LayerError
from ndg.importance.methods.lrp.ledger import Redirected
from ndg.importance.methods.lrp.rules import RULES, Rules, activation, carries, refused
from ndg.units.gates import CELLS, LAYERS, Ended, Followed, unrolled
from ndg.units.heads import composed, unfused
from ndg.units.virtual import running

OWN = (Redirected, Followed, Ended)


class Relevance(TorchFunctionMode):
    """Context in which gradients of functions follow their rules."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not torch.is_grad_enabled() or not any(map(carries, tree_leaves((args, kwargs)))):
            return function(*args, **kwargs)
        name = getattr(function, "__name__", "")
        if name in RULES:
            rule = RULES[name]
            return function(*args, **kwargs) if rule is None else rule(self._rules, function, *args, **kwargs)
        other = _out_of_place(name)
        if other is not None and isinstance(args[0], Tensor):
            rule, target = RULES[other.__name__], args[0]
            before = (target.clone(), *args[1:])
            result = other(*before, **kwargs) if rule is None else rule(self._rules, other, *before, **kwargs)
            return target.copy_(result)
        result = function(*args, **kwargs)
        if any(map(carries, tree_leaves(result))):
            raise refused(function)
        return result


def _out_of_place(name: str) -> Any:
    """Out-of-place version of an in-place function, if it has a rule."""
    if name.startswith("__i") and name.endswith("__"):
        plain = f"__{name[3:]}"
    elif name.endswith("_") and not name.startswith("__"):
        plain = name[:-1]
    else:
        return None
    function = next((getattr(room, plain) for room in (Tensor, torch, functional) if hasattr(room, plain)), None)
    return function if getattr(function, "__name__", "") in RULES else None


@contextmanager
def prepared(model: nn.Module) -> Iterator[None]:
    """Context with constant parameters and unrolled modules.

    LayerError for a compiled module.
    """
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with unfused(), ExitStack() as stack:
        for path, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
                raise LayerError(
                    f"LRP replaces the gradients of functions, which compiled code does not allow; {path!r} is "
                    "compiled; score the original module"
                )
            if isinstance(module, nn.MultiheadAttention):
                stack.enter_context(composed(module))
            elif isinstance(module, (*LAYERS, *CELLS)):
                stack.enter_context(unrolled(module))
            elif type(module).__module__ == "transformers.activations":
                stack.enter_context(running(module, partial(activation, module.forward)))
        try:
            for parameter in learnt:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in learnt:
                parameter.requires_grad_(True)


def check_functions(logits: Tensor) -> None:
    """Raise LayerError for a custom autograd function on the path to the logits."""
    waiting, seen = [logits.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction) and not any(isinstance(node, own._backward_cls) for own in OWN):
            raise LayerError(
                f"LRP has a rule for each function between a scored layer and the logits; there is none for the "
                f"autograd function {type(node).__name__.removesuffix('Backward')}; score layers after it, or use "
                "method='conductance'"
            )
        waiting.extend(before for before, _ in node.next_functions)
