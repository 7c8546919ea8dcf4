"""`ndg train`."""

from __future__ import annotations

from argparse import Namespace
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ndg import config
from ndg.commands.shared import output, print_configs, seeds_of, sort, with_store
from ndg.config import Experiment
from ndg.errors import FailureError, UserError
from ndg.locations import Locations
from ndg.progress import log


def train(asked: Namespace, where: Locations) -> int:
    seeds = seeds_of(asked)
    names, overrides = sort(asked.what)
    if asked.seed is not None:
        overrides.append(f"seed={asked.seed}")
    if seeds and any(word.startswith("seed=") for word in overrides):
        raise UserError("a training has one seed: give --seeds, or --seed (or seed=N), and not both")
    overrides, where = with_store(asked, names or config.configs(), overrides, where)
    experiments = [config.load(config.find(name), overrides, smoke=asked.smoke) for name in names or config.configs()]
    if asked.print_config:
        return print_configs(experiments)

    from ndg.workflows import smoke

    with TemporaryDirectory() if asked.dry_run else nullcontext(where.runs) as folder:  # a dry run leaves nothing
        if asked.smoke:
            samples = replace(where, runs=Path(folder))
            experiments = [smoke.with_data(experiment, samples) for experiment in experiments]
        return _train(asked, where, names, experiments, seeds)


def _train(
    asked: Namespace, where: Locations, names: list[str], experiments: list[Experiment], seeds: list[int]
) -> int:
    from ndg.report import cli_tables
    from ndg.workflows import train as train_workflow
    from ndg.workflows import train_many

    if not names:
        experiments, missing = train_workflow.at_hand(experiments, where)
        for name, reason in missing.items():
            log.info("%s is left out: %s", name, reason)
        if not experiments:
            raise UserError("no config has its data at hand; `ndg doctor` says what each needs")
    plans = [train_workflow.plan(experiment, where) for experiment in experiments] if asked.dry_run or not names else []
    plans = [plan for plan in plans for _ in seeds or [0]]
    if asked.dry_run:
        return output(asked, cli_tables.plans(plans), [plan.to_dict() for plan in plans])
    if plans:
        log.info("%s", cli_tables.plans(plans))
    device = train_workflow.device(asked.device)
    records: list[Any] = []
    failed: list[str] = []
    try:
        for experiment in experiments:
            told = f"seeds {', '.join(map(str, seeds))}" if seeds else f"seed {experiment.seed}"
            log.info("train %s, %s, on %s", experiment.name, told, device)
            log.debug("  training digest %s, run log %s", experiment.training_digest, where.store)
            if seeds:
                how = {"resume": asked.resume, "executor": asked.executor, "address": asked.ray_address}
                for outcome in train_many.run_seeds(experiment, seeds, where, device=device, **how):
                    if outcome.record is None:
                        failed.append(f"{experiment.name} with seed {outcome.seed}: {outcome.reason}")
                    else:
                        records.append(outcome.record)
                continue
            records.append(train_workflow.run(experiment, where, device=device, resume=asked.resume))
            log.info("  %s", records[-1].folder)
    finally:  # what is done is told, also when a later one fails
        if records:
            output(asked, cli_tables.trained(records), records)
    if failed:
        raise FailureError(
            f"{len(failed)} of {len(failed) + len(records)} trainings failed, the others are complete; "
            + "; ".join(failed)
        )
    return 0
