"""The only reader of config files.

OmegaConf reads YAML and dotted overrides (`criterion.alpha=50`) and converts types. Every key is checked against the
schema; a scalar in place of a list becomes a list of one. Fields of type text keep what was typed: `name=no` is the
name "no". The saved config of a run loads as well.
"""

from __future__ import annotations

import copy
import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from ndg.config.criterion import Criterion, section_of
from ndg.config.limits import BYTES, DEPTH, check_values, check_yaml
from ndg.config.networks import MLP, MODELS
from ndg.config.schema import Experiment
from ndg.errors import ConfigError, nearest

TEXT = (str, str | None, list[str])
TEXTS = ("mining.pairs",)
"""Keys of type Any whose values are texts."""

FORMER = {"importance.steps": "n_steps"}
"""Renamed keys in the saved configs of older runs."""


@dataclass(frozen=True)
class _Store:
    """The section `store` of configs of older versions."""

    uri: str | None = None


def load(source: str | Path | dict[str, Any], overrides: Sequence[str] = (), *, smoke: bool = False) -> Experiment:
    """The experiment of a YAML file or dictionary, with overrides.

    With `smoke`, the config's `smoke` section is applied before the overrides, and the name ends in `-smoke`. A section
    `store` is not part of the experiment: `store_uri` reads it.

    Raises ConfigError for a missing file, an unknown key (naming the nearest valid one), or a value of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from ndg.config.typed import texts_of

    where = "config" if isinstance(source, dict) else source
    document, texts = _document(source, overrides, smoke), texts_of(source, overrides, smoke)
    if _store(document):
        warnings.warn(
            f"an experiment has no store; the one in {where} is ignored here: give it to Locations, or by --store",
            DeprecationWarning,
            stacklevel=2,
        )
    document.pop("store", None)
    model = document.get("model") or {}
    name = model.get("name", MLP.name) if isinstance(model, dict) else model
    if not isinstance(name, str) or name not in MODELS:
        raise ConfigError(f"model.name must be a known model; got {name!r}; {nearest(str(name), MODELS)}")
    criterion = document.get("criterion")
    rule = criterion.get("name", Criterion.name) if isinstance(criterion, dict) else Criterion.name
    schema_of = Experiment(model=MODELS[name](), criterion=section_of(str(rule))())
    _match(document, schema_of, "", texts)
    if isinstance(document.get("smoke"), dict):
        document["smoke"].pop("store", None)
        _match(copy.deepcopy(document["smoke"]), schema_of, "smoke.", {})
    schema = OmegaConf.structured(schema_of)
    OmegaConf.set_readonly(schema, False)
    for key in schema:
        if OmegaConf.is_config(schema[key]):
            OmegaConf.set_readonly(schema[key], False)
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, document))  # type: ignore[return-value]
    except (OmegaConfBaseException, TypeError, OverflowError) as error:  # of a container, and of a large number
        check_values(document)
        raise ConfigError(f"{getattr(error, 'full_key', None) or where}: {_first_line(error)}") from error
    except RecursionError as error:
        raise _too_deep(where) from error


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
    """Raise ConfigError for a name of a file that is not UTF-8, which no run log can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what} must be UTF-8, since the run log names it; got {text!r}; rename the folder, or link to it"
        ) from error


