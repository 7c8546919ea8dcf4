"""Counterfactual data: written booleans of a layer and the classes they should give.

The file is one safetensors file of arrays and a description, with a digest of both that detects damage.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes
from torch import nn

from ndg import atomic
from ndg.activations.digest import weights_digest
from ndg.errors import CheckpointError, DataError, GraphError, ShapeError
from ndg.graph.ndg import NDG

FORMAT = 1
_KEY = "ndg_counterfactual"


@dataclass(frozen=True)
class Origin:
    """Source of counterfactual data: digests, and the seed of the alternatives."""

    layer: str
    intervention: str
    graph: str
    network: str
    labels: int
    seed: int


@dataclass(frozen=True, eq=False)
class CounterfactualSet:
    """True class t, alternative t', latents and written booleans of each example.

    `examples` are numbers in the loader, `latents` the outputs of the layer. `booleans` are those of the example after
    the intervention D(t, t'), and `named` marks the units that it sets. Sets of equal arrays and origin are equal.
    """

    examples: Int64[np.ndarray, " number"]
    true: Int64[np.ndarray, " example"]
    alternative: Int64[np.ndarray, " example"]
    latents: Float32[np.ndarray, "example unit"]
    booleans: Bool[np.ndarray, "example unit"]
    named: Bool[np.ndarray, "example unit"]
    origin: Origin

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self._arrays.values()}
        if len(lengths) != 1 or self.latents.shape != self.booleans.shape or self.named.shape != self.booleans.shape:
            shapes = {name: column.shape for name, column in self._arrays.items()}
            raise ShapeError(f"counterfactual data must have one row per example and one column per unit; got {shapes}")
        if not len(self):
            raise DataError("counterfactual data need at least one example; got none; check the split")
        labels = self.origin.labels
        classes = np.concatenate([self.true, self.alternative])
        if classes.min() < 0 or classes.max() >= labels or (self.true == self.alternative).any():
            raise DataError(
                f"true and alternative must be two different classes from 0 to {labels - 1}; got {classes.min()} to "
                f"{classes.max()}, the same for {int((self.true == self.alternative).sum())} examples"
            )

    def __len__(self) -> int:
        return len(self.examples)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CounterfactualSet):
            return NotImplemented
        same = (np.array_equal(mine, other._arrays[name]) for name, mine in self._arrays.items())
        return self.origin == other.origin and all(same)

    __hash__ = None  # type: ignore[assignment]

    @property
    def units(self) -> int:
        return self.latents.shape[1]

    def check(self, model: nn.Module, graph: NDG | None = None) -> None:
        """Raise GraphError for another graph, CheckpointError for another network."""
        if graph is not None and graph.digest != self.origin.graph:
            raise GraphError(
                f"counterfactual data go with the graph that they were made with: expected digest "
                f"{self.origin.graph}, got {graph.digest}; make them again with counterfactual_set"
            )
        if (network := weights_digest(model)) != self.origin.network:
            raise CheckpointError(
                f"counterfactual data hold the latents of one network: expected digest {self.origin.network}, got "
                f"{network}; make them again with counterfactual_set, or use the network before further training"
            )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the data atomically, with packed booleans, and return the path."""
        packed = {
            **{name: self._arrays[name] for name in ("examples", "true", "alternative", "latents")},
            "booleans": np.packbits(self.booleans, axis=1),
            "named": np.packbits(self.named, axis=1),
        }
        about = {"format": FORMAT, "units": self.units, "origin": asdict(self.origin)}
        about["sha256"] = _digest(packed, about)
        return atomic.write(path, to_bytes(packed, {_KEY: json.dumps(about)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str], graph: NDG | None = None) -> CounterfactualSet:
        """Read a saved file; DataError if damaged, GraphError for another graph."""
        where = Path(path)
        if not where.is_file():
            raise DataError(f"there is no file {where}; make it with counterfactual_set(...).save")
        try:
            with safe_open(str(where), framework="np") as file:
                packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
                about = json.loads((file.metadata() or {})[_KEY])
            intact = about.pop("sha256") == _digest(packed, about) and about["format"] == FORMAT
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(where, f"{type(error).__name__}: {error}") from error
        if not intact:
            raise _damaged(where, "its digest differs, or its format is not 1")
        bits = {name: np.unpackbits(packed[name], axis=1, count=about["units"]) for name in ("booleans", "named")}
        packed |= {name: values.astype(np.bool_) for name, values in bits.items()}
        data = cls(**packed, origin=Origin(**about["origin"]))
        if graph is not None and graph.digest != data.origin.graph:
            raise GraphError(
                f"{where} goes with the graph that it was made with: expected digest {graph.digest}, the file has "
                f"{data.origin.graph}; make the data again with counterfactual_set"
            )
        return data

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        names = ("examples", "true", "alternative", "latents", "booleans", "named")
        return {name: getattr(self, name) for name in names}


def _digest(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> str:
    state = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, values in sorted(arrays.items()):
        state.update(f"{name} {values.dtype} {values.shape}".encode())
        state.update(np.ascontiguousarray(values).tobytes())
    return state.hexdigest()


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} must be a whole file of counterfactual data; it is damaged or another program's ({why}); copy it "
        "again, or make it again with counterfactual_set"
    )
