"""An alignment on both cores against one, over the forward passes that it needs, and against its estimate.

MNIST needs NDG_DATA. Each alignment runs in a process of its own, serial and threads in turn, on a network that is
trained once. The tables of both must be equal to the byte.

    python -m benchmarks.align [--json FILE] [--quick]      # quick: digits
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.frame import Figure, WrongResultError, parser, run
from ndg.allocation import keep_blocks

ROOT = Path(__file__).parent.parent
CHILD = "import sys, benchmarks.align as align; align.child(*sys.argv[1:])"
TABLES = ("trials.csv", "curves.csv", "interchange.csv", "minimal.csv", "edges_tried.csv", "scores.csv")
QUICK = ["data.limit=600", "trial.graphs=[]", "trial.draws=1", "trial.pool=128", "trial.minimal=10"]
"""Settings of the short alignment on digits."""
BATCHES, PARTS = 20, 10
"""Compute batches of the bare passes, which are timed before and after the alignment, and times of each part."""
OTHER = "start"
"""The stage of everything outside the named ones: imports, reading of the data, writing of the record."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    name, overrides = ("digits_cnn", QUICK) if options.quick else ("mnist_cnn", ["train.batch_size=128"])
    return run({"align": partial(align, name, ["train.epochs=1", *overrides], 1)}, options)


