"""A Ray cluster of two nodes on this machine, one of which is killed while it counts; run by test_cluster.py.

Prints the implications found in one process, those found on the cluster, and how many tasks were begun and not ended.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster

from ndg import executors
from ndg.bits.matrix import BitMatrix
from ndg.mining import counters, miner
from ndg.nodes import LayerUnits, NodeSpace

MARKS = Path(sys.argv[1])


def slowly(mining, tiles):
    """Task of a worker, with marks at start and end; never ends on the doomed node."""
    node = ray.get_runtime_context().get_node_id()
    mark = MARKS / f"{node}-{os.getpid()}-{tiles[0]}"
    mark.with_suffix(".begun").touch()
    time.sleep(10 if node == (MARKS / "doomed").read_text() else 0.1)
    found = miner.mine_on_one_core(mining, tiles)
    mark.with_suffix(".ended").touch()
    return found


def unfinished(node):
    """Marks of tasks that this node started and did not finish."""
    begun, ended = ({path.stem for path in MARKS.glob(f"{node}*.{what}")} for what in ("begun", "ended"))
    return begun - ended


def facts(implications):
    columns = (implications.antecedents, implications.consequents, implications.exceptions)
    return [column.tolist() for column in columns]


def main():
    values = np.random.default_rng(0).random((640, 240)) < 0.4
    values[:, ::2] |= values[:, 1::2]
    bits = BitMatrix.from_bool(values, NodeSpace(0, (LayerUnits("x", 240),)))
    miner.TASKS = 12
    counters.EDGE = 24
    alone = facts(miner.find(bits, alpha=2))

    store = {"object_store_memory": 100 << 20, "include_dashboard": False}
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": quick, **store})
    try:
        doomed = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        (MARKS / "doomed").write_text(doomed.node_id)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        executor = executors.ray(timeout=120.0)

        def total(work, shared, tasks, label, **how):
            def until_one_node_is_lost():
                for number, task in enumerate(tasks):
                    if number == 4:
                        while not unfinished(doomed.node_id):
                            time.sleep(0.02)
                        cluster.remove_node(doomed, allow_graceful=False)
                    yield task

            return executor.total(slowly, shared, until_one_node_is_lost(), label, **how)

        together = facts(miner.find(bits, alpha=2, total=total))
    finally:
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps({"alone": alone, "together": together, "lost": len(unfinished(doomed.node_id))}))


if __name__ == "__main__":
    main()
