"""A module that exists while it is looked at: what a network computes inside another module, made visible at a path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class Virtual(nn.Identity):
    """What passes here is what the owner would have computed anyway; a hook sees it and may change it."""


@contextmanager
def standing(owner: nn.Module, name: str) -> Iterator[Virtual]:
    """A `Virtual` among the parts of its owner, under that name; the same one for whoever asks again meanwhile.

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
    """The one that stands there under the first of these names that has one, if any does."""
    found = (owner._modules.get(name) for name in names)
    return next((module for module in found if isinstance(module, Virtual)), None)


@contextmanager
def running(module: nn.Module, forward: object) -> Iterator[None]:
    """While it lasts a module runs in another way that gives the same; a module that does so already is left alone."""
    if "forward" in vars(module):
        yield
        return
    object.__setattr__(module, "forward", forward)
    try:
        yield
    finally:
        object.__delattr__(module, "forward")
