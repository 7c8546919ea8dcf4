"""HRank (Lin et al. 2020): mean rank of the feature map of a channel.

R_u = E_x rank of h_u(x) as a matrix [row, column]
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ndg.activations.batches import Batch, check_finite
from ndg.errors import ConfigError, LayerError
from ndg.gradients.tape import Tape
from ndg.importance.batch_sums import BatchStudy, Sums
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings


def hrank(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores from 0 to the smaller side of the map.

    A singular value counts if it is at least max(rows, columns) times the float precision times the largest one. Raises
    LayerError for layers without maps `[example, channel, row, column]`.
    """
    if settings.each_position:
        raise ConfigError("hrank scores whole maps; got each_position=True; leave it out")
    total = BatchStudy(model, layers, settings, _ranks, grad=False).total(loader, "HRank")
    return METHOD.scores(settings, total.means("ranks"), total.examples, whole=np.mean, facts=total.facts(settings))


METHOD = Method(
    hrank,
    title="HRank",
    source="Lin et al. 2020",
    measure="rank",
    baselines=("zero",),
    laws=frozenset({"additive"}),
)


def _ranks(study: BatchStudy, tape: Tape, batch: Batch) -> Sums:
    tape.run(batch)
    ranks = {}
    for layer in study.layers:
        check_finite(tape[layer][: batch.count], layer, batch)
        maps = tape.raw[layer][0]
        if tape.layouts[layer].kind != "channels" or maps.ndim != 4:
            raise LayerError(
                f"hrank needs maps of rows and columns for each channel; {layer!r} gives "
                f"{tuple(maps.shape)}; name a convolution of images, or the norm or activation after one"
            )
        wide = maps[: batch.count] if maps.dtype == torch.float64 else maps[: batch.count].float()
        ranks[layer] = torch.linalg.matrix_rank(wide).sum(dim=0, dtype=torch.float64)
    return Sums({"ranks": ranks}, {})
