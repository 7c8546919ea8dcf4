"""What each command prints. Each takes the parsed options and where things lie, and returns the exit code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndg import config
from ndg.config import Experiment
from ndg.errors import ConfigError, UserError
from ndg.locations import Locations
from ndg.progress import log


def train(asked: Namespace, where: Locations) -> int:
    names, overrides = _sort(asked.what)
    if asked.seed is not None:
        overrides.append(f"seed={asked.seed}")
    experiments = [config.load(config.find(name), overrides) for name in names or config.configs()]
    if asked.print_config:
        return _print_configs(experiments)

    from ndg.pipeline import trainings
    from ndg.report import summaries

    if not names:
        experiments, missing = trainings.at_hand(experiments, where)
        for name, reason in missing.items():
            log.info("%s is left out: %s", name, reason)
        if not experiments:
            raise UserError("no config has its data at hand; `ndg doctor` says what each needs")
    plans = [trainings.plan(experiment, where) for experiment in experiments] if asked.dry_run or not names else []
    if asked.dry_run:
        return _print(asked, summaries.plans(plans), [plan.to_dict() for plan in plans])
    if plans:
        log.info("%s", summaries.plans(plans))
    device = trainings.device(asked.device)
    records: list[Any] = []
    try:
        for experiment in experiments:
            log.info("train %s, seed %d, on %s", experiment.name, experiment.seed, device)
            log.debug("  training digest %s, run log %s", experiment.training_digest, where.store_of(experiment))
            records.append(trainings.run(experiment, where, device=device, resume=asked.resume))
            log.info("  %s", records[-1].folder)
    finally:  # what is done is told, also when a later one fails
        if records:
            _print(asked, summaries.trained(records), records)
    return 0


def align(asked: Namespace, where: Locations) -> int:
    from ndg.pipeline import targets

    names, overrides = _sort(asked.what)
    found = targets.find(names, overrides, where)
    if asked.print_config:
        return _print_configs([target.experiment for target in found])

    from ndg.pipeline import alignments, prepared, trainings
    from ndg.report import summaries

    for target in found:
        log.info("%s: %s (%s)", target.experiment.name, target.run.id, target.why)
    device = trainings.device(asked.device)
    if asked.dry_run:
        plans = prepared.plans(found, where)
        return _print(asked, summaries.alignment_plans(plans), [plan.to_dict() for plan in plans])
    records: list[Any] = []
    try:
        for target, made in prepared.prepare(found, where, device, asked.executor, asked.ray_address):
            log.debug("align %s by digest %s", target.run.id, target.experiment.digest)
            records.append(alignments.run(target, made))
    finally:  # what is done is told, also when a later one fails
        if records:
            _print(asked, summaries.aligned(records), records)
        for record in records if not asked.json else []:
            for name in ("ndg.pdf", "report.html"):
                if (record.folder / name).is_file():
                    print(f"{record['name']:12} {_near(record.folder / name)}")
    return 0


def runs(asked: Namespace, where: Locations) -> int:
    from ndg import runs
    from ndg.runs import show

    if asked.limit < 1:
        raise UserError(f"--limit is at least 1; got {asked.limit}")
    try:
        query = json.loads(asked.where) if asked.where else {}
    except json.JSONDecodeError as error:
        raise UserError(
            f"--where takes a MongoDB query as JSON, in single quotes; got {asked.where!r} ({error})"
        ) from error
    with runs.open(where.store, local=where.runs) as book:
        found = book.find(query, limit=asked.limit, metrics=asked.json)
    return _print(asked, show.table(found), found)


def show(asked: Namespace, where: Locations) -> int:
    from ndg import runs
    from ndg.runs import show

    with runs.open(where.store, local=where.runs) as book:
        record = book.get(asked.run)
    return _print(asked, show.text(record), record)


def render(asked: Namespace, where: Locations) -> int:
    from ndg import runs
    from ndg.pipeline import pictures
    from ndg.report.render import REPORTS

    with runs.open(where.store, local=where.runs) as book:
        complete = book.find({"kind": "align", "status": "COMPLETED"}, limit=1) if asked.run == "last" else []
        record = complete[0] if complete else book.get(asked.run, kind="align")
    wanted = {kind: getattr(asked, kind) for kind in REPORTS if getattr(asked, kind) is not None}
    for kind, path in (wanted or {"pdf": ""}).items():
        print(_near(pictures.draw(record, kind, path, target=asked.target, max_nodes=asked.max_nodes)))
    return 0


def configs(asked: Namespace, where: Locations) -> int:
    for name, path in config.configs().items():
        print(f"{name:20} {_near(path)}")
    return 0


def doctor(asked: Namespace, where: Locations) -> int:
    from ndg.doctor import examine

    ill = False
    for finding in examine(where):
        print(f"{'!!' if finding.remedy else 'ok'}  {finding.what:22} {finding.found}")
        if finding.remedy:
            ill = True
            print(f"    {finding.remedy}")
    return int(ill)


def _sort(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and overrides, apart."""
    overrides = [word for word in words if "=" in word]
    return [word for word in words if "=" not in word], overrides


def _print_configs(experiments: Sequence[Experiment]) -> int:
    if len(experiments) != 1:
        raise ConfigError(f"--print-config prints one config; got {len(experiments)}; name one")
    print(experiments[0].to_yaml(), end="")
    return 0


def _print(asked: Namespace, text: Any, document: Any) -> int:
    """Text for people, or with --json the document: results go to stdout."""
    if getattr(asked, "json", False):
        json.dump(document, sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        print(text.text(width=120) if hasattr(text, "columns") else text)
    return 0


def _near(path: Path) -> Path:
    """A path as a person in this folder would type it."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
