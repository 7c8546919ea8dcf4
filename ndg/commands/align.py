"""`ndg align`: the trial of a graph, and the other studies."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from ndg import config
from ndg.commands.shared import OVERRIDE, near, output, print_configs, seeds_of, sort, with_store
from ndg.errors import RunNotFoundError, UserError
from ndg.locations import Locations
from ndg.progress import log


def align(asked: Namespace, where: Locations) -> int:
    from ndg.report import cli_tables
    from ndg.workflows import prepare, studies, train

    seeds = seeds_of(asked)
    names, overrides = sort(asked.what)
    study = names.pop(0) if names and names[0] in (studies.TRIAL, *studies.STUDIES) else studies.TRIAL
    if late := [name for name in names if name in studies.STUDIES]:
        raise UserError(f"a study stands before the configs, as in `align.py {late[0]} digits_mlp`; got it after them")
    if asked.dry_run and study != studies.TRIAL:
        raise UserError(f"--dry-run tells what a trial costs, not what {study} does; leave it out, or the study")
    layers = [word for word in asked.layers or [] if not OVERRIDE.match(word)]
    overrides += [word for word in asked.layers or [] if OVERRIDE.match(word)]  # they may follow the layers
    configs = [] if asked.model or asked.hf else config.configs()
    overrides, where = with_store(asked, names or configs, overrides, where)
    found = _targets(asked, names, layers, overrides, seeds, where)
    if asked.print_config:
        return print_configs([target.experiment for target in found])
    for target in found:
        log.info("%s: %s (%s)", target.experiment.name, target.id, target.why)
    device = train.device(asked.device)
    if asked.dry_run:
        plans = [plan for target in found for plan in prepare.plans(target, where)]
        return output(asked, cli_tables.alignment_plans(plans), [plan.to_dict() for plan in plans])
    prepared = [prepare.Prepared(target, where, device, asked.executor, asked.ray_address) for target in found]
    if study == studies.TRIAL:
        return _trial(asked, prepared)
    if asked.resume:
        raise UserError(
            f"--resume goes on with a trial that was cut short; the study {study} begins anew; leave it out"
        )
    records: list[Any] = []
    for record, findings in studies.study(study)(prepared):
        records.append(record)
        if not asked.json:
            print(f"{findings.text(width=120)}\n\n{near(record.folder / 'report.html')}\n")
    return output(asked, "", records) if asked.json else 0


def _targets(
    asked: Namespace, names: list[str], layers: list[str], overrides: list[str], seeds: Sequence[int], where: Locations
) -> Any:
    """The networks that were asked for; with seeds the best training of each seed."""
    from ndg.workflows import studies, targets

    if asked.model or asked.hf:
        if seeds:
            raise UserError("--seeds names trainings of a config; a network of --model or --hf is as it is")
        return [targets.own(asked.model, asked.hf, layers, names, overrides, where)]
    if layers:
        overrides.append(f"extract.layers={json.dumps(layers)}")
    each = [[*overrides, f"seed={seed}"] for seed in seeds] or [overrides]
    try:
        return [target for words in each for target in targets.find(names, words, where, asked.smoke)]
    except RunNotFoundError as error:
        near = get_close_matches(names[0], studies.STUDIES, 1, 0.7) if names else []
        raise RunNotFoundError(f"{error}; the nearest study is {near[0]}") if near else error from None


def _trial(asked: Namespace, prepared: Sequence[Any]) -> int:
    from ndg.report import cli_tables
    from ndg.workflows import align as align_workflow

    records: list[Any] = []
    try:
        for network in prepared:
            for alpha in network.alphas:
                log.debug("align %s by digest %s", network.target.id, network.experiment.at(alpha).digest)
                records.append(align_workflow.run(network, alpha, resume=asked.resume))
    finally:  # what is done is told, also when a later one fails
        if records:
            output(asked, cli_tables.aligned(records), records)
        for record in records if not asked.json else []:
            for name in ("ndg.pdf", "report.html"):
                if (record.folder / name).is_file():
                    print(f"{record['name']:12} {near(record.folder / name)}")
    return 0
