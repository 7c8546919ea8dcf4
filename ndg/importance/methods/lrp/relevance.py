"""Layer-wise relevance propagation (Bach et al. 2015) from a logit to units.

    R_u = h_u dF/dh_u,    with gradients under the rules of `ndg.importance.methods.lrp.rules`

With the epsilon rule on linear maps, ReLUs and pools without biases this equals gradient times activation.
Conservation: for a layer that every path crosses, the relevance of its units plus the relevance absorbed after it
(biases, other constants, stabiliser) adds up to F.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ndg.activations.batches import Batch, Inputs, check_finite, pick, rows_of
from ndg.activations.hooks import find_layer, find_modules
from ndg.errors import ConfigError, LayerError
from ndg.gradients.paths import cut_off, reaches_none
from ndg.gradients.tape import Tape, add, per_unit
from ndg.importance.logits import chosen, classes_of
from ndg.importance.method import Method
from ndg.importance.methods.lrp.ledger import Ledger, absorbed
from ndg.importance.methods.lrp.mode import Relevance, check_functions, prepared
from ndg.importance.methods.lrp.rules import Rules
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings, passes
from ndg.units.resolve import resolve_layer

RULE_NAMES = ("epsilon", "gamma")
Parts = tuple[float, float, float, float]


def lrp(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Signed scores in logits: mean relevance of each unit for F.

    F is the logit of the predicted class or of `settings.target`. A channel sums its positions; `whole` sums the units.
    Options: `rule` is `epsilon` or `gamma` for all linear maps; `epsilon` stabilises their sums, in the unit of the
    sums; `gamma` increases the weight of contributions with the sign of the sum. There is no baseline.

    `facts["conservation"]` has a row for each layer that every path crosses, apart from gates: means of the `sum` over
    units and of what `biases` and `stabiliser` absorbed after the layer; `relative`, the sum of |sum - F| over the sum
    of |F|; and `unexplained`, the share of F in none of the three. `facts["logit"]` is the mean of F. Raises LayerError
    for a function without a rule, naming it.
    """
    rules = _rules(settings)
    totals: dict[str, Tensor] = {}
    kept: dict[str, list[Parts]] | None = None
    logits: list[Tensor] = []
    with (
        Tape(model, layers, each=settings.each_position) as tape,
        prepared(model),
        _marks(model, layers, rules.ledger) as entries,
    ):
        for batch in passes(loader, settings, "LRP"):
            if kept is None:
                kept = {layer: [] for layer in _crossing(model, tape, layers, batch.inputs, rules)}
            rules.ledger.clear()
            relevance, values = _batch(tape, batch, layers, settings, rules)
            logits.append(values)
            for layer in layers:
                add(totals, layer, relevance[layer].sum(dim=0))
            for layer, sums_of_batches in kept.items():
                sums = relevance[layer].sum(dim=1)
                parts = absorbed(rules.ledger, entries[layer])
                sums_of_batches.append((float(sums.sum()), *parts, float((sums - values).abs().sum())))
    logit = torch.cat(logits)
    return METHOD.scores(
        settings,
        {layer: totals[layer] / len(logit) for layer in layers},
        len(logit),
        facts={
            "rule": settings.own["rule"],
            "epsilon": float(rules.epsilon),
            **({"gamma": float(rules.gamma)} if rules.gamma else {}),
            "batch": settings.options.batch,
            "forward_passes": len(logits) + len(layers),
            "backward_passes": len(logits) + len(layers),
            "logit": float(logit.mean()),
            "conservation": [{"layer": layer, **_conservation(sums, logit)} for layer, sums in (kept or {}).items()],
        },
    )


METHOD = Method(
    lrp,
    title="LRP",
    source="Bach et al. 2015",
    target="predicted class",
    options={"rule": "epsilon", "epsilon": 1e-6, "gamma": 0.25},
    baselines=("zero",),
    laws=frozenset({"additive", "unread"}),
)


