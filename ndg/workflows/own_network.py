"""Networks of the user's own: from a function that makes one, or from a local Hugging Face folder."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ndg import data
from ndg.config import Experiment
from ndg.data.inputs import IMAGE, TEXT
from ndg.errors import ConfigError, UserError
from ndg.locations import Locations
from ndg.models import pretrained
from ndg.workflows.subject import Shown, Subject, own

RETURNS = "(network, loaders), with loaders = {'train': ..., 'test': ...}, or (network, train_loader, test_loader)"
log = logging.getLogger("ndg")

UNNAMED = re.compile(r"LABEL_\d+")
"""What transformers calls a label without a name."""
TASKS = ("ForSequenceClassification", "ForImageClassification")


def of_function(name: str, batch: int) -> Subject:
    """The network and loaders that the function `package.module:function`, or `file.py:function`, returns.

    It is called without arguments. `class_names`, an attribute of the network, names the classes. Raises ConfigError
    for what cannot be imported or called, or returns something else.
    """
    function = _find(name)
    try:
        given = function()
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(
            f"--model calls {name} without arguments; it raised {type(error).__name__}: {error}; call it in Python to "
            "see where"
        ) from error
    network, loaders = _given(name, given)
    class_names = getattr(network, "class_names", None)
    return own(network, loaders, name, class_names if isinstance(class_names, (list, tuple)) else None, batch)


def of_folder(folder: str, experiment: Experiment, where: Locations) -> tuple[Subject, Experiment]:
    """The network of a Hugging Face folder with the experiment's data, and the experiment with the size of its images.

    Texts become tokens by the folder's own tokenizer, pixels are normalised as its `preprocessor_config.json` says.
    Classes are numbered as the network numbers its labels. Nothing is downloaded or unpickled. Raises ConfigError or
    CheckpointError for a folder that cannot be used, and when the data have other classes than the network.
    """
    settings = pretrained.document(
        Path(folder) / "config.json", "--hf takes a folder that save_pretrained of transformers wrote"
    )
    network, task = _network(folder, settings)
    size = settings.get("image_size")
    if isinstance(size, int) and experiment.data.size is None and _scales(experiment.data.name):
        experiment = replace(experiment, data=replace(experiment.data, size=size))
    placed = where.place(experiment)
    has_words = any((Path(folder) / name).is_file() for name in ("tokenizer.json", "vocab.txt", "merges.txt"))
    splits = data.load(placed.data, placed.data.tokenizer or (folder if has_words else None))
    form = splits.form
    if form.kind == TEXT and form.vocabulary > (rows := getattr(network.config, "vocab_size", form.vocabulary)):
        raise ConfigError(
            f"a network knows all tokens of its tokenizer; {folder} has {rows:,} and the tokenizer gives "
            f"{form.vocabulary:,}; put the tokenizer of this network into the folder, or set data.tokenizer=FOLDER"
        )
    if form.kind == TEXT and isinstance(rows := getattr(network.config, "vocab_size", None), int):
        pretrained.check_tokenizer(folder, form, rows, getattr(network.config, "pad_token_id", None))
    labels = int(getattr(network.config, "num_labels", 0))
    if task and labels != splits.classes:
        raise ConfigError(
            f"the data have as many classes as the network tells apart; {experiment.data.name} has {splits.classes} "
            f"({', '.join(splits.class_names[:5])}), {folder} has {labels}; set data.name to data of its task"
        )
    names = splits.class_names
    order = _order(folder, network, splits.source, names) if task else tuple(range(len(names)))
    moments = pretrained.pixels(folder, form.shape[0]) if form.kind == IMAGE else None
    mean, std = (_channels(moments[key]) if moments else None for key in ("mean", "std"))
    known = frozenset(inspect.signature(network.forward).parameters)
    batch, places = experiment.extract.compute_batch, torch.tensor(order, dtype=torch.int64)
    loaders = {name: Shown(splits[name].loader(batch), known, places, mean, std) for name in data.SPLITS}
    in_order = [names[order.index(place)] for place in range(len(names))]
    one = own(network, loaders, f"{Path(folder).name} on {splits.source}", in_order, batch)
    facts = splits.facts() | {key: one.facts[key] for key in ("classes", "labelled")}
    return replace(one, facts=facts, identity={**(one.identity or {}), "name": str(folder)}), experiment


def _find(name: str) -> Callable[[], Any]:
    """The function of that name; the current folder comes on the path."""
    where, colon, attribute = name.rpartition(":")
    if not colon or not where or not attribute:
        raise ConfigError(
            f"--model is written package.module:function or path/to/file.py:function; got {name!r}; the function "
            f"returns {RETURNS}"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # and it stays there, for what the function imports
    try:
        found = _from_file(Path(where), attribute) if where.endswith(".py") else pkgutil.resolve_name(name)
    except Exception as error:  # whatever the user's own module raises
        raise ConfigError(
            f"--model names a function that can be imported from {here}; {name!r} cannot: {type(error).__name__}: "
            f"{error}; correct the name, or run from the folder that holds the package"
        ) from error
    if not callable(found):
        raise ConfigError(f"--model names a function; {name} is a {type(found).__name__}; it returns {RETURNS}")
    return found


def _from_file(path: Path, attribute: str) -> Any:
    """An attribute of the module in a file, whose folder comes on the path, so that workers find its classes too."""
    name, path = path.stem, path.absolute()
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if name in sys.stdlib_module_names or hasattr(sys.modules.get(name), "__path__"):
        raise ImportError(f"a file must not be called as a package that is in use; rename {path.name}")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return getattr(module, attribute)


def _given(name: str, given: Any) -> tuple[nn.Module, dict[str, Iterable[Any]]]:
    rule = f"--model names a function that returns {RETURNS}"
    if not isinstance(given, tuple) or len(given) not in (2, 3) or not isinstance(given[0], nn.Module):
        parts = f"({', '.join(type(part).__name__ for part in given)})" if isinstance(given, tuple) else None
        raise ConfigError(f"{rule}; {name} returned {parts or type(given).__name__}; the network is a torch.nn.Module")
    if len(given) == 3:
        return given[0], {"train": given[1], "test": given[2]}
    if not isinstance(given[1], Mapping):
        raise ConfigError(
            f"{rule}; {name} returned one {type(given[1]).__name__} beside the network; name the loaders of train and "
            "of held-out examples"
        )
    return given[0], dict(given[1])


def _network(folder: str, settings: dict[str, Any]) -> tuple[nn.Module, str]:
    """The network of a folder in float32, and which task its head is for: one of TASKS, or "" where it has none."""
    import transformers

    pretrained.check(folder, settings)
    architecture = str((settings.get("architectures") or [""])[0])
    task = next((task for task in TASKS if architecture.endswith(task)), "")
    return pretrained.load(getattr(transformers, f"AutoModel{task}"), folder), task


def _order(folder: str, network: nn.Module, data_name: str, class_names: tuple[str, ...]) -> tuple[int, ...]:
    """For each class of the data its place among the network's labels, by their names.

    Names are compared without case, spaces at their ends, and with `_` for `-`. A network that has none (LABEL_0 and so
    on) or none in common with the data is taken to have the data's order; the latter is a warning. Raises ConfigError
    when some names are the same and others are not.
    """
    named = {int(place): str(name) for place, name in getattr(network.config, "id2label", {}).items()}
    theirs = [named.get(place, f"LABEL_{place}") for place in range(len(class_names))]
    ours, known = [_plain(name) for name in class_names], [_plain(name) for name in theirs]
    if set(ours) == set(known) and len(set(known)) == len(known):
        return tuple(known.index(name) for name in ours)
    lists = f"{folder} has the labels {_some(theirs)}, {data_name} the classes {_some(class_names)}"
    if set(ours) & set(known):
        raise ConfigError(
            f"the labels of a network are the classes of the data, whatever their order; {lists}; correct id2label in "
            "its config.json, or the names in the data"
        )
    if not all(UNNAMED.fullmatch(name) for name in theirs):
        log.warning("%s: no name is the same, so the first label is taken to be the first class, and so on", lists)
    return tuple(range(len(class_names)))


def _scales(name: str) -> bool:
    """Whether the images of a data set are files or bytes, which can be given another size."""
    return name in data.DATASETS and name != "arrays" and bool(data.DATASETS[name].files)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _some(names: Iterable[str], most: int = 10) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _channels(values: list[float]) -> torch.Tensor:
    return torch.tensor(values)[:, None, None]
