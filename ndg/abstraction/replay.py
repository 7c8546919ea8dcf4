"""Running only the part of a network that an intervention can change.

What is computed before the intervened layer is the same under every intervention. So modules that end before the layer
begins run once, and give what they gave, to the bit, in the passes that follow on the same inputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.trace import find_layer


class Replay:
    """Remembers the outputs of modules before a layer in one pass, and gives them in others.

        replay = Replay(model, "latent")
        with replay.recording(): ...     # a pass
        with replay.replaying(): ...     # a pass on the same inputs, in which the layer's output may be changed

    The modules are those beside the way from the network to the layer, so little is held: of `encoder`, `latent` and
    `decoder` it is the output of `encoder`. A module that has hooks, is called by another of them, or returns other
    things than tensors in tuples, lists and dictionaries is run again.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        self._layer = find_layer(model, layer)
        self._beside = _beside(model, layer, self._layer)
        self._outputs: dict[nn.Module, list[Any]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Remember what the modules give in this pass until the layer begins."""
        outputs: dict[nn.Module, list[Any]] = {}
        running: list[nn.Module] = []
        reached = False

        def layer_begins(module: nn.Module, arguments: Any) -> None:
            nonlocal reached
            reached = True

        def begins(module: nn.Module, arguments: Any) -> None:
            running.append(module)

        def ends(module: nn.Module, arguments: Any, output: Any) -> None:
            running.remove(module)
            if not reached:
                outputs.setdefault(module, []).append(UNKNOWN if running else _copy(output))

        handles = [self._layer.register_forward_pre_hook(layer_begins)]
        for module in self._beside:
            handles += [module.register_forward_pre_hook(begins), module.register_forward_hook(ends)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        known = {module: given for module, given in outputs.items() if not any(one is UNKNOWN for one in given)}
        self._outputs = known if reached else {}

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """In this pass the modules give what they gave; a call beyond those remembered is run."""
        replaced: list[nn.Module] = []
        try:
            for module, outputs in self._outputs.items():
                object.__setattr__(module, "forward", _player(outputs, module.forward))
                replaced.append(module)
            yield
        finally:
            for module in replaced:
                object.__delattr__(module, "forward")


UNKNOWN = object()


def _beside(model: nn.Module, layer: str, target: nn.Module) -> list[nn.Module]:
    """The children of the layer's ancestors that do not hold the layer, can be stood in for, and carry no hooks."""
    names = layer.split(".")
    ancestors = [model.get_submodule(".".join(names[:depth])) for depth in range(len(names))]
    children = dict.fromkeys(child for ancestor in ancestors for child in ancestor.children())
    return [
        child
        for child in children
        if target not in child.modules()
        and not isinstance(child, torch.jit.ScriptModule)
        and "forward" not in vars(child)
        and not any(part._forward_hooks or part._forward_pre_hooks for part in child.modules())
    ]


def _player(outputs: list[Any], run: Callable[..., Any]) -> Callable[..., Any]:
    following = iter(outputs)

    def forward(*arguments: Any, **named: Any) -> Any:
        output = next(following, UNKNOWN)
        return run(*arguments, **named) if output is UNKNOWN else _copy(output)

    return forward


def _copy(output: Any) -> Any:
    """The same structure with copies of its tensors, so that no later change in place reaches what is remembered."""
    if isinstance(output, Tensor):
        return output.clone()
    if output is None or isinstance(output, (bool, int, float, str)):
        return output
    if type(output) in (tuple, list):
        parts = [_copy(part) for part in output]
        return UNKNOWN if any(part is UNKNOWN for part in parts) else type(output)(parts)
    if isinstance(output, dict):
        copied: Any = copy.copy(output)
        for key, part in output.items():
            copied[key] = _copy(part)
            if copied[key] is UNKNOWN:
                return UNKNOWN
        return copied
    return UNKNOWN