def _document(source: str | Path | dict[str, Any], overrides: Sequence[str], smoke: bool) -> dict[str, Any]:
    """A config as a dictionary, with overrides and smoke section, unchecked."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from ndg.config.typed import texts_of

    where = "config" if isinstance(source, dict) else source
    for override in overrides:
        check_utf8("an override", override)
        if not override.partition("=")[0] or "=" not in override:
            raise ConfigError(f"an override is written key=value, as in criterion.alpha=50; got {override!r}")
        check_yaml(override.partition("=")[2], f"the override of {override.partition('=')[0]}")
    try:
        document: Any = OmegaConf.create(source) if isinstance(source, dict) else OmegaConf.load(_file(source))
        if OmegaConf.is_dict(document) and smoke:
            changes = document.pop("smoke", None)
            if not changes:
                hint = "add one, or run it with overrides such as train.epochs=1"
                raise ConfigError(f"{where} has no smoke section; {hint}")
            document = OmegaConf.merge(document, changes)
            own = f"{document.get('name', 'experiment')}-smoke"
            document["name"] = own if isinstance(source, dict) else texts_of(source, (), smoke)["name"]
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {where}; `ndg configs` lists those that ship") from error
    except ConfigError:
        raise
    except (OmegaConfBaseException, YAMLError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{where} cannot be read as YAML: {_first_line(error)}") from error
    except RecursionError as error:
        raise _too_deep(where) from error
    if not OmegaConf.is_dict(document):
        raise ConfigError(f"{where} must hold keys and values at the top; got a list")
    for override in overrides:
        try:
            document = OmegaConf.merge(document, OmegaConf.from_dotlist([override]))
        except (OmegaConfBaseException, YAMLError, ValueError, TypeError, RecursionError) as error:
            raise ConfigError(
                f"the value of an override is YAML; {override!r} cannot be read: {_first_line(error)}; "
                "put quotes around a text"
            ) from error
    try:
        plain: Any = OmegaConf.to_container(document, resolve=True)
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{getattr(error, 'full_key', None) or where}: {_first_line(error)}") from error
    return {str(key): value for key, value in plain.items()}


def _file(source: str | Path) -> io.StringIO:
    """Text of a config file, checked as YAML."""
    path = Path(source)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigError(f"a config is a file; {path} is a folder or a device; name a file in it")
    with path.open(encoding="utf-8") as file:
        text = file.read(BYTES + 1)
    check_yaml(text, path)
    return io.StringIO(text)


def _too_deep(where: object) -> ConfigError:
    return ConfigError(f"a config has at most {DEPTH} levels; {where} has more; give a simpler one")


def _store(document: dict[str, Any]) -> str | None:
    """The store's URI in a document. Raises ConfigError."""
    section = document.get("store") or {}
    if not isinstance(section, dict):
        raise ConfigError(f"store must hold keys (uri); got {section!r}")
    _match(section, _Store(), "store.", {})
    return None if section.get("uri") is None else str(section["uri"])


def _match(section: dict[Any, Any], schema: Any, prefix: str, texts: Any) -> None:
    """Check keys against a dataclass; wrap scalars where it has lists, and take `texts` for texts."""
    from ndg.config.typed import as_other_number, as_typed

    valid = {f.name: getattr(schema, f.name) for f in fields(schema)}
    types = get_type_hints(type(schema))
    for key, value in list(section.items()):
        full = f"{prefix}{key}"
        typed = texts.get(key) if isinstance(texts, dict) else None
        if (now := FORMER.get(full)) is not None:
            section[now] = section.pop(key)
            key, full = now, f"{prefix}{now}"
        if key not in valid:
            sections = {} if prefix else {name: part for name, part in valid.items() if is_dataclass(part)}
            homes = [f"{name}.{key}" for name, part in sections.items() if hasattr(part, str(key))]
            hint = f"nearest: {', '.join(homes)}" if homes else nearest(full, [prefix + name for name in valid])
            raise ConfigError(f"no key {full!r} in a config; {hint}")
        expected = valid[key]
        if is_dataclass(expected):
            if not isinstance(value, dict):
                keys = ", ".join(f.name for f in fields(expected))
                raise ConfigError(f"{full} must hold keys ({keys}); got {value!r}")
            _match(value, expected, f"{full}.", typed)
            continue
        items = value if isinstance(value, list) else [value]
        if types[key] == list[str] and any(isinstance(item, dict | list) for item in items):
            raise ConfigError(f"{full} must be one text or a list of texts; got {value!r}; write it as in [a, b]")
        if (types[key] in TEXT or full in TEXTS) and not (value is None and types[key] == (str | None)):
            section[key] = value = as_typed(value, typed)
        elif wrong := as_other_number(value, typed):
            raise ConfigError(
                f"{full} must be a decimal; got {wrong[0]!r}, which YAML reads as {wrong[1]}; write it so"
            )
        if isinstance(expected, list) and not isinstance(value, list):
            section[key] = [value]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
