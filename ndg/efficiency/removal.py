"""Removable units: single, shared by added layers, heads, hidden units.

    unit             read by one layer, or by several
    residual width   layers whose outputs are added; all readers of the sums and of these layers
    product          units of two layers that are multiplied one by one, as in gated MLPs; what reads the product
    head             of queries, keys and values; the output projection reads its block
    hidden unit      of LSTM and GRU; its own gates read it at the next time step, and the layers behind

Removals of several readers are ranked by the sum of the errors relative to each. Products, heads and hidden units are
those that `ndg.compress` removes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from ndg.activations.digest import digest_of, network_digest
from ndg.activations.sampling import count
from ndg.compression.curves import curves, first_inputs
from ndg.compression.groups import couple
from ndg.compression.obs import FEW, FEW_RIDGE, RIDGE, Reader, Removals, removals, removals_of_readers
from ndg.compression.plain import with_plain_layers
from ndg.compression.statistics import readers
from ndg.efficiency.observe import Observations, SharedWidth
from ndg.efficiency.parts import CONVOLUTIONS, Part
from ndg.efficiency.result import WIDTH
from ndg.efficiency.spectra import Spectrum, spectrum
from ndg.errors import LayerError
from ndg.executors.journal import Journal, Noted, noted, opened
from ndg.options import RunOptions

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Removal:
    """Removals of a part's units, and their activations' spectrum, if known.

    `removes` says what goes together, `group` names it where it is more than the part, with its number of units.
    """

    spectrum: Spectrum | None
    removals: Removals | None
    note: str = ""
    removes: str = "unit"
    group: str = ""


@dataclass(frozen=True, eq=False)
class Together:
    """Removals of a part's products, heads or hidden units, or a reason against."""

    group: str
    kind: str
    removals: Removals | None
    note: str


def removals_of_parts(
    net: nn.Module,
    data: Iterable[Any],
    parts: Sequence[Part],
    seen: Observations,
    options: RunOptions,
    every: Mapping[str, Part],
) -> dict[str, Removal]:
    """What can be removed of each part, read by those of `every`.

    Parts in a journal were finished before.
    """
    widths: dict[str, Removal] = {}
    with opened(_journal(net, seen, options)) as book:
        together = _decoded(
            noted(book, 0, lambda: _encoded(removed_together(net, data, parts, seen, options))), Together
        )
        return {
            part.name: _decoded(
                noted(book, number, lambda part=part: _encoded({"": removal(part, seen, every, together, widths)})),  # type: ignore[misc]
                Removal,
            )[""]
            for number, part in enumerate(parts, 1)
        }


def _journal(net: nn.Module, seen: Observations, options: RunOptions) -> Journal | None:
    if options.journal is None or isinstance(options.journal, Journal):
        return None if options.journal is None else replace(options.journal, decode=Noted)
    sums = {name: (each.counted, torch.as_tensor(each.sums)) for name, each in seen.by_part.items()}
    return Journal(Path(options.journal), digest_of(["removals", network_digest(net), sums]), Noted)


def _encoded(found: Mapping[str, Removal | Together]) -> dict[str, Any]:
    """Plain JSON types of removals by name."""
    result = {}
    for name, each in found.items():
        own: dict[str, Any] = {field.name: getattr(each, field.name) for field in fields(each)}
        spread = own.pop("spectrum", None)
        own["removals"] = None if each.removals is None else each.removals.to_dict()
        result[name] = own | ({"spectrum": spread and asdict(spread)} if isinstance(each, Removal) else {})
    return result


def _decoded(document: Mapping[str, Any], kind: type[T]) -> dict[str, T]:
    """Removals of their plain JSON types."""
    result = {}
    for name, own in document.items():
        curve, spread = own["removals"], own.get("spectrum")
        values = own | {"removals": None if curve is None else Removals.from_dict(curve)}
        result[name] = kind(**values | ({"spectrum": Spectrum(**spread)} if spread else {}))
    return result


def removal(
    part: Part,
    seen: Observations,
    parts: Mapping[str, Part],
    together: Mapping[str, Together],
    widths: dict[str, Removal],
) -> Removal:
    """What can be removed of a part.

    `widths` keeps what layers share.
    """
    own = seen[part.name]
    covariance = own.covariance
    if covariance is None:
        return Removal(None, None, "too few examples for a covariance")
    spread = spectrum(covariance)
    if others := _sharing(part, parts):
        return Removal(spread, None, f"its weights are shared with {', '.join(others)}: no unit can go from one alone")
    if own.reader and (others := _sharing(parts[own.reader], parts)):
        note = f"{own.reader}, which reads it, shares its weights with {', '.join(others)}: no unit can go"
        return Removal(spread, None, note)
    if own.reader:
        few = _few(own.counted, len(covariance))
        weights = outgoing(parts[own.reader], len(covariance))
        return Removal(spread, removals(covariance, weights, FEW_RIDGE if few else RIDGE), few)
    if part.name in together:
        found = together[part.name]
        return Removal(spread, found.removals, found.note, found.kind, found.group)
    if own.width not in seen.widths:
        added = own.other == "add"
        return Removal(spread, None, f"{WIDTH}: added to values that are no units of a layer" if added else "")
    if own.width not in widths:
        widths[own.width] = _of_width(seen.widths[own.width], own.width, parts)
    return replace(widths[own.width], spectrum=spread)


