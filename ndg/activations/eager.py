"""Run compiled and checkpointed parts of networks as plain modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointFunction

_lock, _stack = Lock(), ExitStack()
_inside = 0


@contextmanager
def eager() -> Iterator[None]:
    """Run compiled code eagerly and reentrant checkpoints as plain calls.

    Compiled code may skip hooks that were added later; reentrant checkpoints let no gradient through to single tensors.
    The numbers are those of the plain network.
    """
    global _inside
    with _lock:
        if not _inside:
            _stack.enter_context(_plain_checkpoints())
            if sys.modules.get("torch._dynamo"):  # else nothing was compiled
                _stack.enter_context(torch.compiler.set_stance("force_eager"))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _stack.close()


@contextmanager
def _plain_checkpoints() -> Iterator[None]:
    def apply(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments[1:])  # the first says whether the random state is kept

    CheckpointFunction.apply = staticmethod(apply)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del CheckpointFunction.apply
