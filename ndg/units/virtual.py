"""Temporary modules that make inner values of a network visible at a path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class Virtual(nn.Identity):
    """Passes on an inner value of its owner; hooks can read and change it."""


@contextmanager
def standing(owner: nn.Module, name: str) -> Iterator[Virtual]:
    """Add a `Virtual` to its owner under that name, or yield the one that is there.

    An attribute of that name that is no module, such as a number of heads, stays what it is.
    """
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
    """The virtual module under the first of these names that has one, else None."""
    found = (owner._modules.get(name) for name in names)
    return next((module for module in found if isinstance(module, Virtual)), None)


@contextmanager
def running(module: nn.Module, forward: object) -> Iterator[None]:
    """Replace the forward of a module by an equal one, unless it is replaced already."""
    if "forward" in vars(module):
        yield
        return
    object.__setattr__(module, "forward", forward)
    try:
        yield
    finally:
        object.__delattr__(module, "forward")
