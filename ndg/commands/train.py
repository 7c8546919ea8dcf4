"""`ndg train`: train the networks of configs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ndg import config, progress
from ndg.commands.shared import names_and_overrides, output, print_configs, seeds_of, with_store
from ndg.config import Experiment
from ndg.errors import FailureError, UserError
from ndg.locations import Locations
from ndg.progress import log


def train(options: Namespace, where: Locations) -> int:
    """Train the networks of the configs that the command names."""
    seeds = seeds_of(options)
    names, overrides = names_and_overrides(options)
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    if seeds and any(word.startswith("seed=") for word in overrides):
        raise UserError("a training has one seed: give --seeds, or --seed (or seed=N), and not both")
    overrides, where = with_store(options, names, overrides, where)
    configs = names or config.configs()
    experiments = [config.load(config.find(name), overrides, smoke=options.smoke) for name in configs]
    if options.print_config:
        return print_configs(experiments)

    from ndg.workflows import train as train_workflow

    with TemporaryDirectory() if options.dry_run else nullcontext(where.runs) as folder:  # a dry run leaves nothing
        if options.smoke:
            from ndg.data.samples import with_data

            experiments = [with_data(experiment, replace(where, runs=Path(folder))) for experiment in experiments]
        if not names:
            experiments, missing = train_workflow.at_hand(experiments, where)
            for name, reason in missing.items():
                log.info("%s is left out: %s", name, reason)
            if not experiments:
                raise UserError("no config has its data at hand; `ndg doctor` says what each needs")
        if options.dry_run or not names:
            from ndg.report import cli_tables

            plans = [train_workflow.plan(experiment, where) for experiment in experiments]
            plans = [plan for plan in plans for _ in seeds or [0]]
            if options.dry_run:
                return output(options, cli_tables.plans(plans), [plan.to_dict() for plan in plans])
            log.info("%s", cli_tables.plans(plans))
        return _train(options, where, experiments, seeds)


def _train(options: Namespace, where: Locations, experiments: Sequence[Experiment], seeds: Sequence[int]) -> int:
    from ndg.report import cli_tables

    records: list[Any] = []
    failures: list[str] = []
    weights = {experiment.name: float(experiment.train.epochs) for experiment in experiments}
    try:
        with progress.whole(weights, estimated=False):
            for experiment in experiments:
                progress.enter(experiment.name)
                for trained in _trained(options, where, experiment, seeds):
                    if trained.record is None:
                        failures.append(f"{experiment.name} with seed {trained.seed}: {trained.reason}")
                    else:
                        records.append(trained.record)
    finally:  # finished runs are printed also when a later one fails
        if records:
            output(options, cli_tables.trained(records), records)
    if failures:
        raise FailureError(
            f"{len(failures)} of {len(failures) + len(records)} trainings failed, the others are complete; "
            + "; ".join(failures)
        )
    return 0


def _trained(options: Namespace, where: Locations, experiment: Experiment, seeds: Sequence[int]) -> list[Any]:
    """The trainings of one config, one for each seed."""
    from ndg.workflows import train as train_workflow
    from ndg.workflows import train_many

    device = train_workflow.device(options.device)
    which = f"seeds {', '.join(map(str, seeds))}" if seeds else f"seed {experiment.seed}"
    log.info("train %s, %s, on %s", experiment.name, which, device)
    log.debug("  training digest %s, run log %s", experiment.training_digest, where.store)
    if seeds:
        how = {"resume": options.resume, "executor": options.executor, "address": options.ray_address}
        return train_many.run_seeds(experiment, seeds, where, device=device, **how)
    record = train_workflow.run(experiment, where, device=device, resume=options.resume)
    log.info("  %s", record.folder)
    return [train_many.Trained(experiment.seed, record)]
