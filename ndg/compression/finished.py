"""Finished steps of a pruning, from which it can be resumed.

A journal holds the rows and the units that went; beside it lie the weights after the last finished step of each series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from safetensors.torch import load, save
from torch import Tensor, nn

from ndg import atomic
from ndg.activations.digest import digest_of
from ndg.checksums import checksum
from ndg.errors import ConfigError
from ndg.executors.journal import Book, Journal, opened

Row = dict[str, Any]
MASK = "mask "


@dataclass(frozen=True)
class Finished:
    """Row of one step, the removed units, and the weights' checksum.

    Units have their numbers before the step; the checksum is of the weights after it.
    """

    row: Row
    gone: dict[str, list[int]]
    weights: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Finished:
        return cls(**document)

    @property
    def units(self) -> dict[str, Int64[np.ndarray, " _"]]:
        """The units that went, as arrays."""
        return {name: np.array(units, dtype=np.int64) for name, units in self.gone.items()}


@dataclass(eq=False)
class Steps:
    """Finished steps, by number through all series; none without a folder."""

    book: Book
    folder: Path | None

    def __contains__(self, number: int) -> bool:
        return number in self.book

    def take(self, number: int) -> Finished:
        """A finished step."""
        step: Finished = self.book.take(number)
        return step

    def keep(self, number: int, row: Row, gone: Mapping[str, Any], tensors: Mapping[str, Tensor], first: bool) -> None:
        """Write a step and its weights over the step before in its series."""
        if self.folder is None:
            return
        weights = save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
        atomic.write(self._path(number), weights)
        units = {name: np.asarray(numbers).tolist() for name, numbers in gone.items()}
        self.book.keep(number, Finished(row, units, checksum([weights])))
        if not first:
            self._path(number - 1).unlink(missing_ok=True)

    def weights(self, number: int) -> dict[str, Tensor]:
        """Weights and masks after a finished step.

        Raises ConfigError for others than were written.
        """
        path = self._path(number)
        weights = path.read_bytes() if path.is_file() else b""
        if checksum([weights]) != self.take(number).weights:
            raise ConfigError(
                f"a pruning goes on with the weights that it wrote; {path} has others, or none; prune anew, without "
                "--resume"
            )
        return load(weights)

    def _path(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number}.safetensors"


@contextmanager
def finished_steps(folder: Path | None, facts: Any) -> Iterator[Steps]:
    """Finished steps of the same pruning.

    Raises ConfigError for those of another one.
    """
    journal = None if folder is None else Journal(folder / "steps.jsonl", digest_of(facts), Finished.from_dict)
    with opened(journal) as book:
        yield Steps(book, folder)


def tensors_of(network: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of a network, and masks of its weights."""
    return {**network.state_dict(), **{f"{MASK}{name}": mask for name, mask in masks.items()}}


def restore(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Load a state in place; return the masks."""
    network.load_state_dict({name: value for name, value in tensors.items() if not name.startswith(MASK)})
    weights = dict(network.named_parameters())
    return {name: tensors[MASK + name].to(value.device) for name, value in weights.items() if MASK + name in tensors}
