"""Pair counts by matrix products of zeros and ones (`torch._int_mm`), for accelerators.

A device without integer products uses float32, whose sums are exact up to 2**24 examples at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError
from ndg.mining.counters import Counter, Packed, Survivors, margins
from ndg.mining.counts import Contingency
from ndg.mining.criteria.sieve import SLACK, Sieve

if TYPE_CHECKING:
    from torch import Tensor

WORDS_AT_ONCE = 1024  # 65,536 examples of 4,096 nodes unpack to 256 MiB
MULTIPLE = 32  # integer products need sides of whole blocks


@dataclass(frozen=True, eq=False)
class Dense(Counter):
    """Counter on a torch device."""

    device: str

    @classmethod
    def of(cls, shards: Sequence[BitMatrix], device: str) -> Dense:
        import torch

        try:
            kind = torch.device(device).type
        except RuntimeError as error:
            raise ConfigError(f"a device must be cpu, cuda or another of torch; got {device!r}") from error
        if kind == "cuda" and not torch.cuda.is_available():
            raise ConfigError(f"--device {device} needs a GPU that torch can use; got none; use --device cpu")
        packed = Packed.of(shards)
        return cls(packed.shards, packed.on, packed.examples, 4096 if kind != "cpu" else 1024, device)

    def count(self, rows: slice, columns: slice) -> Contingency:
        both = self._both(rows, columns).cpu().numpy()
        return Contingency(both, self.on[rows], self.on[columns], self.examples)

    def survivors(self, rows: slice, columns: slice, varies: Bool[np.ndarray, " node"], sieve: Sieve) -> Survivors:
        import torch

        first, second = (
            torch.from_numpy(margins(self.on[part], varies[part], self.examples)).to(self.device)
            for part in (rows, columns)
        )
        both = self._both(rows, columns)
        common = both.double()
        inside = torch.ones_like(both, dtype=torch.bool).triu(rows.start - columns.start + 1)
        parts_by_kind = []
        for kind in range(4):
            p, q = kind >> 1, kind & 1
            exceptions = common if q == 0 else first[1][:, None] - common
            if p == 0:
                exceptions = second[1 - q][None, :] - exceptions
            passes = inside & _passes(exceptions, first[p][:, None], second[1 - q][None, :], sieve, self.examples)
            i, j = passes.nonzero(as_tuple=True)
            parts_by_kind.append((i, j, torch.full_like(i, kind), both[i, j]))
        up, across, kinds, counts = (torch.cat(parts).cpu().numpy() for parts in zip(*parts_by_kind, strict=True))
        order = np.lexsort((kinds, across, up))
        first_nodes, second_nodes = rows.start + up[order], columns.start + across[order]
        return Survivors(
            first_nodes.astype(np.int32), second_nodes.astype(np.int32), kinds[order].astype(np.int32), counts[order]
        )

    def _both(self, rows: slice, columns: slice) -> Tensor:
        import torch

        height, width = len(self.on[rows]), len(self.on[columns])
        both = torch.zeros(height, width, dtype=torch.int64, device=self.device)
        for words in self.shards:
            for start in range(0, words.shape[1], WORDS_AT_ONCE):
                part = slice(start, start + WORDS_AT_ONCE)
                first = self._unpack(words[rows, part])
                second = first if rows == columns else self._unpack(words[columns, part])
                integers = first.device.type in ("cpu", "cuda")
                product = torch._int_mm(first, second.T) if integers else (first.float() @ second.float().T).long()
                both += product[:height, :width]
        return both

    def _unpack(self, words: np.ndarray) -> Tensor:
        """Zeros and ones `[node, example]` as int8, nodes padded to whole blocks."""
        import torch

        raw = np.zeros((-(-len(words) // MULTIPLE) * MULTIPLE, words.shape[1]), "<u8")
        raw[: len(words)] = words
        packed = torch.from_numpy(raw.view(np.uint8)).to(self.device)
        shifts = torch.arange(8, dtype=torch.uint8, device=self.device)
        return (packed[:, :, None] >> shifts & 1).to(torch.int8).flatten(1)


def _passes(exceptions: Tensor, antecedent: Tensor, negation: Tensor, sieve: Sieve, examples: int) -> Tensor:
    import torch

    allowed = antecedent * negation * (sieve.product / examples) * (1 + SLACK)
    margin = torch.minimum(antecedent, negation)
    within = exceptions <= margin * (sieve.margin * (1 + SLACK)) + SLACK
    return (exceptions <= allowed) & (allowed >= sieve.floor) & within & (margin >= sieve.support)
