"""Locations of data sets, runs and the run log."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ndg.addresses import check_address
from ndg.config import Experiment
from ndg.config.loading import check_utf8
from ndg.paths import path_of

STORE_FILE = "ndg.db"
MODELS = "models"


@dataclass(frozen=True)
class Locations:
    """Folders of data (None: bundled data only) and runs; the run log."""

    data: Path | None
    runs: Path
    store: str

    @classmethod
    def choose(cls, data: str | None = None, runs: str | None = None, store: str | None = None) -> Locations:
        """The arguments, else NDG_DATA, NDG_RUNS, NDG_STORE, else defaults."""
        data = data or os.environ.get("NDG_DATA")
        folder = Path(runs or os.environ.get("NDG_RUNS") or "runs")
        uri = store or os.environ.get("NDG_STORE") or str(folder / STORE_FILE)
        check_address(uri)
        for what, text in (("the folder of data", data or ""), ("the folder of runs", str(folder)), ("the store", uri)):
            check_utf8(what, text)
            if "://" not in text:
                path_of(text, what)
        return cls(Path(data) if data else None, folder, uri)

    def absolute(self) -> Locations:
        """The same locations as absolute paths, for a process in another folder."""
        store = self.store if "://" in self.store else str(path_of(self.store).absolute())
        data = self.data if self.data is None else self.data.absolute()
        return replace(self, data=data, runs=self.runs.absolute(), store=store)

    def place(self, experiment: Experiment) -> Experiment:
        """The experiment with its folders of data and pretrained networks filled in.

        A pretrained network is named by its folder, or by its name below `models` in the data folder. Folders of data
        become absolute, so that a run finds them from any folder.
        """
        folder = experiment.data.dir or self.data
        folder = None if folder is None else str(path_of(folder, "data.dir").absolute())
        tokenizer = _below(folder, experiment.data.tokenizer)
        experiment = replace(experiment, data=replace(experiment.data, dir=folder, tokenizer=tokenizer))
        name = getattr(experiment.model, "pretrained", None)
        if name:
            experiment = replace(experiment, model=replace(experiment.model, pretrained=_below(folder, name)))
        return experiment


def _below(folder: str | None, name: str | None) -> str | None:
    """The folder `models/NAME` below a folder if it exists, else NAME."""
    if name and folder and not path_of(name).is_dir() and os.path.isdir(Path(folder) / MODELS / name):
        return str(Path(folder) / MODELS / name)
    return name