def _conservation(batches: list[Parts], logit: Float64[Tensor, " example"]) -> dict[str, float]:
    """Facts of a layer from each batch's sum, what biases and stabiliser absorbed, and |sum - F|."""
    came, biases, stabiliser, errors = map(sum, zip(*batches, strict=True))
    count, size = len(logit), float(logit.abs().sum())
    missing = abs(came + biases + stabiliser - float(logit.sum()))
    return {
        "sum": came / count,
        "biases": biases / count,
        "stabiliser": stabiliser / count,
        "relative": errors / size if size else 0.0,
        "unexplained": missing / size if size else 0.0,
    }


@contextmanager
def _marks(model: nn.Module, layers: Layers, ledger: Ledger) -> Iterator[dict[str, int]]:
    """Context with the number of ledger entries at each layer."""
    entries: dict[str, int] = {}
    with ExitStack() as stack:
        for layer, module in find_modules(model, layers).items():
            mark = module.register_forward_hook(lambda *_, layer=layer: entries.update({layer: len(ledger)}))
            stack.enter_context(mark)
        yield entries


def _rules(settings: Settings) -> Rules:
    rule, epsilon, gamma = (settings.own[name] for name in ("rule", "epsilon", "gamma"))
    if rule not in RULE_NAMES:
        raise ConfigError(f"the rule of LRP is {' or '.join(RULE_NAMES)}; got {rule!r}")
    for name, value in (("epsilon", epsilon), ("gamma", gamma)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise ConfigError(f"{name} of LRP is a number of 0 or more; got {value!r}")
    return Rules(gamma if rule == "gamma" else 0, epsilon, [])


def _batch(
    tape: Tape, batch: Batch, layers: Layers, settings: Settings, rules: Rules
) -> tuple[dict[str, Tensor], Tensor]:
    """Relevance of each unit for each example, and F."""
    with Relevance(rules):
        logits = tape.run(batch)
    if not logits.requires_grad:
        raise LayerError(
            f"relevance comes from the logits to a scored layer; to {', '.join(map(repr, layers))} none does: under "
            "the rules attention weights, gates and divisors are constants; score the layers that carry values, or "
            "use method='conductance'"
        )
    check_functions(logits)
    for layer in layers:
        check_finite(tape[layer][: batch.count], layer, batch)
    values = chosen(logits, classes_of(logits.detach(), settings))
    there = torch.arange(len(values), device=values.device) < batch.count
    gradients = tape.gradients(torch.where(there, values, torch.zeros_like(values)))
    relevance = {layer: per_unit(gradients[layer] * tape[layer])[: batch.count] for layer in layers}
    return relevance, values.detach().double()[: batch.count]


def _crossing(model: nn.Module, tape: Tape, layers: Layers, inputs: Inputs, rules: Rules) -> tuple[str, ...]:
    """Layers that every path from inputs to logits crosses."""
    few = pick(inputs, torch.arange(min(2, rows_of(inputs))))
    crossing = []
    for layer in layers:
        if resolve_layer(model, layer).steps:
            continue
        with _sources(model, few) as (inputs, leaves), cut_off(find_layer(model, layer)), Relevance(rules):
            logits = tape.run(inputs)
        if reaches_none(logits, leaves):
            crossing.append(layer)
    return tuple(crossing)


@contextmanager
def _sources(model: nn.Module, inputs: Inputs) -> Iterator[tuple[Inputs, list[Tensor]]]:
    """Context with differentiable inputs, and the list of leaves: these, and embeddings of tokens."""
    leaves: list[Tensor] = []

    def leaf(value: Tensor) -> Tensor:
        leaves.append(value.detach().requires_grad_())
        return leaves[-1]

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
                stack.enter_context(module.register_forward_hook(lambda _module, _arguments, output: leaf(output)))
        yield tree_map(lambda column: leaf(column) if column.is_floating_point() else column, inputs), leaves
