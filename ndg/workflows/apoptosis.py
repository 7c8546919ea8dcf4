"""Apoptosis: the least fit units or blocks leave during training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ndg.activations.sampling import draw
from ndg.compression.blocks import block_fitness, residual_blocks, weighted_parts
from ndg.compression.choice import LEAST, floors, lowest, part_of
from ndg.compression.curves import coupling
from ndg.compression.groups import Group
from ndg.compression.surgery import Units, narrowed, original, without
from ndg.compression.unit_fitness import RANDOM, check_method, score_keys, unit_fitness
from ndg.config import Experiment
from ndg.config.schema import Apoptosis
from ndg.data.examples import Splits
from ndg.errors import ConfigError
from ndg.importance.evaluation.spec import fitting, scored
from ndg.importance.settings import Settings
from ndg.models.resize import drop
from ndg.options import RunOptions
from ndg.progress import log
from ndg.seeds import generator
from ndg.training.removal import Lost, Removal, due

EXAMPLES = 256
"""Training examples on which fitness is measured."""


class Remover:
    """Removes units from a network after some epochs, by `train.apoptosis`.

    Fitness is measured on training examples that the seed draws, so a resumed training removes the same units.
    """

    def __init__(self, experiment: Experiment, splits: Splits, network: nn.Module, device: torch.device) -> None:
        self.settings, self.epochs = experiment.train.apoptosis, experiment.train.epochs
        check_method(f"{self.settings.fitness}")
        rows = draw(experiment.seed, "apoptosis", len(splits.train), EXAMPLES)
        self.loader = list(splits.train[torch.from_numpy(rows)].loader(experiment.extract.compute_batch))
        options = RunOptions(
            batch=experiment.extract.compute_batch, threads=experiment.train.threads, seed=experiment.seed
        )
        self.scoring = Settings(options=options)
        if self.settings.remove == "block":
            blocks = residual_blocks(network, self.loader, options.batch)
            check_blocks(self.settings, blocks, network)
            self.blocks = [block for block in blocks if not self.settings.layers or block in self.settings.layers]
        else:
            self.groups = self._groups(network)
            self.units = {name: group.units for name, group in self.groups.items()}
            check_plan(self.settings, self.units, self.epochs)

    def __call__(self, network: nn.Module, epoch: int, removed: Sequence[Lost]) -> Removal | None:
        """The network without its least fit units.

        None if every layer is at its floor.
        """
        if self.settings.remove == "block":
            return self._without_block(network, epoch, removed)
        groups = narrowed(self.groups, lost_units(removed))
        fitness = unit_fitness(network, self.loader, groups, f"{self.settings.fitness}", self.scoring, epoch)
        keep = floors(self.units, self.settings.floor)
        chosen = lowest(fitness, self.settings.share, scope=self.settings.scope, keep=keep)
        if not chosen:
            return None
        smaller, kept = without(network, groups, chosen)
        lost: list[Lost] = [
            {"epoch": epoch, "layer": name, "units": original(units, name, self.units[name], removed)}
            for name, units in chosen.items()
        ]
        log.info("after epoch %d: %s", epoch, ", ".join(f"{len(row['units'])} units of {row['layer']}" for row in lost))
        return Removal(smaller, lost, kept)

    def replay(self, network: nn.Module, removed: Sequence[Lost]) -> nn.Module:
        """Another network of the first size, without the units that were removed."""
        if self.settings.remove == "block":
            network = copy.deepcopy(network)
            for row in removed:
                drop(network, row["block"])
            return network
        return without(network, self.groups, lost_units(removed))[0] if removed else network

    def _groups(self, network: nn.Module) -> dict[str, Group]:
        """Groups that may lose units."""
        all_groups, names = coupling(network, self.loader, plain=False), self.settings.layers
        if names:
            groups = all_groups.select(names)
            if heads := [name for name, group in groups.items() if group.kind == "head"]:
                raise ConfigError(
                    f"apoptosis removes units, not attention heads; got {', '.join(heads)}; name other layers"
                )
        else:
            groups = {name: group for name, group in all_groups.groups.items() if group.kind != "head"}
        if not groups:
            reasons = "; ".join(f"{layer}: {why}" for layer, why in list(all_groups.refused.items())[:3])
            raise ConfigError(f"apoptosis needs layers whose units can be removed; this network has none ({reasons})")
        return groups

    def _without_block(self, network: nn.Module, epoch: int, removed: Sequence[Lost]) -> Removal | None:
        gone = {row["block"] for row in removed}
        left = [block for block in self.blocks if block not in gone]
        if len(left) <= int(np.ceil(self.settings.floor * len(self.blocks) - 1e-9)):
            return None
        fitness = self._block_fitness(network, left, epoch)
        block = min(left, key=lambda path: (fitness[path], left.index(path)))
        smaller = copy.deepcopy(network)
        drop(smaller, block)
        kept = {name: torch.arange(value.numel()).reshape(value.shape) for name, value in smaller.named_parameters()}
        log.info("after epoch %d: block %s", epoch, block)
        return Removal(smaller, [{"epoch": epoch, "block": block}], kept)

    def _block_fitness(self, network: nn.Module, blocks: Sequence[str], epoch: int) -> Mapping[str, float]:
        """Mean fitness of the units of each block."""
        method = f"{self.settings.fitness}"
        if method == RANDOM:
            draws = generator(self.scoring.options.seed, "random block", epoch).random(len(blocks))
            return dict(zip(blocks, draws.tolist(), strict=True))
        layers = {block: weighted_parts(network, block) for block in blocks}
        names = [layer for parts in layers.values() for layer in parts]
        keys = score_keys(scored(network, self.loader, names, method, fitting(method, self.scoring)))
        return {block: block_fitness({part: keys[part] for part in parts}) for block, parts in layers.items()}


def lost_units(removed: Sequence[Lost]) -> dict[str, Units]:
    """Units that each layer lost, by their numbers in the first network."""
    layers = dict.fromkeys(row["layer"] for row in removed)
    return {
        layer: np.unique(np.concatenate([row["units"] for row in removed if row["layer"] == layer])).astype(np.int64)
        for layer in layers
    }


def check_plan(settings: Apoptosis, units: Mapping[str, int], epochs: int) -> None:
    """Raise ConfigError for removals of nothing, or of all units but one."""
    times = [epoch for epoch in range(1, epochs) if due(settings, epoch)]
    if not times:
        raise ConfigError(
            f"units are removed after train.apoptosis.start epochs, before the last one; got start={settings.start} of "
            f"{epochs} epochs; start earlier, or train longer"
        )
    total = sum(units.values())
    if not any(part_of(settings.share, count) for count in (units.values() if settings.scope == "each" else [total])):
        raise ConfigError(
            f"a removal takes at least one unit; train.apoptosis.share={settings.share:g} of at most "
            f"{max(units.values()) if settings.scope == 'each' else total} units is none; take a larger share"
        )
    if settings.floor or settings.scope == "all":
        return
    for layer, count in units.items():
        left = count
        for epoch in times:
            left -= part_of(settings.share, left)
            if left < LEAST:
                raise ConfigError(
                    f"every layer keeps at least {LEAST} units; train.apoptosis.share={settings.share:g} leaves {left} "
                    f"of {count} in {layer!r} after epoch {epoch}; take a smaller share, or a floor above 0"
                )


def check_blocks(settings: Apoptosis, blocks: Sequence[str], network: nn.Module) -> None:
    """Raise ConfigError for a network without residual blocks."""
    if not blocks:
        raise ConfigError(
            f"train.apoptosis.remove=block needs residual blocks that keep the shape of their input; "
            f"{type(network).__name__} has none; take remove=unit"
        )
    if settings.layers and (unknown := [name for name in settings.layers if name not in blocks]):
        raise ConfigError(f"blocks to remove are among {', '.join(blocks)}; got {', '.join(unknown)}")


def remover(experiment: Experiment, splits: Splits, network: nn.Module, device: torch.device) -> Remover:
    """What removes units from a network in training, for `ndg.training.train`."""
    return Remover(experiment, splits, network, device)


def shrunk(experiment: Experiment, splits: Splits, fresh: nn.Module, removed: Sequence[Lost]) -> Any:
    """A fresh network without the removed units, for the first fitness."""
    if not removed:
        return fresh
    device = next(fresh.parameters()).device
    return Remover(experiment, splits, fresh, device).replay(fresh, removed)
