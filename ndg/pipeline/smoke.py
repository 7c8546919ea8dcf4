"""Quick runs that show that everything works: on the data at hand, else on small generated files in the same format."""

from __future__ import annotations

from dataclasses import replace

from ndg import data
from ndg.config import Experiment
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
    if data.absent(experiment.data) is not None:
        folder.mkdir(parents=True, exist_ok=True)
        SAMPLES[name](folder, 0)
    log.warning("%s: %s is not at hand; this run is on generated files in %s", experiment.name, name, folder)
    return experiment
