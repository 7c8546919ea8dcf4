"""Where a training runs: the device, the number of threads, the generators."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ndg.errors import ConfigError


def device_of(name: str) -> torch.device:
    """The device of that name; ConfigError when there is none."""
    try:
        place = torch.device(name)
    except RuntimeError:
        place = torch.device("meta")
    if place.type not in ("cpu", "cuda"):
        raise ConfigError(f"a device is cpu or cuda; got {name!r}; choose one of them")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda needs a GPU that torch can see; it sees none; train on the device cpu")
    return place


def peak_bytes(place: torch.device) -> int:
    """The most memory so far, in bytes: of this process, or on a GPU of torch's tensors."""
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated(place)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reseed(seed: int, place: torch.device) -> None:
    """Seed what networks draw from while they train (dropout)."""
    torch.default_generator.manual_seed(seed)
    if place.type == "cuda":
        with torch.cuda.device(place):
            torch.cuda.manual_seed(seed)


@contextmanager
def own_threads_and_randomness(threads: int, place: torch.device) -> Iterator[None]:
    """A fixed number of threads, since float results depend on it; the caller's threads and generators come back."""
    before = torch.get_num_threads()
    devices = [torch.cuda.current_device() if place.index is None else place.index] if place.type == "cuda" else []
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before)
