"""The only reader of config files.

A config is YAML, with dotted overrides (`criterion.alpha=50`). Every key is checked against the schema and its value
converted to the type of its field; a scalar in place of a list becomes a list of one. Fields of type text keep what was
typed: `name=no` is the name "no", and `${...}` stays as it is. The saved config of a run loads as well.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from ndg.addresses import check_address
from ndg.config import scalars
from ndg.config.criterion import Criterion, section_of
from ndg.config.limits import BYTES, DEPTH, check_yaml
from ndg.config.migration import migrated
from ndg.config.networks import MLP, MODELS
from ndg.config.schema import Experiment
from ndg.config.typed import shown, typed
from ndg.errors import ConfigError, check_kind, check_list, nearest


@dataclass(frozen=True)
class _Store:
    """The section `store` of a config: the run log, and whether files and documents for sacred go there too."""

    uri: str | None = None
    upload: bool = False
    sacred: bool = False


def load(source: str | Path | dict[str, Any], overrides: Sequence[str] = (), *, smoke: bool = False) -> Experiment:
    """The experiment of a YAML file or dictionary, with overrides.

    With `smoke`, the config's `smoke` section is applied before the overrides, and the name ends in `-smoke`. A section
    `store` is not part of the experiment: `store_uri` reads it.

    Raises ConfigError for a missing file, an unknown key (naming the nearest valid one), or a value of the wrong type.

    >>> ndg.load_config(ndg.config.find("digits_mlp"), ["train.epochs=3"]).train.epochs
    3
    """
    document = _document(source, overrides, smoke)
    if _store(document):
        where = "config" if isinstance(source, dict) else source
        warnings.warn(
            f"an experiment has no store; the one in {where} is ignored here: give it to Locations, or by --store",
            DeprecationWarning,
            stacklevel=2,
        )
    document.pop("store", None)
    model = document.get("model") or {}
    name = scalars.texts(model.get("name", MLP.name) if isinstance(model, dict) else model)
    if not isinstance(name, str) or name not in MODELS:
        raise ConfigError(f"model.name must be a known model; got {name!r}; {nearest(str(name), MODELS)}")
    criterion = document.get("criterion")
    rule = scalars.texts(criterion.get("name", Criterion.name)) if isinstance(criterion, dict) else Criterion.name
    schema = Experiment(model=MODELS[name](), criterion=section_of(str(rule))())
    values = _values(document, schema, "", replace)
    if "smoke" in document:
        if not isinstance(changes := document["smoke"], dict):
            raise ConfigError(f"smoke must hold keys (those of a config); got {shown(changes)}")
        changes = {key: value for key, value in changes.items() if key != "store"}
        values["smoke"] = _values(changes, schema, "smoke.", lambda section, **changes: changes)
    return replace(schema, **values)


def store_uri(source: str | Path | dict[str, Any], overrides: Sequence[str] = (), *, smoke: bool = False) -> str | None:
    """The run log in the section `store` of a config; None without one."""
    return _store(_document(source, overrides, smoke))


def configs() -> dict[str, Path]:
    """Paths of the configs of this installation, by name."""
    package = Path(__file__).parent.parent
    folder = next((f for f in (package / "configs", package.parent / "configs") if f.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str) -> Path:
    """Path of a config, by path or name. Raises ConfigError."""
    path = Path(name)
    if os.path.isfile(path):
        return path
    shipped = configs()
    if path.stem in shipped and path.suffix in ("", ".yaml", ".yml") and len(path.parts) <= 2:
        return shipped[path.stem]
    raise ConfigError(f"there is no config file {name!r} and none of that name ships; {nearest(path.stem, shipped)}")


def is_config(name: str) -> bool:
    """Whether a name means a config: shipped, or a YAML file."""
    path = Path(name)
    return os.path.isfile(path) or path.stem in configs() or path.suffix in (".yaml", ".yml")


def check_utf8(what: str, text: str) -> None:
    """Raise ConfigError for file names that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what} must be UTF-8, since the run log names it; got {text!r}; rename the folder, or link to it"
        ) from error