def align(name: str, training: list[str], rounds: int) -> Iterator[Figure]:
    """The gain of threads, the ratio to bare forward passes by stage, and that of the estimate."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        command = [sys.executable, "train_models.py", name, *training, "--runs", str(runs), "--quiet"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        trained = next(path.name for path in runs.glob(f"*-{name}-train-*"))
        found: dict[str, list[dict[str, Any]]] = {"serial": [], "threads": []}
        for number in range(rounds):
            for executor in sorted(found, reverse=bool(number % 2)):
                found[executor].append(_in_child(executor, trained, runs))
        _check_equal([Path(one["folder"]) for both in found.values() for one in both])
        serial, threads = (min(each, key=lambda one: float(one["wall"])) for each in found.values())
        gain = serial["wall"] / threads["wall"]
        yield "align_two_cores_gain", gain, f"{serial['wall']:.1f} s serial, {threads['wall']:.1f} s in threads"
        for stage, cpu in serial["cpu"].items():
            bare, full, part = (serial[key].get(stage, 0) for key in ("bare", "full", "part"))
            about = f"{stage}: {cpu:.2f} s of CPU, {bare:.2f} s bare ({full:.0f} whole passes, {part:.0f} parts)"
            yield f"align_seconds_{stage}", cpu, about
            if bare:
                yield f"align_over_forward_{stage}", cpu / bare, f"{stage}: CPU over that of bare passes"
        total, bare = sum(serial["cpu"].values()), sum(serial["bare"].values())
        yield "align_over_forward", total / bare, f"{total:.1f} s of CPU, {bare:.1f} s of bare forward passes"
        about = f"{threads['estimate']:.1f} s estimated, {threads['wall']:.1f} s taken"
        yield "auto_estimate_ratio", threads["estimate"] / threads["wall"], about


def _in_child(executor: str, name: str, runs: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", CHILD, executor, name, str(runs)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _check_equal(folders: Sequence[Path]) -> None:
    for table in TABLES:
        if len({(folder / table).read_bytes() for folder in folders if (folder / table).exists()}) > 1:
            raise WrongResultError(f"{table} differs between {' and '.join(map(str, folders))}")


def child(executor: str, name: str, runs: str) -> None:
    """Run one alignment and print what it took as JSON. Runs in a process of its own."""
    keep_blocks()
    started, started_cpu = time.perf_counter(), time.process_time()
    import torch

    from ndg.activations.batches import compute_batches, fixed
    from ndg.locations import Locations
    from ndg.workflows import align as workflow
    from ndg.workflows import prepare, targets

    torch.set_num_threads(1)
    where = Locations.choose(runs=runs)
    [target] = targets.find([name], ["extract.threads=1"], where)
    wall, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    estimate = wall + sum(plan.seconds for plan in prepare.plans(target, where, executor))

    began, began_cpu = time.perf_counter(), time.process_time()
    prepared = prepare.Prepared(target, where, "cpu", executor, None)
    network, settings = prepared.subject.network, target.experiment.extract
    batches = list(islice(compute_batches(prepared.subject.loaders["train"], settings.compute_batch), BATCHES))
    wall, cpu = wall + time.perf_counter() - began, cpu + time.process_time() - began_cpu

    def bare() -> tuple[float, float]:
        with fixed(network), torch.inference_mode():
            outputs = [network.latent(network.encoder(batch.inputs)) for batch in batches]
            return _mean(network, [batch.inputs for batch in batches]), _mean(network.decoder, outputs * PARTS)

    before = bare()
    began, began_cpu = time.perf_counter(), time.process_time()
    with counted(settings.compute_batch) as passes:
        record = workflow.run(prepared, target.experiment.criterion.alphas[0])
    wall, cpu = wall + time.perf_counter() - began, cpu + time.process_time() - began_cpu
    full, part = (sum(seconds) / 2 for seconds in zip(before, bare(), strict=True))

    stages = passes.cpu
    stages[OTHER] += cpu - sum(stages.values())
    print(
        json.dumps(
            {
                "folder": str(record.folder),
                "wall": wall,
                "cpu": stages,
                "full": passes.full,
                "part": passes.part,
                "bare": {stage: passes.full[stage] * full + passes.part[stage] * part for stage in stages},
                "estimate": estimate,
            }
        )
    )


class Passes:
    """Seconds of CPU, passes of the whole network, and passes of its part after the layer, by stage."""

    def __init__(self) -> None:
        self.stage = OTHER
        self.cpu: Counter[str] = Counter()
        self.full: defaultdict[str, float] = defaultdict(float)
        self.part: defaultdict[str, float] = defaultdict(float)


@contextmanager
def counted(rows: int) -> Iterator[Passes]:
    """Count the passes of CNNs in all threads, in compute batches of so many rows, by the stage that runs."""
    from torch import nn

    from ndg.models.cnn import ConvNet
    from ndg.workflows.prepare import Prepared

    passes, lock = Passes(), threading.Lock()
    timed, whole, convolution = Prepared.timed, ConvNet.forward, nn.Conv2d.forward

    @contextmanager
    def stage(prepared: Any, name: str) -> Iterator[None]:
        before, started = passes.stage, time.process_time()
        passes.stage = name
        try:
            with timed(prepared, name):
                yield
        finally:
            passes.stage = before
            passes.cpu[name] += time.process_time() - started

    def forward(network: Any, *inputs: Any) -> Any:
        with lock:
            passes.part[passes.stage] += len(inputs[0]) / rows
        return whole(network, *inputs)

    def convolved(module: Any, inputs: Any) -> Any:
        if module.in_channels <= 3:  # the first one: a whole pass
            with lock:
                passes.part[passes.stage] -= len(inputs) / rows
                passes.full[passes.stage] += len(inputs) / rows
        return convolution(module, inputs)

    Prepared.timed, ConvNet.forward, nn.Conv2d.forward = stage, forward, convolved  # type: ignore[method-assign]
    try:
        yield passes
    finally:
        Prepared.timed, ConvNet.forward, nn.Conv2d.forward = timed, whole, convolution  # type: ignore[method-assign]


def _mean(action: Callable[[Any], Any], inputs: Sequence[Any]) -> float:
    """The mean CPU seconds of the passes of these inputs, after a first one that is not counted."""
    action(inputs[0])
    started = time.process_time()
    for each in inputs:
        action(each)
    return (time.process_time() - started) / len(inputs)


if __name__ == "__main__":
    raise SystemExit(main())
