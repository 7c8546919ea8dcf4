"""Shapes in annotations are checked while the tests run; shared fixtures."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import tests.checking

ROOT = Path(__file__).parent.parent

# Compiled modules are kept, whatever the environment says: two processes collect the same 300 files and start a hundred
# others, and compiling them anew takes a minute in all.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

tests.checking.check_shapes(ROOT / "ndg")

settings.register_profile("ndg", deadline=None)  # no test is about time
settings.load_profile("ndg")

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background, where tests of Ctrl-C would wait
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Tests that use the shared session of Ray are marked; files with it run first, then those with many slow tests.

    With several processes a long file that begins last would leave all but one of them idle.
    """
    for item in items:
        if "ray_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ray)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (not asks_for_ray(item.path), -slow[item.path]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A process takes a file at a time, but all files with Ray are one piece of work.

    Their tests wait for other processes half of the time, and another process computes meanwhile.
    """
    from xdist.scheduler import LoadFileScheduling

    class RayInOneProcess(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "ray" if asks_for_ray(ROOT / file) else file

    return RayInOneProcess(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish():
    """What collecting has made stays to the end: the garbage collector does not look at it again and again."""
    gc.collect()
    gc.freeze()


MESSAGES = logging.getLogger("ndg")
TORCH_THREADS = torch.get_num_threads()
AT_IMPORT = (MESSAGES.level, MESSAGES.propagate, tuple(MESSAGES.handlers))


@pytest.fixture(autouse=True)
def messages():
    """Messages go where they go in a program that imports ndg, whatever commands ran in this process before."""
    MESSAGES.setLevel(AT_IMPORT[0])
    MESSAGES.propagate = AT_IMPORT[1]
    MESSAGES.handlers[:] = AT_IMPORT[2]


@pytest.fixture(autouse=True)
def threads():
    """Every test computes with the threads that the process began with, whatever ran before.

    A benchmark sets its own number; two threads in each of two processes wait for each other, ten times as long as they
    compute.
    """
    if torch.get_num_threads() != TORCH_THREADS:
        torch.set_num_threads(TORCH_THREADS)


@pytest.fixture
def ray_session():
    """One Ray session of two CPUs for all tests that ask for it; executors find it running and leave it so."""
    import ray

    if not ray.is_initialized():
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            object_store_memory=256 << 20,
        )
    return ray


def pytest_runtest_setup(item):
    """The session of Ray ends before the first file without it: its processes take 3 % of a core while they wait."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized() and not asks_for_ray(item.path):
        ray.shutdown()


@cache
def asks_for_ray(path: Path) -> bool:
    return re.search(r"\bdef \w+\([^)]*\bray_session\b", path.read_text()) is not None


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory):
    """The URI of a MongoDB-protocol server that runs while the tests do, without a database name."""
    from tests.mongo_server import mongo_server

    with mongo_server(tmp_path_factory.mktemp("mongo")) as uri:
        yield uri
