"""Extraction that is drawn, interrupted, continued, shared and bounded: always the same bits."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ndg import executors
from ndg.bits.matrix import BitMatrix, Sample
from ndg.errors import BitsError, ConfigError, DataError, LayerError, WorkerError
from ndg.extraction import ReadingSettings, extract
from ndg.options import RunOptions
from tests.activations.networks import CLASSES, Words, batches, conv2d, drawn, made, sentences, vit

ROOT = Path(__file__).parent.parent
N, BATCH = 83, 8
BATCHES, BATCH_1 = RunOptions(batch=BATCH), RunOptions(batch=1)
SERIAL, RAY = RunOptions(batch=BATCH, executor="serial"), RunOptions(batch=BATCH, executor="ray")

CASES = {
    "images": (lambda: made(conv2d), lambda: drawn(N, 1, 6, 6), ["0", "5"], ReadingSettings(channels="mean")),
    "tokens": (lambda: made(vit), lambda: drawn(N, 1, 8, 8), [r".*activation_fn"], ReadingSettings(tokens="every")),
    "words": (lambda: made(Words), lambda: sentences(N), ["dense", "pooled"], ReadingSettings(tokens="every")),
    "median": (lambda: made(conv2d), lambda: drawn(N, 1, 6, 6), ["0"], ReadingSettings(binarizer="median")),
}


def loader(inputs, size=5):
    """Batches with true labels."""
    labels = torch.arange(N) % CLASSES
    if isinstance(inputs, dict):
        return batches(inputs | {"labels": labels}, size)
    return list(zip(inputs.split(size), labels.split(size), strict=True))


@pytest.fixture(params=CASES)
def case(request):
    """A network, the inputs of its examples, layers, and how they are read."""
    build, inputs, layers, settings = CASES[request.param]
    return build(), inputs(), layers, settings


class InterruptionError(Exception):
    pass


def stop_at(model, forward):
    """Raise at the forward pass of that number; the list that comes back counts them."""
    times = []

    def hook(module, arguments, kwargs):
        times.append(1)
        if len(times) == forward:
            raise InterruptionError

    return times, model.register_forward_pre_hook(hook, with_kwargs=True)


@pytest.mark.parametrize("forward", [1, 2, 5, 11])
def test_an_interrupted_extraction_goes_on_where_it_stopped(case, forward, tmp_path):
    model, inputs, layers, settings = case
    given, how = loader(inputs), {"settings": settings, "options": SERIAL}  # passes are counted on one network
    whole = extract(model, given, layers, **how)
    file = tmp_path / "bits"
    fitting = -(-N // BATCH) if settings.binarizer == "median" else 0
    times, handle = stop_at(model, fitting + forward)
    with pytest.raises(InterruptionError):
        extract(model, given, layers, file=file, **how)
    handle.remove()
    times, handle = stop_at(model, -1)
    bits = extract(model, given, layers, file=file, **how)
    handle.remove()
    assert bits == whole
    assert bits.correct == whole.correct
    assert bits.binarizer == whole.binarizer
    left = -(-N // BATCH) - (forward - 1)
    looked = (settings.tokens == "every") + min(forward - 1, 2) if forward > 1 else fitting
    assert len(times) == left + looked
    assert BitMatrix.open(file) == whole
    assert extract(model, given, layers, file=file, **how) == whole


def test_a_process_that_is_killed_costs_only_what_it_had_not_committed(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        from tests.test_extraction_files import CASES, SERIAL, loader
        from ndg.extraction import extract
        model, inputs, layers, settings = CASES["images"]
        model, times = model(), []
        def hook(*_):
            times.append(1)
            if len(times) == 3 + 6:  # three passes probe the network
                os.kill(os.getpid(), signal.SIGKILL)
        model.register_forward_pre_hook(hook)
        extract(model, loader(inputs()), layers, file=sys.argv[1], settings=settings, options=SERIAL)
    """)
    file = tmp_path / "bits"
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    assert BitMatrix.open(file).examples == 5 * BATCH
    build, inputs, layers, settings = CASES["images"]
    model, given = build(), loader(inputs())
    times, handle = stop_at(model, -1)
    bits = extract(model, given, layers, file=file, settings=settings, options=SERIAL)
    handle.remove()
    assert len(times) == 3 + -(-N // BATCH) - 5 + 2
    assert bits == extract(model, given, layers, settings=settings, options=BATCHES)


def test_a_file_of_other_examples_or_of_another_network_is_refused_and_left_as_it_was(tmp_path):
    build, inputs, layers, settings = CASES["images"]
    model, given, file = build(), loader(inputs()), tmp_path / "bits"
    _, handle = stop_at(model, 3 + 4)  # three passes probe the network
    with pytest.raises(InterruptionError):
        extract(model, given, layers, file=file, settings=settings, options=SERIAL)
    handle.remove()
    begun = BitMatrix.open(file)
    other = loader(drawn(N, 1, 6, 6, seed=9))
    for wrong, rows in ((other, "0 to 7"), (given[:4], "20 to 23"), (given[:2], "10 to 23"), ([], "0 to 23")):
        with pytest.raises(
            DataError, match=f"begun with others: its examples {rows} do not come out of this loader; pass"
        ):
            extract(model, wrong, layers, file=file, settings=settings, options=BATCHES)
    same = {"layers": layers, "settings": settings, "options": BATCHES}
    for change in (
        {"settings": replace(settings, channels="max")},
        {"layers": ["0"]},
        {"options": replace(BATCHES, seed=3)},
        {"settings": replace(settings, max_examples=40)},
        {"settings": replace(settings, binarizer="half")},
    ):
        with pytest.raises(BitsError, match="holds bits of another network or of other data"):
            extract(model, given, file=file, **same | change)
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1
    with pytest.raises(BitsError, match="holds bits of another network or of other data"):
        extract(model, given, layers, file=file, settings=settings, options=BATCHES)
    assert BitMatrix.open(file) == begun
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("size", [1, 7, N])
def test_a_choice_of_examples_is_recorded_and_does_not_depend_on_batches(case, size, tmp_path):
    model, inputs, layers, settings = case

    def chosen(size=5, most=30, seed=4, **file):
        how, options = replace(settings, max_examples=most), RunOptions(seed=seed, batch=BATCH)
        return extract(model, loader(inputs, size), layers, **file, settings=how, options=options)

    bits = chosen(size)
    assert bits.sample == Sample(4, N)
    assert chosen() == bits
    assert chosen(seed=5) != bits
    assert chosen(most=N).sample is None
    assert chosen(file=tmp_path / "bits") == bits
    assert BitMatrix.open(tmp_path / "bits").sample == Sample(4, N)


def test_chosen_examples_are_some_of_all_in_their_order():
    build, inputs, layers, settings = CASES["images"]
    bits = [
        extract(build(), loader(inputs()), layers, settings=replace(settings, max_examples=most), options=BATCH_1)
        for most in (30, N)
    ]
    some, whole = (one.to_bool() for one in bits)
    place = 0
    for row in some:
        place += int(np.flatnonzero((whole[place:] == row).all(axis=1))[0]) + 1
    assert bits[0].correct <= 30

    class Stream:
        def __iter__(self):
            return iter(loader(inputs()))

    few = replace(settings, max_examples=30)
    assert extract(build(), Stream(), layers, settings=few, options=BATCH_1) == bits[0]
    with pytest.raises(ConfigError, match="max_examples is at least 1; got 0"):
        extract(build(), Stream(), layers, settings=replace(settings, max_examples=0))
    with pytest.raises(DataError, match="an iterator can be read once"):
        extract(build(), iter(loader(inputs())), like=bits[0], settings=ReadingSettings(max_examples=30))


def test_not_a_number_is_named_by_its_number_in_the_loader():
    build, inputs, layers, settings = CASES["images"]
    spoilt = inputs()
    spoilt[60:] = float("nan")
    with pytest.raises(LayerError, match=r"unit 0 of '0' is NaN at example 6\d"):
        extract(build(), loader(spoilt), layers, settings=replace(settings, max_examples=40), options=BATCHES)


@pytest.mark.parametrize("name", ["words", "median"])
def test_ray_gives_the_same_bits(name, ray_session, tmp_path):
    build, inputs, layers, settings = CASES[name]
    model, given = build(), loader(inputs())
    whole = extract(model, given, layers, settings=settings, options=BATCHES)
    shared = extract(model, given, layers, settings=settings, options=RAY)
    assert shared == whole
    assert shared.correct == whole.correct
    assert (shared.words == whole.words).all()
    by = RunOptions(batch=BATCH, executor=executors.Ray(timeout=120.0))
    assert extract(model, given, layers, file=tmp_path / "bits", settings=settings, options=by) == whole


def test_an_error_in_a_worker_comes_back_and_the_file_can_be_continued(ray_session, tmp_path):
    build, inputs, layers, settings = CASES["images"]
    model, file, spoilt = build(), tmp_path / "bits", inputs()
    spoilt[70] = float("nan")
    with pytest.raises(LayerError, match="is NaN at example 70"):
        extract(model, loader(spoilt), layers, file=file, settings=settings, options=RAY)
    whole = extract(model, loader(inputs()), layers, settings=settings, options=BATCHES)
    assert extract(model, loader(inputs()), layers, file=file, settings=settings, options=RAY) == whole
    with pytest.raises(ConfigError, match="an executor is auto, serial, threads or ray; got 'rya'"):
        extract(model, loader(inputs()), layers, settings=settings, options=RunOptions(executor="rya"))


class Locked(nn.Module):
    def __reduce__(self):
        raise TypeError("cannot be pickled")

    def forward(self, x):
        return x.flatten(1)


def test_a_network_that_cannot_be_sent_says_so(ray_session):
    with pytest.raises(WorkerError, match="by pickle, which failed"):
        extract(nn.Sequential(Locked(), nn.Linear(36, 3)), [drawn(N, 1, 6, 6)], ["0"], options=RAY)


class Deadly(nn.Module):
    """Kills the first process that uses it, except the one that made it."""

    def __init__(self, marker: Path):
        super().__init__()
        self.marker, self.home = marker, os.getpid()

    def forward(self, x):
        if os.getpid() != self.home and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x


def test_a_killed_worker_costs_time_and_no_bit(ray_session, tmp_path):
    build, inputs, layers, settings = CASES["images"]
    model = build()
    whole = extract(model, loader(inputs()), layers, settings=settings, options=BATCHES)
    model.add_module("deadly", Deadly(tmp_path / "marker"))
    assert extract(model, loader(inputs()), layers, settings=settings, options=RAY) == whole
    assert (tmp_path / "marker").exists()


MEMORY = """
    import resource
    import torch
    from torch import nn
    from ndg.extraction import extract

    class Loader:
        def __init__(self, examples):
            self.dataset = range(examples)
        def __iter__(self):
            for start in range(0, len(self.dataset), 256):
                yield torch.randn(256, 4)

    model = nn.Sequential(nn.Linear(4, 8192), nn.ReLU(), nn.Linear(8192, 2))
    for examples in (512, 4096, 12288):
        bits = extract(model, Loader(examples), ["0", "1"])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, bits.words.nbytes)
        del bits
"""


def test_memory_grows_by_the_packed_bits_and_no_more():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(MEMORY)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    (_, _), (peak, bits), (larger, more) = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    assert more - bits == 8192 * (2 * 8192 + 2) // 8
    assert larger - peak < 1.5 * (more - bits)  # as float32 they would take 32 times as much


def test_a_folder_in_place_of_a_file_of_bits_is_named(tmp_path):
    images = drawn(N, 1, 6, 6)
    for read in (BitMatrix.open, lambda path: extract(made(conv2d), loader(images), ["0"], file=path)):
        with pytest.raises(BitsError, match=f"packed bits are one file; {tmp_path} is a folder; name a file in it"):
            read(tmp_path)
