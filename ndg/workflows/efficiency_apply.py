"""Carry out the recommendations of an efficiency report, and measure the smaller network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ndg.compression.curves import coupling
from ndg.compression.smaller import CompressSettings, compress
from ndg.efficiency.result import EfficiencyReport
from ndg.errors import LayerError
from ndg.options import RunOptions
from ndg.results import Result, Row
from ndg.workflows.smaller import Bench, Measured
from ndg.workflows.subject import Subject


@dataclass(frozen=True)
class Applied(Result):
    """The applied recommendations, and both networks on examples of `split`."""

    removed: dict[str, int]
    before: Measured
    after: Measured
    split: str

    def rows(self) -> list[Row]:
        """One row for the original and one for the smaller network.

        Seconds of one batch.
        """
        return [{"network": name, **each.row()} for name, each in (("original", self.before), ("smaller", self.after))]

    def words(self) -> str:
        """Units removed, and what it costs and saves."""
        units = ", ".join(f"{count} of {layer}" for layer, count in self.removed.items())
        accuracy = (
            ""
            if self.before.accuracy is None or self.after.accuracy is None
            else f"accuracy {self.before.accuracy:.4f} before and {self.after.accuracy:.4f} after, "
        )
        return (
            f"Removed {units}: {accuracy}agreement of predictions {self.after.agreement:.4f} on {self.after.examples} "
            f"{self.split} examples, FLOPs {self.after.flops / self.before.flops:.2f}, parameters "
            f"{self.after.parameters / self.before.parameters:.2f}, latency "
            f"{self.after.latency:.2f} of the original."
        )

    def context(self) -> Row:
        removed = [{"layer": layer, "units": units} for layer, units in self.removed.items()]
        return {"removed": removed, "split": self.split}


def apply(subject: Subject, report: EfficiencyReport, options: RunOptions, folder: Path) -> Applied:
    """Remove the recommended units, save the smaller network and measure it.

    Raises LayerError where nothing is recommended that can be removed exactly.
    """
    network, loader = subject.network, subject.loaders["train"]
    known = coupling(network, loader).groups
    wanted = {each.layer: each for each in report.recommendations() if each.layer in known}
    if not wanted:
        raise LayerError(
            "--apply removes recommended units from layers whose units can be removed exactly; there are none; the "
            "report says what reads each layer"
        )
    shares: dict[str | tuple[str, ...], float | int] = {
        layer: each.remove / each.units for layer, each in wanted.items()
    }
    settings = CompressSettings(layers=tuple(wanted))
    smaller = compress(network, loader, units=shares, settings=settings, options=options)
    smaller.save(folder)
    bench = Bench(network, subject, options)
    before, after = bench.measure(network), bench.measure(smaller.network)
    removed = {layer.layer: len(layer.removed) for layer in smaller.layers}
    return Applied(removed, before, after, subject.held_out)
