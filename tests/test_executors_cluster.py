"""A Ray cluster of several machines: what is sent to each, and what becomes of tasks that lose their worker."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest

from ndg.errors import WorkerError
from ndg.executors import Ray, ray_scheduler
from tests.child import script

pytestmark = [pytest.mark.slow, pytest.mark.ray]

TIMEOUT = 120.0

CLUSTER = """
import json, operator, os, signal, sys, time
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster

from ndg import executors
from ndg.errors import WorkerError

marks = Path(sys.argv[1])


class Shared:
    '''An array, and a mark for each time that it is unpacked.'''

    def __init__(self, array):
        self.array = array

    def __setstate__(self, state):
        self.__dict__.update(state)
        (marks / f"unpacked-{os.getpid()}-{time.monotonic_ns()}").touch()


def here():
    return ray.get_runtime_context().get_node_id()


def place(address):
    '''Where in which mapped file that address lies: the same for all processes that read one copy.'''
    for line in open("/proc/self/maps"):
        span, _, offset, device, inode = line.split()[:5]
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= address < high:
            return [device, int(inode), int(offset, 16) + address - low]


def look(shared, task):
    time.sleep(0.1)
    found = [here(), os.getpid(), place(shared.array.ctypes.data), bool(shared.array.flags.writeable)]
    return [found]


def die_once(shared, task):
    mark = marks / "died"
    if task == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return int(shared.array[0]) ** task


def slowly(shared, task):
    mark = marks / f"{here()}-{os.getpid()}-{task}"
    mark.with_suffix(".begun").touch()
    time.sleep(30 if here() == (marks / "doomed").read_text() else 0.05)
    mark.with_suffix(".ended").touch()
    return np.full(50_000, int(shared.array[0]) ** task)  # large: it stays on its machine until it is asked for


def unfinished(node):
    begun, ended = ({path.stem for path in marks.glob(f"{node}*.{what}")} for what in ("begun", "ended"))
    return begun - ended


def until_one_machine_is_lost(cluster, doomed):
    for task in range(20):
        if task == 8:
            while not unfinished(doomed.node_id):
                time.sleep(0.02)
            cluster.remove_node(doomed, allow_graceful=False)
        yield task


store = {"object_store_memory": 100 << 20}
quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quick, **store}
cluster = Cluster(initialize_head=True, head_node_args=head)
told = {}
try:
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    try:
        executors.ray(timeout=1.0).total(operator.add, 1, range(3), "sums")
    except WorkerError as error:
        told["without a cpu"] = [str(error), ray.is_initialized()]
    cluster.add_node(num_cpus=2, **store)
    doomed = cluster.add_node(num_cpus=2, **store)
    (marks / "doomed").write_text(doomed.node_id)
    shared = Shared(np.full(1 << 18, 3))
    executor = executors.ray(timeout=120.0)
    told["looked"] = executor.total(look, shared, range(40), "look")
    told["unpacked"] = [int(path.name.split("-")[1]) for path in marks.glob("unpacked-*")]
    told["killed worker"] = executor.total(die_once, shared, range(20), "die once")
    told["died"] = (marks / "died").exists()
    total = executor.total(slowly, shared, until_one_machine_is_lost(cluster, doomed), "lose a machine", count=20)
    told["killed machine"] = sorted(set(total.tolist()))
    told["lost"] = len(unfinished(doomed.node_id))
    end = time.monotonic() + 20
    while (machines := sum(node["Alive"] for node in ray.nodes())) > 2 and time.monotonic() < end:
        time.sleep(0.1)
    told["machines"] = machines
