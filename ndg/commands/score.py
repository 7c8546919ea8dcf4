"""`ndg score`: how much each unit matters."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from ndg import config
from ndg.commands.shared import (
    fitted,
    log_targets,
    names_and_overrides,
    near,
    output,
    own_target,
    print_configs,
    say,
    seeds_of,
    with_seeds,
    with_store,
)
from ndg.errors import FailureError, RunNotFoundError, UserError
from ndg.literal import whole_number
from ndg.locations import Locations
from ndg.progress import log


def score(options: Namespace, where: Locations) -> int:
    """Score the units of the networks that the command names."""
    from ndg.report import cli_tables
    from ndg.workflows import score as score_workflow
    from ndg.workflows import score_many, score_request, train

    seeds = seeds_of(options)
    names, overrides = names_and_overrides(options)
    own = _overrides(options)
    score_request.check_methods(config.load({}, own))  # before a network is looked for
    overrides, where = with_store(options, names, overrides + own, where)
    tasks = _tasks(options, names, overrides, seeds, where)
    if options.print_config:
        return print_configs([task.target.experiment for task in tasks])
    device = train.device(options.device)
    names_of = [f"{task.target.experiment.name} {task.target.id}" for task in tasks]
    log_targets([task.target for task in tasks])
    if options.dry_run:
        planned = [
            plan
            for task in tasks
            for plan in score_workflow.plans(task.target, where, device, options.executor, task.aligned)
        ]
        return output(options, cli_tables.score_plans(planned), [asdict(plan) for plan in planned])
    how = {"device": device, "executor": options.executor, "address": options.ray_address}
    records: dict[int, Any] = {}
    failures: dict[int, Any] = {}
    try:
        if len(tasks) == 1:
            [task] = tasks
            records[0] = score_workflow.run(task.target, where, aligned=task.aligned, resume=task.resume, **how)
        else:
            for number, outcome in score_many.run_all(tasks, where, **how):
                if outcome.reason is None:
                    records[number] = outcome.result
                else:
                    failures[number] = outcome
                    log.warning("%s is not scored: %s", names_of[number], outcome.reason)
    finally:  # finished runs are printed also when a later one fails
        finished = [records[number] for number in sorted(records)]
        if finished and options.json:
            output(options, "", finished)
        elif finished:
            _print(finished)
    if failures:
        kind = UserError if all(outcome.mistake for outcome in failures.values()) else FailureError
        raise kind(
            f"{len(failures)} of {len(tasks)} networks could not be scored, the others are; "
            + "; ".join(f"{names_of[number]}: {failures[number].reason}" for number in sorted(failures))
        )
    return 0


def _overrides(options: Namespace) -> list[str]:
    """The options as overrides of the section `importance`."""
    number = whole_number(options.target or "")
    values = {
        "methods": options.method or None,
        "layers": options.layers or None,
        "target": options.target if number is None or str(number) != options.target else number,
        "baselines": options.baselines,
        "split": options.split,
        "max_examples": options.max_examples,
        "scoreboard": None if options.scoreboard is None else options.scoreboard or True,
    }
    return [
        f"importance.{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
        if value is not None
    ]


def _tasks(
    options: Namespace, names: list[str], overrides: list[str], seeds: Sequence[int], where: Locations
) -> list[Any]:
    """The networks to score, each with its alignment where an align run was named."""
    from ndg import runs
    from ndg.workflows import targets
    from ndg.workflows.score_many import Task

    if options.model or options.hf:
        return [Task(own_target(options, names, overrides, where, fitted=False), None, options.resume)]
    if not names:
        raise UserError("`ndg score` needs a network: a config, a run, --model or --hf; got none")
    tasks: list[Any] = []
    for name in names:
        record = None
        with runs.open(where.store, local=where.runs) as book, suppress(RunNotFoundError):  # else it is a config
            record = book.get(name)
        kind = record["kind"] if record else None
        if record and options.resume and kind == "score":
            tasks.append(Task(_interrupted(record, overrides, where), None, True))
            continue
        parent = record.get("parent") if record and kind not in ("train", "align") else None
        for words in with_seeds(overrides, seeds):
            networks = targets.find([parent or name], words, where, options.smoke)
            tasks += [Task(target, record if kind == "align" else None, options.resume) for target in networks]
    return tasks


def _interrupted(record: Any, overrides: Sequence[str], where: Locations) -> Any:
    """The target of an interrupted scoring, with its experiment."""
    from ndg.workflows import targets

    if overrides or record["parent"] is None:
        raise UserError(
            "a scoring that is named continues as it was started, on a network that was trained here; give "
            f"{record.id} and --resume alone, or repeat the command that started it with --resume"
        )
    [target] = targets.find([record["parent"]], [], where)
    return replace(target, experiment=config.load(record["config"]))


def _print(records: Sequence[Any]) -> None:
    from ndg.report import importance_tables, sections

    for record in records:
        say(f"{record['name']}  {record.id}")
        for table in [*importance_tables.boards(record), *sections.scores(record)]:
            say(f"\n{fitted(table)}")
        annotated = record.figure("results.annotated")
        say()
        if annotated:
            say(f"on the nodes of {annotated['run']}; `ndg render {record.id}` draws them")
        for name in ("scores.csv", "report.html"):
            if (record.folder / name).is_file():
                say(near(record.folder / name))
