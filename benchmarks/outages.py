"""Records of the run log that servers, power cuts and many writers may lose: parts of `benchmarks.runs`."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.frame import Figure
from ndg import cli, runs
from ndg.config import Experiment
from ndg.runs import record, transfer
from ndg.runs.run import Run

EXPERIMENT = Experiment(name="digits_mlp", seed=3)
OPTIONS = "ndg?serverSelectionTimeoutMS=500&connectTimeoutMS=500&socketTimeoutMS=2000"
AGE = 0.2
"""Seconds after which a record must survive a power cut."""

MANY = """
import sys
from ndg import runs
from ndg.config import Experiment
for _ in range(int(sys.argv[2])):
    with runs.start(None, "train", Experiment(name="digits_mlp", seed=3), sys.argv[1]) as run:
        for epoch in range(int(sys.argv[3])):
            run.metric({"epoch": epoch})
"""

TIMED = """
import os, sys, time
from ndg import runs
from ndg.config import Experiment
with runs.start(None, "train", Experiment(name="digits_mlp", seed=3), sys.argv[1]) as run:
    print(run.id, flush=True)
    epoch = 0
    while True:
        run.metric({"epoch": epoch})
        os.write(1, b"%d %f\\n" % (epoch, time.monotonic()))
        epoch += 1
