"""Norm of weights into or out of a unit, without data.

M_u = ( sum over weights w of |w|^p )^(1/p),    Han et al. 2015; Li et al. 2017
"""

from __future__ import annotations

from torch import Tensor, nn

from ndg.errors import ConfigError
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.importance.weights.incoming import weighted
from ndg.importance.weights.outgoing import outgoing

SIDES = ("incoming", "outgoing")
NORMS = (1, 2)


def magnitude(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores of 0 or more.

    `whole` is the norm of the layer.

    Options: `norm` is p, 1 or 2. `side` is `incoming` (weights of the layer) or `outgoing` (weights of the modules that
    read the unit, without the gains of norms on the way). Raises LayerError for layers without weights, or if the
    readers of the units cannot be traced.
    """
    side, norm = settings.own["side"], settings.own["norm"]
    if side not in SIDES or norm not in NORMS:
        raise ConfigError(f"magnitude has side incoming or outgoing and norm 1 or 2; got side={side!r}, norm={norm!r}")

    def powers(weight: Tensor) -> Tensor:
        wide = weight.detach().double()
        return wide.abs() if norm == 1 else wide.square()

    forwards = 0
    if side == "incoming":
        sums = {}
        for layer, incoming in weighted(model, layers, settings, "magnitude").items():
            sums[layer] = incoming.rows({path: powers(weight) for path, weight in incoming.weights.items()}).sum(dim=1)
    else:
        batch = next(iter(passes(loader, settings, "magnitude")))
        sums, forwards = outgoing(model, batch, layers, powers, each=settings.each_position), 1
    return METHOD.scores(
        settings,
        {layer: sums[layer] ** (1 / norm) for layer in layers},
        0,
        whole={layer: sums[layer].sum() ** (1 / norm) for layer in layers},
        measure=f"norm of {side} weights",
        facts={"side": side, "norm": norm, "forward_passes": forwards, "backward_passes": 0},
    )


METHOD = Method(
    magnitude,
    title="weight magnitude",
    source="Han et al. 2015; Li et al. 2017",
    measure="norm of incoming weights",
    options={"side": "incoming", "norm": 2},
    baselines=("zero",),
    weights=True,
    laws=frozenset({"weightless"}),
)
