"""Figures of an efficiency report, as `matplotlib.figure.Figure`, and as SVG text for pages."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ndg.efficiency.result import EfficiencyReport, LayerEfficiency
from ndg.errors import ConfigError
from ndg.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ndg.efficiency.paths import Pathways

COLOURS = ("#0b6e4f", "#c8553d", "#3d5a80", "#8a6fae", "#b08900", "#5f6b6d", "#d17ea8", "#2b2d42")
DRAWN = 8
"""Most layers in one plot of curves."""
LIMIT = 0.01
"""Relative error that counts as removable."""
LOWEST, HIGHEST = -4.0, 2.0
"""Ends of the histograms, powers of ten of importance over its mean."""


def importance_distribution(report: EfficiencyReport, importance: str | None = None) -> Figure:
    """Histograms of importance over its mean, beside Lorenz curves, of the largest layers."""
    layers = _largest(_layers(report, importance))
    figure = _figure(10, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
    for place, layer in enumerate(layers):
        shares = np.array(layer.histogram)
        centres = LOWEST + (np.arange(len(shares)) + 0.5) * (HIGHEST - LOWEST) / len(shares)
        left.plot(centres, shares, color=COLOURS[place], label=layer.layer, drawstyle="steps-mid", linewidth=1.3)
        held = np.array(layer.lorenz)
        label = f"{layer.layer}: {layer.metrics.gini:.2f} (fresh {layer.null.gini:.2f})"
        right.plot(np.linspace(0, 1, len(held)), held, color=COLOURS[place], label=label, linewidth=1.5)
    left.set_xlabel("decimal logarithm of importance over its mean")
    left.set_ylabel("share of the weights")
    right.plot([0, 1], [0, 1], color="#999", linestyle=":", linewidth=1)
    right.set_xlabel("share of the weights, least important first")
    right.set_ylabel("share of the importance")
    right.legend(title="layer: Gini", fontsize=7, title_fontsize=8, frameon=False, loc="upper left")
    _finish(left, right)
    return figure


def layer_comparison(report: EfficiencyReport, importance: str | None = None) -> Figure:
    """Removable share, k99 over width, and utilisation beside its null, layer by layer."""
    layers = _layers(report, importance)
    figure = _figure(10, max(2.2, 0.8 + 0.32 * len(layers)))
    axes = figure.subplots(1, 3, sharey=True)
    places = np.arange(len(layers))[::-1]
    removable = [layer.removable for layer in layers]
    spread = [None if layer.k99 is None else layer.k99 / layer.units for layer in layers]
    for axis, values, colour in zip(axes, (removable, spread), COLOURS, strict=False):
        axis.barh(places, [value or 0 for value in values], color=colour, height=0.65)
        for place, value in zip(places, values, strict=True):
            axis.text((value or 0) + 0.02, place, "–" if value is None else f"{value:.2f}", va="center", fontsize=7)
    axes[2].barh(places, [layer.metrics.utilisation for layer in layers], color=COLOURS[2], height=0.65)
    axes[2].plot([layer.null.utilisation for layer in layers], places, "|", color="black", markersize=11, label="fresh")
    axes[2].legend(fontsize=7, frameon=False, loc="lower right")
    titles = ("removable share of units", "k99 / width", "utilisation")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_xlim(0, 1.12)
    axes[0].set_yticks(places, [layer.layer for layer in layers], fontsize=7)
    _finish(*axes)
    return figure


def pruning_sensitivity(
    report: EfficiencyReport, accuracies: Mapping[str, Sequence[tuple[float, float]]] | None = None
) -> Figure:
    """Predicted error against the share of units removed, and measured accuracy without weights, where given.

    `accuracies` has points (share of weights removed, accuracy) by layer.
    """
    every = _layers(report, None)
    layers = _largest([layer for layer in every if layer.errors])
    figure = _figure(10, 4.2)
    axes = figure.subplots(1, 2 if accuracies else 1, squeeze=False)[0]
    for place, layer in enumerate(layers):
        errors = np.maximum(np.array(layer.errors), 1e-6)
        axes[0].plot(np.linspace(0, 1, len(errors)), errors, color=COLOURS[place], label=layer.layer, linewidth=1.5)
    axes[0].axhline(LIMIT, color="#999", linestyle=":", linewidth=1)
    axes[0].set_yscale("log")
    axes[0].set_ylim(1e-6, 2)
    axes[0].set_xlabel("share of the units removed, with least-squares repair")
    axes[0].set_ylabel("error over variance of the next layer")
    if layers:
        axes[0].legend(fontsize=7, frameon=False, loc="lower right")
    for place, (layer_name, points) in enumerate(list((accuracies or {}).items())[:DRAWN]):
        shares, values = zip(*points, strict=True)
        axes[1].plot(shares, values, "o-", color=COLOURS[place], label=layer_name, markersize=3, linewidth=1.3)
        axes[1].set_xlabel("share of the layer's weights set to 0, least important first")
        axes[1].set_ylabel("accuracy")
        axes[1].legend(fontsize=7, frameon=False, loc="lower left")
    _finish(*axes)
    return figure


def pathway_graph(pathways: Pathways) -> Figure:
    """The paths as a graph, layer by layer.

    Verified ones are solid, the strongest widest.
    """
    layers, paths = pathways.layers, pathways.paths
    columns = [sorted({int(unit) for unit in paths[:, place]}) for place in range(len(layers))]
    heights = [
        {unit: 0.5 if len(units) == 1 else 1 - rank / (len(units) - 1) for rank, unit in enumerate(units)}
        for units in columns
    ]
    figure = _figure(max(6.0, 1.9 * len(layers)), max(3.0, 0.42 * max(map(len, columns)) + 1))
    axis = figure.subplots()
    for path, strength, verified in reversed(
        list(zip(paths, pathways.strengths, pathways.verified, strict=True))
    ):  # the strongest on top
        line = [heights[place][int(unit)] for place, unit in enumerate(path)]
        style = "-" if verified else ":"
        axis.plot(range(len(line)), line, style, color=COLOURS[0], linewidth=0.8 + 3.5 * float(strength), alpha=0.55)
    for place, units in enumerate(columns):
        at = [heights[place][unit] for unit in units]
        axis.scatter([place] * len(at), at, s=240, color="white", edgecolors="#333", zorder=3)
        for unit, height in zip(units, at, strict=True):
            axis.text(place, height, str(unit), ha="center", va="center", fontsize=7, zorder=4)
    axis.set_xticks(range(len(layers)), [*layers[:-1], f"{layers[-1]} (classes)"], fontsize=8)
    axis.set_yticks([])
    axis.set_ylim(-0.1, 1.1)
    axis.set_xlim(-0.35, len(layers) - 0.65)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    return figure


def svg(figure: Figure, name: str) -> str:
    """SVG text of a figure, whose ids begin with a name."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r'\bid="', f'id="{name}-', text)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)


def _layers(report: EfficiencyReport, importance: str | None) -> list[LayerEfficiency]:
    kinds = report.importances
    if importance is not None and importance not in kinds:
        raise ConfigError(f"the report has importance by {', '.join(kinds)}; got {importance!r}; choose one of them")
    return report.of_importance(importance or kinds[0])


def _largest(layers: Sequence[LayerEfficiency]) -> list[LayerEfficiency]:
    """At most `DRAWN` layers, those with the most weights, in their order."""
    chosen = sorted(layers, key=lambda layer: -layer.metrics.weights)[:DRAWN]
    return [layer for layer in layers if layer in chosen]


def _figure(width: float, height: float) -> Figure:
    require("matplotlib", "a figure")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _finish(*axes: Axes) -> None:
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.xaxis.label.set_fontsize(8)
        axis.yaxis.label.set_fontsize(8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
