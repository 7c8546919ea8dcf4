"""HRank (Lin et al. 2020): mean rank of the feature map of a channel.

    R_u = E_x rank of h_u(x) as a matrix [row, column]

The authors claim that it hardly depends on the examples. It ignores the logits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import check_finite
from ndg.errors import ConfigError, LayerError
from ndg.gradients.tape import Tape, add
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings, passes
from ndg.importance.validate import no_baseline, no_class


def hrank(model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], settings: Settings) -> Scores:
    """Scores from 0 to the smaller side of the map.

    A singular value counts if it is at least max(rows, columns) times the float precision times the largest one. Raises
    LayerError for layers without maps `[example, channel, row, column]`.
    """
    no_class(settings, "hrank")
    no_baseline(settings, "hrank")
    if settings.each_position:
        raise ConfigError("hrank scores whole maps; got each_position=True; leave it out")
    values: dict[str, Tensor] = {}
    examples = forwards = 0
    with torch.no_grad(), Tape(model, layers) as tape:
        for batch in passes(loader, settings, "HRank"):
            tape.run(batch)
            for layer in layers:
                check_finite(tape[layer][: batch.count], layer, batch)
                maps = tape.raw(layer)[0]
                if tape.layouts[layer].kind != "channels" or maps.ndim != 4:
                    raise LayerError(
                        f"hrank needs maps of rows and columns for each channel; {layer!r} gives "
                        f"{tuple(maps.shape)}; name a convolution of images, or the norm or activation after one"
                    )
                wide = maps[: batch.count] if maps.dtype == torch.float64 else maps[: batch.count].float()
                add(values, layer, torch.linalg.matrix_rank(wide).sum(dim=0, dtype=torch.float64))
            examples, forwards = examples + batch.count, forwards + 1
    means = {layer: (values[layer] / examples).cpu().numpy() for layer in layers}
    return Scores(
        method="hrank",
        values=means,
        whole={layer: float(means[layer].mean()) for layer in layers},
        target="no class",
        baseline="none",
        examples=examples,
        measure="rank",
        facts={"batch": settings.options.batch, "forward_passes": forwards, "backward_passes": 0},
    )


METHOD = Method(
    hrank,
    title="HRank",
    source="Lin et al. 2020",
    measure="rank",
    baselines=("zero",),
    laws=frozenset({"additive"}),
)
