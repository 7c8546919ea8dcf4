"""What two Ray workers gain over one process: `gain`, for the benchmarks whose work is shared out in tasks.

    python -m benchmarks.ray_gain [--json FILE] [--quick]

counts what a 12-layer ViT predicts: forward passes and little else. `--quick`: two layers, four batches, one round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.frame import Figures, parser, run
from benchmarks.timing import median_seconds
from ndg.executors import Ray, Serial

WORKERS = 2
ROUNDS = 3


@dataclass(frozen=True)
class Gain:
    """Median seconds of one total, side by side; Ray had its session and its workers before the clock ran.

    `equal` is whether Ray found the same integers as one process on one thread; `equal_threads` the same of one process
    on two threads, on which floats, and so a prediction at a tie, may depend.
    """

    serial: float
    serial_two_threads: float
    ray: float
    equal: bool
    equal_threads: bool
    tasks: int
    rounds: int

    @property
    def ratio(self) -> float:
        """Times as fast as one process on one thread."""
        return self.serial / self.ray

    def figures(self) -> Figures:
        """Figures of `benchmarks.frame`."""
        how = f"s, median of {self.rounds} rounds of {self.tasks} tasks"
        return {
            "ray_equals_serial": (self.equal, "the same integers (1: yes)"),
            "ray_gain_two_cores": (self.ratio, "times as fast as one process on one thread; session started before"),
            "serial_two_threads_gain": (
                self.serial / self.serial_two_threads,
                "the same of one process on two threads",
            ),
            "ray_two_workers_seconds": (self.ray, how),
            "serial_one_thread_seconds": (self.serial, how),
            "serial_two_threads_seconds": (self.serial_two_threads, how),
        }


def threaded(shared: Any, threads: int) -> Any:
    """The same study on so many threads, where it says on how many it runs."""
    known = is_dataclass(shared) and "threads" in {field.name for field in fields(shared)}
    return replace(shared, threads=threads) if known else shared


def gain(
    work: Callable[[Any, Any], Any],
    shared: Any,
    tasks: Sequence[Any],
    *,
    rounds: int = ROUNDS,
    with_threads: Callable[[Any, int], Any] = threaded,
) -> Gain:
    """One process on one torch thread, one on two, and two Ray workers of one thread each, in turns.

    `with_threads(shared, n)` is what the work shares when it runs on n threads. Sending it to the workers is timed.
    """
    found: dict[str, Any] = {}
    alone, two = with_threads(shared, 1), with_threads(shared, 2)
    executor = Ray(cpus=WORKERS, timeout=600.0)

    def serial(name: str, given: Any, threads: int) -> Callable[[], None]:
        def call() -> None:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                found[name] = Serial().total(work, given, tasks, name, count=len(tasks))
            finally:
                torch.set_num_threads(before)

        return call

    def ray() -> None:
        found["ray"] = executor.total(work, alone, tasks, "ray", count=len(tasks))

    with executor.session():
        calls = {"serial": serial("serial", alone, 1), "two": serial("two", two, 2), "ray": ray}
        seconds = median_seconds(calls, rounds)
    return Gain(
        serial=seconds["serial"],
        serial_two_threads=seconds["two"],
        ray=seconds["ray"],
        equal=found["serial"] == found["ray"],
        equal_threads=found["serial"] == found["two"],
        tasks=len(tasks),
        rounds=rounds,
    )


@dataclass(frozen=True)
class Counts:
    """How often each class was predicted."""

    by_class: tuple[int, ...]

    def __add__(self, other: Counts) -> Counts:
        return Counts(tuple(a + b for a, b in zip(self.by_class, other.by_class, strict=True)))


def predicted(model: nn.Module, batch: Tensor) -> Counts:
    """What a network predicts for a batch."""
    with torch.no_grad():
        logits = model(batch)
    return Counts(tuple(torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1]).tolist()))


def figures(quick: bool = False) -> Figures:
    """The gain of counting the predictions of a ViT."""
    from ndg.config.networks import ViT
    from ndg.models import build

    model = build(ViT(depth=2 if quick else 12, width=192, heads=3, patch=4), (3, 32, 32), 10, seed=0)
    images = torch.randn(4 if quick else 24, 32, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return gain(predicted, model, list(images), rounds=1 if quick else ROUNDS).figures()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    return run({"ray gain": partial(figures, options.quick)}, options)


if __name__ == "__main__":
    raise SystemExit(main())
