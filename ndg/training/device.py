"""Device, threads and random generators of a training."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ndg.errors import ConfigError


def device_of(name: str) -> torch.device:
    """Torch device by name. Raises ConfigError if it is missing."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"a device is cpu or cuda; got {name!r}; choose one of them")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda needs a GPU that torch can see; it sees none; train on the device cpu")
    return device


def peak_bytes(device: torch.device) -> int:
    """Peak memory in bytes, of the process or on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reseed(seed: int, device: torch.device) -> None:
    """Seed the generators that networks use in training (dropout)."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def own_threads_and_randomness(threads: int, device: torch.device) -> Iterator[None]:
    """Context with fixed threads and separate random generators."""
    before = torch.get_num_threads()
    devices = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before)
