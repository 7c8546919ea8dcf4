"""Examples of the training split in two parts: for calibration, and to choose and judge sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ndg.activations.batches import check_loader, compute_batches, fixed, forward
from ndg.activations.sampling import Subset, count, draw
from ndg.compression.groups import Group
from ndg.errors import DataError, LayerError
from ndg.options import RunOptions


@dataclass(frozen=True, eq=False)
class Examples:
    """Batches of the two parts, without examples in common."""

    calibration: list[dict[str, Tensor]]
    validation: list[dict[str, Tensor]]

    @classmethod
    def of(cls, loader: Iterable[Any], calibration: int, validation: int, seed: int) -> Examples:
        """Draw both parts. Of few examples four fifths are for calibration.

        Raises DataError for fewer than two examples.
        """
        check_loader(loader)
        loader = loader if hasattr(loader, "__len__") else list(loader)
        total = count(loader)
        if total < 2:
            raise DataError(f"calibration and validation take at least 2 examples; got {total}; give more")
        first = min(calibration, max(total * 4 // 5, 1))
        numbers = draw(seed, "compression", total, min(first + validation, total))
        chosen = np.zeros(len(numbers), dtype=bool)
        chosen[draw(seed, "calibration", len(numbers), first)] = True
        parts = (_batches(loader, numbers[rows]) for rows in (chosen, ~chosen))
        return cls(*parts)


def _batches(loader: Iterable[Any], numbers: np.ndarray) -> list[dict[str, Tensor]]:
    if not len(numbers):
        return []
    chosen = Subset(loader, numbers)
    return [{key: value for key, value in batch.items() if not key.startswith("\0")} for batch in chosen]


def enough(groups: Mapping[str, Group], rows: Mapping[str, int]) -> None:
    """Raise DataError if a layer has more units than rows of activations."""
    for name, group in groups.items():
        if rows[name] <= group.units:
            raise DataError(
                f"least squares over the {group.units} {group.kind}s of {name!r} take more than {group.units} rows of "
                f"activations; got {rows[name]}; give more calibration examples"
            )


def logits(model: nn.Module, loader: Iterable[Any], options: RunOptions) -> Float[Tensor, "example label"]:
    """Logits of all examples.

    Raises LayerError for logits that are not finite.
    """
    with fixed(model, options.threads):
        batches = compute_batches(loader, options.batch, short=True)
        scores = torch.cat([forward(model, batch.inputs)[: batch.count].cpu() for batch in batches])
    check_logits(model, scores)
    return scores


def check_logits(model: nn.Module, scores: Tensor) -> None:
    """Raise LayerError for logits that are not finite."""
    if not bool(scores.isfinite().all()):
        raise LayerError(
            f"logits must be finite to be compared; those of {type(model).__name__} are not on "
            f"{int((~scores.isfinite()).any(dim=1).sum())} of {len(scores)} examples; look for NaN or infinity in the "
            "weights and inputs"
        )


def agreement(first: Float[Tensor, "example label"], second: Float[Tensor, "example label"]) -> float:
    """Share of the examples with equal predictions."""
    return float((first.argmax(1) == second.argmax(1)).double().mean())


def explained(original: Float[Tensor, "example label"], new: Float[Tensor, "example label"]) -> float | None:
    """R^2 of the original's logits; None where they do not vary."""
    original, new = original.double(), new.double()
    spread = (original - original.mean(0)).square().sum()
    return float(1 - (new - original).square().sum() / spread) if spread > 0 else None
