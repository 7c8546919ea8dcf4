"""Cost of checksums: reading with and without them, side by side.

    python -m benchmarks.checksums [--json FILE] [--quick]

Each figure is the share of time that a checksum adds: to mining a file of bits, to loading a checkpoint, to resuming a
training up to its first step, to loading a graph. `share` is of the time on the clock, for which a
user waits, `cpu_share` of the CPU time of all threads. Below are the speeds of the sums and of other checksums.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.frame import Figure, parser, run
from benchmarks.timing import median_seconds
from ndg import checksums, config, models
from ndg.bits.matrix import BitMatrix
from ndg.data.inputs import Form
from ndg.graph.ndg import NDG
from ndg.mining.miner import find
from ndg.models import checkpoint
from ndg.nodes import LayerUnits, NodeSpace
from ndg.training import checkpoints
from ndg.training.step import Learner

FORM = Form.of((1, 28, 28))


def reading(quick: bool) -> Iterator[Figure]:
    """Share of time that checksums add to reading three kinds of files."""
    rounds, scale = (2, 20) if quick else (9, 1)
    draw = np.random.default_rng(0)
    nodes, examples = NodeSpace(10, (LayerUnits("a", 1000),)), 200_000 // scale // 64 * 64
    words = draw.integers(0, 2**64, (len(nodes), examples // 64), dtype=np.uint64)
    settings = config.MLP(widths=[2048 // scale, 2048 // scale], latent=512)
    values = draw.random((2000, 400 // scale))
    space = NodeSpace(2, (LayerUnits("a", 400 // scale - 2),))
    mined = find(BitMatrix.from_bool(values + values[:, :1] > 1, space), alpha=1.2)
    scores = {"gndi": {"measure": "logits", "values": {f"a:{unit}": 0.5 for unit in range(mined.nodes.neurons)}}}
    with tempfile.TemporaryDirectory() as folder:
        names = "bits.ndg", "model.safetensors", "resume.safetensors", "graph.json"
        bits, weights, state, graph = (Path(folder) / name for name in names)
        BitMatrix(nodes, words, examples, np.zeros(1000)).save(bits)
        checkpoint.save(weights, models.build(settings, FORM, 10, 0), settings, FORM, 10, {})
        learner = _learner(settings)
        _step(learner)
        checkpoints.save(state, learner, {}, [])
        NDG(mined, {}, scores).save(graph)
        works: dict[str, tuple[Path, Callable[[bool | None], object]]] = {
            "bits": (bits, lambda verify: find(BitMatrix.open(bits, verify=verify), alpha=50.0)),
            "checkpoint": (weights, lambda verify: checkpoint.load(_summed(weights, verify))),
            "resume": (state, lambda verify: _resume(_summed(state, verify), settings)),
            "graph": (graph, lambda verify: _unverified(verify, partial(NDG.load, graph))),
        }
        for path in (weights, state):
            _without_checksums(path)
        for name, (path, work) in works.items():
            calls = {"on": partial(work, None), "off": partial(work, False)}
            for suffix, clock in {"": time.perf_counter, "_cpu": time.process_time}.items():
                spent = median_seconds(calls, rounds, clock)
                share = f"of the time without, {1e3 * spent['off']:.1f} ms for {path.stat().st_size / 1e6:.1f} MB"
                yield f"{name}_checksum{suffix}_share", spent["on"] / spent["off"] - 1, share


def _learner(settings: config.MLP) -> Learner:
    experiment = config.Experiment(model=settings)
    return Learner.of(models.build(settings, FORM, 10, 0), experiment.train, torch.device("cpu"))


def _resume(path: Path, settings: config.MLP) -> Learner:
    """Build a network and its optimiser, restore their state and take a step, as a training does.

    The file is mapped into memory: only the step reads all of it.
    """
    with checkpoints.reading(path) as saved:
        learner = _learner(settings)
        checkpoints.restore(path, learner, {}, saved)
    _step(learner)
    return learner


def _step(learner: Learner) -> None:
    learner.step(torch.rand(8, *FORM.shape), torch.arange(8) % 10, 0.1)


def _without_checksums(path: Path) -> None:
    """Write a checkpoint again as earlier versions did, without checksums, beside it."""
    tensors, about = checkpoint.read(path)
    save_file(tensors, _summed(path, False), {"ndg": json.dumps(about)})


def _summed(path: Path, verify: bool | None) -> Path:
    """The checkpoint, or the one without checksums beside it if `verify` is False."""
    return path if verify is None else path.with_suffix(".plain")


def _unverified(verify: bool | None, load: Callable[[], object]) -> object:
    """Load a file, without its checksum if `verify` is False."""
    if verify is None:
        return load()
    with patch.object(checksums, "checksum", lambda parts: Anything()):
        return load()


class Anything(str):
    """A checksum that equals every other one."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def speeds(quick: bool) -> Iterator[Figure]:
    """Bytes per second of several checksums of the same words."""
    words = np.random.default_rng(0).integers(0, 2**64, (1000, 200 if quick else 4000), dtype=np.uint64)

    def sums() -> bytes:
        every = checksums.Sums(len(words))
        every.add(words)
        return every.checksum()

    works = {
        "sums": sums,
        "crc32": lambda: zlib.crc32(words),
        "sha256": lambda: hashlib.sha256(words).digest(),
        "blake2b": lambda: hashlib.blake2b(words).digest(),
        "copy": words.copy,
    }
    for name, spent in median_seconds(works, 2 if quick else 9).items():
        yield f"gigabytes_per_second_{name}", words.nbytes / 1e9 / spent, "of words in memory"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    return run({"reading": partial(reading, options.quick), "speeds": partial(speeds, options.quick)}, options)


if __name__ == "__main__":
    raise SystemExit(main())
