"""Quick runs that show that everything works: on the data at hand, else on small generated files in the same format."""

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
    """The experiment where its data are at hand, else the same on files generated below the folder of the runs.

    Raises DataError when the data are not at hand and nothing like them can be generated.
    """
    reason = data.absent(where.place(experiment).data)
    if reason is None:
        return experiment
    name = experiment.data.name
    if name not in SAMPLES:
        raise DataError(f"{reason}; nothing like them can be generated")
    folder = where.runs / FOLDER / name
    experiment = replace(experiment, data=replace(experiment.data, dir=str(folder)))
    if not _generated(name, folder):
        _generate(name, folder)
    log.warning("%s: %s is not at hand; this run is on generated files in %s", experiment.name, name, folder)
    return experiment


def _generate(name: str, folder: Path) -> None:
    """Write the files of a data set into a folder that is there whole or not at all, and replaces one that is not whole
    or not marked."""
    part = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
    try:
        SAMPLES[name](part, 0)
        try:
            part.rename(folder)
        except OSError:
            if not _generated(name, folder):  # else another process has just made the same
                shutil.rmtree(folder, ignore_errors=True)
                part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _generated(name: str, folder: Path) -> bool:
    """Whether a folder holds all files of a data set, marked as generated."""
    return (folder / MARKER).is_file() and data.absent(Data(name=name, dir=str(folder))) is None
