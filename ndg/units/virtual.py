"""Temporary modules for inner values of a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class Virtual(nn.Identity):
    """Passes on an inner value of its owner, for hooks."""


@contextmanager
def standing(owner: nn.Module, name: str) -> Iterator[Virtual]:
    """Add a `Virtual` under that name, or yield the present one."""
    present = owner._modules.get(name)
    if isinstance(present, Virtual):
        yield present
        return
    virtual = Virtual().train(owner.training)
    owner._modules[name] = virtual
    try:
        yield virtual
    finally:
        del owner._modules[name]


def virtual_of(owner: nn.Module, *names: str) -> Virtual | None:
    """The first virtual module under these names, or None."""
    modules = (owner._modules.get(name) for name in names)
    return next((module for module in modules if isinstance(module, Virtual)), None)


@contextmanager
def running(module: nn.Module, forward: object) -> Iterator[None]:
    """Replace the forward of a module, unless it is replaced already."""
    if "forward" in vars(module):
        yield
        return
    object.__setattr__(module, "forward", forward)
    try:
        yield
    finally:
        object.__delattr__(module, "forward")
