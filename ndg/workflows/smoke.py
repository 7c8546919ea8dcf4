"""Data of quick runs: the real files, else small generated ones."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from ndg import data
from ndg.config import Data, Experiment
from ndg.data.releases import MARKER
from ndg.data.samples import SAMPLES
from ndg.errors import DataError
from ndg.locations import Locations
from ndg.progress import log

FOLDER = "samples"


def with_data(experiment: Experiment, where: Locations) -> Experiment:
    """The experiment, on generated files if its data are missing. Raises DataError."""
    reason = data.absent(where.place(experiment).data)
    if reason is None:
        return experiment
    name = experiment.data.name
    if name not in SAMPLES:
        raise DataError(f"{reason}; no generator makes such files")
    folder = where.runs / FOLDER / name
    experiment = replace(experiment, data=replace(experiment.data, dir=str(folder)))
    if not _generated(name, folder):
        _generate(name, folder)
    log.warning("%s: the data %s are missing; this run uses generated files in %s", experiment.name, name, folder)
    return experiment


def _generate(name: str, folder: Path) -> None:
    """Write the files of a data set into a folder, atomically."""
    part = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
    try:
        SAMPLES[name](part, 0)
        try:
            part.rename(folder)
        except OSError:
            if not _generated(name, folder):  # else another process made it meanwhile
                shutil.rmtree(folder, ignore_errors=True)
                part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _generated(name: str, folder: Path) -> bool:
    """Whether a folder holds all generated files of a data set."""
    return (folder / MARKER).is_file() and data.absent(Data(name=name, dir=str(folder))) is None
