"""The run log: documents of all runs, to query and compare."""

from ndg.runs.begin import begun, resume, start, start_or_resume, unfinished
from ndg.runs.log import Log, open
from ndg.runs.record import RunRecord
from ndg.runs.run import Run
from ndg.runs.store import STORES, Store, connect

__all__ = [
    "Log",
    "Run",
    "RunRecord",
    "STORES",
    "Store",
    "begun",
    "connect",
    "open",
    "resume",
    "start",
    "start_or_resume",
    "unfinished",
]
