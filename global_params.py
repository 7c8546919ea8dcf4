"""Where data, runs and the run log are. Values only; each can be set by the environment instead.

The scripts hand these down; the package `ndg` does not read this file.
"""

import os

DATA_DIR = os.environ.get("NDG_DATA") or None
RUN_DIR = os.environ.get("NDG_RUNS") or "runs"
STORE_URI = os.environ.get("NDG_STORE") or None  # None: the embedded file ndg.db in RUN_DIR