def _sharing(part: Part, parts: Mapping[str, Part]) -> list[str]:
    """Other layers with the weights of a part."""
    own = {id(weight) for weight in _weights(part)}
    others = [other for other in parts.values() if other.layer != part.layer]
    return [other.name for other in others if any(id(weight) in own for weight in _weights(other))]


def _weights(part: Part) -> list[torch.Tensor]:
    """Weights of a part, and the bias of a layer that has one of its own."""
    bias = getattr(part.module, "bias", None)
    return [*part.parameters, *([bias] if isinstance(bias, torch.Tensor) else [])]


def _of_width(width: SharedWidth, group: str, parts: Mapping[str, Part]) -> Removal:
    """What can be removed of units that several layers make or read, without a spectrum."""
    several = len(width.layers) > 1
    removes = WIDTH if several else "unit"
    name = f"{WIDTH} of {', '.join(width.layers)}" if several else "its units"
    if width.foreign or not width.readers:
        return Removal(None, None, f"{name}: {width.foreign or 'nothing'} takes them", removes, group)
    found = {reader: observation.covariance for reader, observation in width.readers.items()}
    known = {reader: covariance for reader, covariance in found.items() if covariance is not None}
    if not known:
        return Removal(None, None, f"{name}: too few examples for a covariance", removes, group * several)
    least = min(width.readers.values(), key=lambda each: each.counted)
    units = max(map(len, known.values()))
    ridge = FEW_RIDGE if least.counted < FEW * units else RIDGE
    both = removals_of_readers([Reader(cov, outgoing(parts[name], len(cov))) for name, cov in known.items()], ridge)
    notes = [f"{name}: read by {', '.join(known)}"] if several else []
    return Removal(None, both, "; ".join(filter(None, [*notes, _few(least.counted, units)])), removes, group * several)


def _few(rows: int, units: int, kind: str = "units") -> str:
    if rows >= FEW * units:
        return ""
    return f"{rows} rows of activations are few for {units} {kind}: give at least {FEW * units}"


def outgoing(reader: Part, units: int) -> Float64[np.ndarray, "unit output"]:
    """Weights by which a layer reads each unit.

    They have one column per output, and per position of a convolution.

    Positions count as outputs of their own, so that an error at one is not made up for at another: the covariance of
    channels suffices, in the place of that of all patches.
    """
    weight = reader.weight.double().cpu().numpy()
    if isinstance(reader.module, CONVOLUTIONS):
        groups = reader.module.groups
        shaped = weight.reshape(groups, len(weight) // groups, units // groups, -1)
        wide = np.zeros((units, groups, shaped.shape[1] * shaped.shape[3]))
        for group in range(groups):
            own = slice(group * (units // groups), (group + 1) * (units // groups))
            wide[own, group] = shaped[group].transpose(1, 0, 2).reshape(units // groups, -1)
        return wide.reshape(units, -1)
    return weight.reshape(len(weight), units, -1).transpose(1, 0, 2).reshape(units, -1)


def removed_together(
    net: nn.Module, data: Iterable[Any], parts: Sequence[Part], seen: Observations, options: RunOptions
) -> dict[str, Together]:
    """Removals of products, heads and hidden units, by part, from another pass."""
    homes = {
        part.name: _home(part)
        for part in parts
        if part.heads or isinstance(part.module, (nn.LSTM, nn.GRU)) or seen[part.name].other == "mul"
    }
    if not homes:
        return {}
    try:
        network = with_plain_layers(net)
        coupled = couple(network, first_inputs(data))
    except LayerError as error:
        return {name: Together("", "unit", None, str(error)) for name in homes}
    owners = {part.path: name for name, group in coupled.groups.items() for part in group.makers}
    names = {owners[path] for path in homes.values() if path in owners}
    groups = {name: group for name, group in coupled.groups.items() if name in names}
    read, rows = readers(network, data, groups, options) if groups else ({}, {})
    found = curves(groups, read, count(data)) if groups else {}
    result = {}
    for name, path in homes.items():
        if path in owners:
            group = groups[owners[path]]
            takers = ", ".join(part.path for part in group.readers)
            note = f"{group.units} {group.kind}s of {group.name}, read by {takers}"
            few = _few(rows[group.name], group.units, f"{group.kind}s")
            result[name] = Together(group.name, group.kind, found[group.name], "; ".join(filter(None, [note, few])))
        elif path in coupled.refused and WIDTH not in coupled.refused[path]:
            result[name] = Together(path, "unit", None, coupled.refused[path])
    return result


def _home(part: Part) -> str:
    """Path of the plain layer that makes a part."""
    if isinstance(part.module, nn.MultiheadAttention):
        return f"{part.layer}.{'out' if part.part == 'output' else part.part}".lstrip(".")
    if getattr(part.module, "num_layers", 1) == 1:
        return part.layer
    return f"{part.layer}.layers.{part.end.removeprefix('_l').partition('_')[0]}".lstrip(".")
