"""What each command prints. Each takes the parsed options and where things lie, and returns the exit code."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ndg import config
from ndg.config import Experiment
from ndg.errors import ConfigError, FailureError, UserError
from ndg.locations import Locations
from ndg.progress import log

OVERRIDE = re.compile(r"[a-z_]+(\.[a-z_]+)*=")


def train(asked: Namespace, where: Locations) -> int:
    seeds = _seeds(asked)
    names, overrides = _sort(asked.what)
    if asked.seed is not None:
        overrides.append(f"seed={asked.seed}")
    if seeds and any(word.startswith("seed=") for word in overrides):
        raise UserError("a training has one seed: give --seeds, or --seed (or seed=N), and not both")
    experiments = [config.load(config.find(name), overrides, smoke=asked.smoke) for name in names or config.configs()]
    if asked.print_config:
        return _print_configs(experiments)

    from ndg.pipeline import smoke

    with TemporaryDirectory() if asked.dry_run else nullcontext(where.runs) as folder:  # a dry run leaves nothing
        if asked.smoke:
            samples = replace(where, runs=Path(folder))
            experiments = [smoke.with_data(experiment, samples) for experiment in experiments]
        return _train(asked, where, names, experiments, seeds)


def _train(
    asked: Namespace, where: Locations, names: list[str], experiments: list[Experiment], seeds: list[int]
) -> int:
    from ndg.pipeline import several, trainings
    from ndg.report import summaries

    if not names:
        experiments, missing = trainings.at_hand(experiments, where)
        for name, reason in missing.items():
            log.info("%s is left out: %s", name, reason)
        if not experiments:
            raise UserError("no config has its data at hand; `ndg doctor` says what each needs")
    plans = [trainings.plan(experiment, where) for experiment in experiments] if asked.dry_run or not names else []
    plans = [plan for plan in plans for _ in seeds or [0]]
    if asked.dry_run:
        return _print(asked, summaries.plans(plans), [plan.to_dict() for plan in plans])
    if plans:
        log.info("%s", summaries.plans(plans))
    device = trainings.device(asked.device)
    records: list[Any] = []
    failed: list[str] = []
    try:
        for experiment in experiments:
            told = f"seeds {', '.join(map(str, seeds))}" if seeds else f"seed {experiment.seed}"
            log.info("train %s, %s, on %s", experiment.name, told, device)
            log.debug("  training digest %s, run log %s", experiment.training_digest, where.store_of(experiment))
            if seeds:
                how = {"resume": asked.resume, "executor": asked.executor, "address": asked.ray_address}
                for outcome in several.run_seeds(experiment, seeds, where, device=device, **how):
                    if outcome.record is None:
                        failed.append(f"{experiment.name} with seed {outcome.seed}: {outcome.reason}")
                    else:
                        records.append(outcome.record)
                continue
            records.append(trainings.run(experiment, where, device=device, resume=asked.resume))
            log.info("  %s", records[-1].folder)
    finally:  # what is done is told, also when a later one fails
        if records:
            _print(asked, summaries.trained(records), records)
    if failed:
        raise FailureError(
            f"{len(failed)} of {len(failed) + len(records)} trainings failed, the others are complete; "
            + "; ".join(failed)
        )
    return 0


def align(asked: Namespace, where: Locations) -> int:
    from ndg.pipeline import targets

    names, overrides = _sort(asked.what)
    layers = [word for word in asked.layers or [] if not OVERRIDE.match(word)]
    overrides += [word for word in asked.layers or [] if OVERRIDE.match(word)]  # they may follow the layers
    if asked.model or asked.hf:
        found = targets.own(asked.model, asked.hf, layers, names, overrides, where)
    else:
        if layers:
            overrides.append(f"extract.layers={json.dumps(layers)}")
        found = targets.find(names, overrides, where, asked.smoke)
    if asked.print_config:
        return _print_configs([target.experiment for target in found])

    from ndg.pipeline import alignments, prepared, trainings
    from ndg.report import summaries

    for target in found:
        log.info("%s: %s (%s)", target.experiment.name, target.id, target.why)
    device = trainings.device(asked.device)
    if asked.dry_run:
        plans = prepared.plans(found, where)
        return _print(asked, summaries.alignment_plans(plans), [plan.to_dict() for plan in plans])
    records: list[Any] = []
    try:
        for target, made in prepared.prepare(found, where, device, asked.executor, asked.ray_address):
            log.debug("align %s by digest %s", target.id, target.experiment.digest)
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


def data(asked: Namespace, where: Locations) -> int:
    from ndg.data import downloads

    if asked.action == "list":
        found = downloads.entries(where.data, asked.names)
        return _print(asked, "\n\n".join(each.text() for each in found), [each.to_dict() for each in found])
    if not asked.names:
        raise UserError("`ndg data get` needs the name of a data set; got none; `ndg data list` names them")
    for name in asked.names:
        downloads.source_of(name)
    if where.data is None:
        raise UserError("data sets need a folder to lie in; got none; name one with --data DIR or NDG_DATA")
    got: list[Any] = []
    try:
        for name in asked.names:
            got.append(downloads.get(name, where.data))
    finally:  # what is done is told, also when a later one fails
        if got:
            _print(asked, "\n".join(each.text() for each in got), [each.to_dict() for each in got])
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


def _seeds(asked: Namespace) -> list[int]:
    """The whole numbers after --seeds; other words that follow them are configs and overrides."""
    words = asked.seeds or []
    found = [int(word) for word in words if word.isdecimal()]
    if words and not found:
        raise UserError(f"--seeds takes whole numbers, as in --seeds 0 1 2; got {' '.join(words)}")
    asked.what += [word for word in words if not word.isdecimal()]
    return found


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