finally:
    ray.shutdown()
    cluster.shutdown()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict:
    """Totals on a machine without a CPU, and on a cluster of three machines, of which one was lost."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "marks").mkdir()
    return json.loads(script(CLUSTER, folder / "marks", folder=folder, RAY_USAGE_STATS_ENABLED="0").splitlines()[-1])


def test_a_cluster_without_a_cpu_is_given_up_after_the_time_out(told):
    message, goes_on = told["without a cpu"]
    assert message.startswith(
        "no Ray worker finished a task in 1 s: 2 tasks wait or run, each needs 1 CPU, the cluster has 0"
    )
    assert goes_on


def test_all_workers_of_a_machine_read_one_copy_and_unpack_it_once(told):
    places, workers = defaultdict(set), defaultdict(set)
    for machine, process, place, writeable in told["looked"]:
        assert not writeable
        places[machine].add(tuple(place))
        workers[machine].add(process)
    assert len(places) == 2, "both machines with CPUs took part"
    assert max(map(len, workers.values())) > 1, "several workers of one machine took part, else nothing was proved"
    assert {len(seen) for seen in places.values()} == {1}
    assert len({place[:2] for seen in places.values() for place in seen}) == 2, "each machine has its own copy"
    assert sorted(told["unpacked"]) == sorted(set().union(*workers.values()))


def test_a_killed_worker_costs_time_and_nothing_else(told):
    assert told["died"]
    assert told["killed worker"] == sum(3**task for task in range(20))


def test_a_killed_machine_costs_time_and_nothing_else(told):
    assert told["lost"] > 0, "the machine was killed while it did nothing, so nothing was proved"
    assert told["machines"] == 2
    assert told["killed machine"] == [sum(3**task for task in range(20))]


def sleep(shared: None, task: float) -> int:
    time.sleep(task)
    return 1


def fall(marks: Path, task: int) -> int:
    """Ends its worker as often as there are marks left."""
    for mark in marks.iterdir():
        mark.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return task


@pytest.mark.parametrize("falls", [1, ray_scheduler.TRIES - 1])
def test_a_lost_worker_is_told_once_and_its_task_is_done_again(ray_session, tmp_path, caplog, monkeypatch, falls):
    monkeypatch.setattr(ray_scheduler, "NOTICE", TIMEOUT)  # a busy machine begins tasks late
    for mark in range(falls):
        (tmp_path / str(mark)).touch()
    with caplog.at_level(logging.WARNING, logger="ndg"):
        assert Ray(timeout=TIMEOUT).total(fall, tmp_path, [5], "falls") == 5
    assert not list(tmp_path.iterdir())
    (message,) = caplog.messages
    assert message.startswith("a Ray worker was lost at task 0, which is done again: ")


def test_a_task_that_ends_every_worker_is_given_up(ray_session, tmp_path):
    for mark in range(ray_scheduler.TRIES + 3):
        (tmp_path / str(mark)).touch()
    with pytest.raises(WorkerError, match="gave no answer to task 0, also when it was tried again: Worker"):
        Ray(timeout=TIMEOUT).total(fall, tmp_path, [5], "falls")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.fixture
def hog(ray_session):
    """An actor that holds every CPU of the cluster."""

    @ray_session.remote(num_cpus=2)
    class Hog:
        def ready(self) -> bool:
            return True

    actor = Hog.remote()
    assert ray_session.get(actor.ready.remote())
    yield actor
    ray_session.kill(actor)


def test_a_cluster_that_gives_no_cpu_is_told_of_and_given_up(hog, monkeypatch, caplog):
    monkeypatch.setattr(ray_scheduler, "NOTICE", 0.2)
    with caplog.at_level(logging.WARNING, logger="ndg"), pytest.raises(WorkerError) as caught:
        Ray(timeout=1.0).total(sleep, None, [0.0] * 9, "sleeps")
    assert str(caught.value) == (
        "no Ray worker finished a task in 1 s: 4 tasks wait or run, each needs 1 CPU, the cluster has 2 and 0 free; "
        "raise the time-out, free the cluster, or use the executor 'serial'"
    )
    assert 1 <= len(caplog.messages) <= 3, "each message takes twice as long to come as the one before"
    for message in caplog.messages:
        seconds, rest = message.removeprefix("the Ray cluster has begun no task in ").split(" s: ", 1)
        assert 0.2 <= float(seconds) < 60
        assert rest == "4 wait, each needs 1 CPU, the cluster has 2 and 0 free; it is given up after 1 s"


def test_a_cluster_that_is_freed_in_time_goes_on(ray_session, hog, monkeypatch, caplog):
    monkeypatch.setattr(ray_scheduler, "NOTICE", 0.2)
    freed = []

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            freed.append(record.getMessage())
            ray_session.kill(hog)

    handler = Told()
    logging.getLogger("ndg").addHandler(handler)
    try:
        assert Ray(timeout=TIMEOUT).total(sleep, None, [0.0] * 9, "sleeps") == 9
    finally:
        logging.getLogger("ndg").removeHandler(handler)
    assert freed


def test_tasks_that_take_long_are_no_cluster_without_cpus(ray_session, monkeypatch, caplog):
    assert Ray(timeout=TIMEOUT).total(sleep, None, [0.0] * 4, "workers are started") == 4
    monkeypatch.setattr(ray_scheduler, "NOTICE", 0.5)
    with caplog.at_level(logging.WARNING, logger="ndg"):
        assert Ray(timeout=TIMEOUT).total(sleep, None, [1.5, 1.5, 0.0], "sleeps") == 3
    assert not caplog.messages


def test_time_that_passes_while_tasks_are_read_is_no_silence(ray_session):
    assert Ray(timeout=TIMEOUT).total(sleep, None, [0.0] * 4, "workers are started") == 4

    def read():
        yield 2.0
        time.sleep(1.8)
        yield 0.0

    assert Ray(timeout=1.5, task_cpus=2).total(sleep, None, read(), "sleeps") == 2


def hang(marks: Path, task: int) -> int:
    """Does not end when it is asked to."""
    (marks / str(os.getpid())).touch()
    while True:
        with suppress(KeyboardInterrupt):
            time.sleep(60)


def test_workers_that_hang_are_given_up_and_ended(ray_session, tmp_path):
    with pytest.raises(WorkerError, match="no Ray worker finished a task in 4 s: 1 tasks wait or run, each needs 1 "):
        Ray(timeout=4.0).total(hang, tmp_path, [1], "hangs")
    (worker,) = (int(mark.name) for mark in tmp_path.iterdir())
    end = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < end, "the worker hangs on"
        time.sleep(0.05)


def test_what_no_machine_has_is_named(ray_session, monkeypatch):
    with pytest.raises(WorkerError, match=r"2 tasks wait or run, each needs 3 CPU, the cluster has 2 and \d free; "):
        Ray(timeout=0.3, task_cpus=3).total(sleep, None, [0.0] * 3, "sleeps")
    machines = [{"Alive": True, "Resources": {"CPU": 1.0}}] * 2
    monkeypatch.setattr(ray_session, "nodes", lambda: machines)
    assert ray_scheduler.Needs(2).words().endswith("1 on its largest machine")
    assert "largest" not in ray_scheduler.Needs(1).words()
    assert ray_scheduler.Needs(1, 0.25).slots() == 0


def test_tasks_in_flight_are_bounded_by_what_they_need(ray_session, monkeypatch):
    monkeypatch.setattr(ray_session, "cluster_resources", lambda: {"CPU": 16.0, "GPU": 1.0})
    assert ray_scheduler.Needs(1).slots() == 16
    assert ray_scheduler.Needs(3).slots() == 5
    assert ray_scheduler.Needs(1, 0.25).slots() == 4