"""


class Server:
    """An nx-27017 on a port of loopback, which can be ended, killed, frozen and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.uri = f"mongodb://127.0.0.1:{self.port}/{OPTIONS}"
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

        command = [sys.executable, "-m", "nx_27017.nx_27017", "--host", "127.0.0.1", "-p", str(self.port)]
        command += ["--data-dir", str(self._folder / "data"), "--log-file", str(self._folder / "log")]
        command += ["--pid-file", str(self._folder / "pid")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with MongoClient(self.uri) as client:
            for _ in range(60):
                try:
                    client.admin.command("ping")
                    return
                except PyMongoError:
                    time.sleep(0.2)
        raise RuntimeError("nx-27017 did not start")

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


@contextmanager
def server(started: bool = True) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        nx = Server(Path(folder))
        try:
            if started:
                nx.start()
            yield nx
        finally:
            nx.end()


def outages(seconds: float, quick: bool) -> Iterator[Figure]:
    """Rows that a server lacks after it was away for some seconds."""

    def ended(nx: Server) -> None:
        nx.end()
        time.sleep(seconds)
        nx.start()

    def killed(nx: Server) -> None:
        nx.end(signal.SIGKILL)
        time.sleep(seconds)
        nx.start()

    def frozen(nx: Server) -> None:
        nx.send(signal.SIGSTOP)
        time.sleep(seconds)
        nx.send(signal.SIGCONT)

    def never_back(nx: Server) -> None:
        nx.end(signal.SIGKILL)
        time.sleep(seconds / 2)

    def absent(nx: Server) -> None:
        time.sleep(seconds / 2)
        nx.start()

    lost = count = 0
    kinds = (never_back,) if quick else (ended, killed, frozen, never_back, absent)
    for disturb in kinds:
        with server(started=disturb is not absent) as nx, tempfile.TemporaryDirectory() as root:
            with runs.start(nx.uri, "train", EXPERIMENT, root, beat=0.1) as run:
                for epoch in range(50):
                    run.metric({"epoch": epoch})
                disturb(nx)
                for epoch in range(50, 100):
                    run.metric({"epoch": epoch})
            if disturb is never_back:
                nx.start()
                with runs.open(nx.uri) as log:
                    log.adopt(root)
            with closing(runs.connect(nx.uri)) as store:
                documents = store.find({"_id": run.id})
            rows = [row["epoch"] for row in documents[0]["metrics"]] if documents else []
            whole = bool(documents) and not record.damage(documents[0]) and documents[0]["status"] == "COMPLETED"
            lost += len(set(range(100)) - set(rows)) if whole else 100
            count += 100
    names = ", ".join(kind.__name__ for kind in kinds)
    yield "outage_lost", lost, f"of {count} rows; server {names} ({seconds:g} s)"


def writers(processes: int, records: int) -> Iterator[Figure]:
    """Rows that several processes wrote to one file at once, and that it lacks or has twice."""
    each = 4
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", MANY, folder, str(each), str(records // each)]
        started = [subprocess.Popen(words) for _ in range(processes)]
        for process in started:
            process.wait()
        with closing(runs.connect(Path(folder) / "ndg.db")) as store:
            documents = store.find()
    rows = Counter((document["_id"], row["epoch"]) for document in documents for row in document["metrics"])
    total = processes * each * (records // each)
    yield "writers_lost", total - len(rows), f"of {total} rows of {processes} processes"
    yield "writers_doubled", sum(rows.values()) - len(rows), f"of {total} rows of {processes} processes"


def power_cut(seconds: float) -> Iterator[Figure]:
    """Rows older than 0.2 s that are gone after the file system was shut down without writing."""
    with tempfile.TemporaryDirectory() as folder:
        image, place = Path(folder) / "disk", Path(folder) / "mounted"
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(64_000_000)
        mount = ["mount", "-o", "loop", str(image), str(place)]
        if not (_works(["mkfs.ext4", "-q", str(image)]) and _works(mount)):
            print(
                "power_cut_lost is left out: no file system can be mounted from a file here (it needs root)", flush=True
            )
            return
        try:
            with subprocess.Popen(
                [sys.executable, "-c", TIMED, str(place)], stdout=subprocess.PIPE, text=True
            ) as writer:
                assert writer.stdout is not None
                id = writer.stdout.readline().strip()
                time.sleep(seconds)
                descriptor = os.open(place, os.O_RDONLY)
                cut = time.monotonic()
                try:
                    fcntl.ioctl(descriptor, 0x8004587D, (2).to_bytes(4, "little"))  # EXT4_IOC_SHUTDOWN, no log flush
                except OSError as error:
                    print(f"power_cut_lost is left out: the file system cannot be shut down here ({error})", flush=True)
                    return
                finally:
                    os.close(descriptor)
                    writer.kill()
                said = [line.split() for line in writer.stdout.read().splitlines()[:-1]]
            _works(["umount", str(place)])
            if not _works(mount):
                raise RuntimeError("the file system cannot be mounted again")
            document = record.read(place / id)
            rows = len(document["metrics"]) if document else 0
            old = [int(epoch) for epoch, moment in said if float(moment) < cut - AGE]
            yield "power_cut_lost", max(0, len(old) - rows), f"of {len(old)} rows older than {AGE} s"
        finally:
            _works(["umount", str(place)])


def logging_share(quick: bool) -> Iterator[Figure]:
    """Time of the main thread in logging calls, over the wall time of the runs of `make demo`."""
    spent = [0.0]

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return work(*words, **named)
            finally:
                spent[0] += time.perf_counter() - begun

        return call

    names = ("metric", "result", "artefact", "__enter__", "__exit__")
    before = {name: getattr(Run, name) for name in names}
    configs = ["digits_mlp"] if quick else ["digits_mlp", "digits_cnn", "digits_vit"]
    smoke = ["--smoke"] if quick else []
    try:
        for name, work in before.items():
            setattr(Run, name, timed(work))
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            for command in ("train",) if quick else ("train", "align"):
                if cli.main([command, *configs, *smoke, "--runs", folder, "-q"]):
                    raise RuntimeError(f"ndg {command} failed")
            wall = time.perf_counter() - begun
    finally:
        for name, work in before.items():
            setattr(Run, name, work)
    yield "logging_share", spent[0] / wall, f"of {wall:.0f} s of {' '.join(configs)}"


def round_trips() -> Iterator[Figure]:
    """Whether runs that are copied from each kind of store into each other come back as they were."""
    with tempfile.TemporaryDirectory() as root, server() as nx:
        for seed in (1, 2):
            with runs.start(
                None, "train", Experiment(name="digits_mlp", seed=seed), Path(root) / "runs", tags=["x"]
            ) as run:
                for epoch in range(600):
                    run.metric({"epoch": epoch, "loss": 1 / (epoch + 1), "per layer": [epoch, None]})
                run.result("train", {"größe (50%)": {"1": True}, "large": 2**62, "list": [[1], {}, None]})
        address = nx.uri.replace("/ndg?", "/{}?")
        kinds = {"file": f"{root}/{{}}.db", "memory": f"memory://{root}{{}}", "server": address}
        with runs.open(Path(root) / "runs") as log:
            expected = log.store.find(sort="_id")
            equal = True
            for first, start in kinds.items():
                with runs.open(start.format(f"{first}0")) as source:
                    transfer.copy(log, source)
                    for second, end in kinds.items():
                        with runs.open(end.format(f"{first}{second}")) as target:
                            transfer.copy(source, target)
                            equal &= target.store.find(sort="_id") == expected
    yield "round_trip_equal", float(equal), f"from each of {', '.join(kinds)} into each"


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