def _document(source: str | Path | dict[str, Any], overrides: Sequence[str], smoke: bool) -> dict[str, Any]:
    """A config as a dictionary of `scalars`, with overrides and smoke section, unchecked."""
    from yaml import YAMLError

    rule = "a config is a dictionary, or the name or path of a YAML file"
    check_kind(source, (dict, str, os.PathLike), rule, "see ndg configs for those that ship")
    where = "config" if isinstance(source, dict) else source
    check_list(overrides, "overrides")
    check_kind(overrides, (list, tuple), "overrides are a list of texts", 'write ["criterion.alpha=50"]')
    try:
        document = scalars.copied(source) if isinstance(source, dict) else scalars.read(_text(source))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {where}; `ndg configs` lists those that ship") from error
    except ConfigError:
        raise
    except (YAMLError, OSError, ValueError) as error:
        raise ConfigError(f"{where} cannot be read as YAML: {_first_line(error)}{_line(error)}; correct it") from error
    except RecursionError as error:
        raise ConfigError(f"a config has at most {DEPTH} levels; {where} has more; give a simpler one") from error
    if not isinstance(document, dict):
        kind = "list" if isinstance(document, list) else "text"
        raise ConfigError(f"{where} must hold keys and values at the top; got a {kind}; write key: value")
    if smoke:
        if not isinstance(changes := document.pop("smoke", None), dict) or not changes:
            hint = "add one, or run it with overrides such as train.epochs=1"
            raise ConfigError(f"{where} has no smoke section; {hint}")
        document = scalars.merged(document, changes)
        document["name"] = f"{scalars.texts(document.get('name', 'experiment'))}-smoke"
    for override in overrides:
        document = scalars.merged(document, _change(override))
    return migrated(document, where)


def _change(override: str) -> dict[str, Any]:
    """An override as a dictionary."""
    from yaml import YAMLError

    if not isinstance(override, str) or not override.partition("=")[0] or "=" not in override:
        raise ConfigError(f"an override is written key=value, as in criterion.alpha=50; got {override!r}")
    check_utf8("an override", override)
    key, _, text = override.partition("=")
    check_yaml(text, f"the override of {key}")
    try:
        value = scalars.read_override(text)
    except ConfigError:
        raise
    except (YAMLError, ValueError) as error:
        advice = "put quotes around a text, as in name='\"a: b\"'"
        if "comes twice" in str(error):
            advice = "leave one of them out"
        raise ConfigError(
            f"the value of an override is YAML; {override[:200]!r} cannot be read: {_first_line(error)}; {advice}"
        ) from error
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return dict(value)


def _text(source: str | Path) -> str:
    """Text of a config file, checked as YAML."""
    path = Path(source)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigError(f"a config is a file; {path} is a folder or a device; name a file in it")
    with path.open(encoding="utf-8") as file:
        text = file.read(BYTES + 1)
    check_yaml(text, path)
    return text


def _store(document: dict[str, Any]) -> str | None:
    """The store's URI in a document. Raises ConfigError."""
    section = document.get("store") or {}
    if not isinstance(section, dict):
        if (section := scalars.plain(section)) is None:
            return None
        raise ConfigError(f"store must hold keys (uri); got {section!r}")
    values = _values(section, _Store(), "store.", replace)
    uri = values.get("uri")
    words = [word for word in ("upload", "sacred") if values.get(word)]
    if words and not str(uri).startswith("mongodb"):
        raise ConfigError(f"store.{words[0]} writes to a MongoDB server; give store.uri=mongodb://... too")
    if uri is not None:
        check_address(str(uri))
    return None if uri is None else "#".join([str(uri), *filter(None, [",".join(words)])])


def _values(section: dict[str, Any], schema: Any, prefix: str, make: Any) -> dict[str, Any]:
    """Typed values of the keys of a dataclass; `make(old, **values)` makes those of its sections."""
    valid = {f.name: getattr(schema, f.name) for f in fields(schema)}
    types = get_type_hints(type(schema))
    values: dict[str, Any] = {}
    for key, value in section.items():
        full = f"{prefix}{key}"
        if key not in valid:
            sections = {} if prefix else {name: part for name, part in valid.items() if is_dataclass(part)}
            homes = [f"{name}.{key}" for name, part in sections.items() if hasattr(part, key)]
            hint = f"nearest: {', '.join(homes)}" if homes else nearest(full, [prefix + name for name in valid])
            raise ConfigError(f"no key {full!r} in a config; {hint}")
        expected = valid[key]
        if is_dataclass(expected):
            if not isinstance(value, dict):
                keys = ", ".join(f.name for f in fields(expected))
                raise ConfigError(f"{full} must hold keys ({keys}); got {shown(value)}")
            values[key] = make(expected, **_values(value, expected, f"{full}.", make))
        elif full != "smoke":
            values[key] = typed(full, types[key], value)
    return values


def _line(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" in line {mark.line + 1}" if mark else ""


def _first_line(error: Any) -> str:
    """What is wrong in a YAML text, or the first line of another error."""
    return str(getattr(error, "problem", None) or str(error).strip().splitlines()[0])
