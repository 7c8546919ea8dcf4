"""The user's own network, from a function or a Hugging Face folder."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import pkgutil
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ndg import data
from ndg.config import Experiment
from ndg.data.inputs import IMAGE, TEXT
from ndg.errors import ConfigError, UserError, check_list
from ndg.extras import require
from ndg.locations import Locations
from ndg.models import pretrained
from ndg.workflows.subject import AdaptedLoader, Subject, own

RETURNS = "(network, loaders), with loaders = {'train': ..., 'test': ...}, or (network, train_loader, test_loader)"
log = logging.getLogger("ndg")

UNNAMED = re.compile(r"LABEL_\d+")
"""Label names that transformers makes up."""
TASKS = ("ForSequenceClassification", "ForImageClassification")


def of_function(name: str, batch: int) -> Subject:
    """The network and loaders that `package.module:function` or `file.py:function` returns.

    The function takes no arguments. The network's attribute `class_names` names the classes. Raises ConfigError for a
    function that cannot be imported or called, or that returns something else.
    """
    function = _find(name)
    try:
        returned = function()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        _check_sigterm(error)
        raise ConfigError(
            f"--model calls {name} without arguments; it raised {type(error).__name__}: {error}; call it in Python to "
            "see where"
        ) from error
    network, loaders = _network_and_loaders(name, returned)
    class_names = getattr(network, "class_names", None)
    check_list(class_names, f"class_names of the network of {name}")
    return own(network, loaders, name, class_names if isinstance(class_names, Iterable) else None, batch)


def of_folder(folder: str, experiment: Experiment, where: Locations) -> tuple[Subject, Experiment]:
    """Network and data of a Hugging Face folder, and the experiment.

    The experiment gets the network's image size. Texts are tokenized by the folder's tokenizer, pixels normalised by
    its `preprocessor_config.json`, and classes numbered as the network's labels. Nothing is downloaded or unpickled.
    Raises ConfigError or CheckpointError for a folder that cannot be used, or whose network has other classes than the
    data.
    """
    require("transformers", "a network of --hf")
    import transformers

    settings = pretrained.document(
        Path(folder) / "config.json", "--hf takes a folder that save_pretrained of transformers wrote"
    )
    pretrained.check(folder, settings)
    architecture = str((settings.get("architectures") or [""])[0])
    task = next((task for task in TASKS if architecture.endswith(task)), "")  # "": a network without a head
    network: nn.Module = pretrained.load(getattr(transformers, f"AutoModel{task}"), folder)
    size, name = settings.get("image_size"), experiment.data.name
    scalable = name in data.DATASETS and name != "arrays" and bool(data.DATASETS[name].files)
    if isinstance(size, int) and experiment.data.size is None and scalable:
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
    label_of_class = _order(folder, network, splits.source, names) if task else tuple(range(len(names)))
    pixel_moments = pretrained.pixels(folder, form.shape[0]) if form.kind == IMAGE else None
    mean, std = (torch.tensor(pixel_moments[key])[:, None, None] if pixel_moments else None for key in ("mean", "std"))
    known = frozenset(inspect.signature(network.forward).parameters)
    batch, places = experiment.extract.compute_batch, torch.tensor(label_of_class, dtype=torch.int64)
    loaders = {name: AdaptedLoader(splits[name].loader(batch), known, places, mean, std) for name in data.SPLITS}
    in_order = [names[label_of_class.index(place)] for place in range(len(names))]
    experiment = replace(experiment, data=replace(experiment.data, dir=placed.data.dir))
    subject = own(network, loaders, f"{Path(folder).name} on {splits.source}", in_order, batch)
    facts = splits.facts() | {key: subject.facts[key] for key in ("classes", "labelled")}
    return replace(subject, facts=facts, identity={**(subject.identity or {}), "name": str(folder)}), experiment


def _find(name: str) -> Callable[[], Any]:
    """The function of that name, also from the current folder."""
    where, colon, attribute = name.rpartition(":")
    if not colon or not where or not attribute:
        raise ConfigError(
            f"--model is written package.module:function or path/to/file.py:function; got {name!r}; the function "
            f"returns {RETURNS}"
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # for later imports of the function
    try:
        function = _from_file(Path(where), attribute) if where.endswith(".py") else pkgutil.resolve_name(name)
    except SystemExit as error:
        _check_sigterm(error)
        raise ConfigError(
            f"--model imports the file of the function; {where} ended Python by sys.exit({error.code!r}) when it was "
            "imported; put what it runs as a script below if __name__ == '__main__':"
        ) from error
    except Exception as error:  # the user's module may raise anything
        raise ConfigError(
            f"--model names a function that can be imported from {folder}; {name!r} cannot: {type(error).__name__}: "
            f"{error}; correct the name, or run from the folder that holds the package"
        ) from error
    if not callable(function):
        raise ConfigError(f"--model names a function; {name} is a {type(function).__name__}; it returns {RETURNS}")
    return function


def _check_sigterm(error: BaseException) -> None:
    """Raise again what ends this process: SystemExit of SIGTERM."""
    if isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM:
        raise error


def _from_file(path: Path, attribute: str) -> Any:
    """An attribute of a module file, whose folder workers can import."""
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


def _network_and_loaders(name: str, returned: Any) -> tuple[nn.Module, dict[str, Iterable[Any]]]:
    rule = f"--model names a function that returns {RETURNS}"
    if not isinstance(returned, tuple) or len(returned) not in (2, 3) or not isinstance(returned[0], nn.Module):
        parts = f"({', '.join(type(part).__name__ for part in returned)})" if isinstance(returned, tuple) else None
        raise ConfigError(
            f"{rule}; {name} returned {parts or type(returned).__name__}; the network is a torch.nn.Module"
        )
    if len(returned) == 3:
        return returned[0], {"train": returned[1], "test": returned[2]}
    if not isinstance(returned[1], Mapping):
        raise ConfigError(
            f"{rule}; {name} returned one {type(returned[1]).__name__} beside the network; return loaders of training "
            "and of held-out examples"
        )
    return returned[0], dict(returned[1])


def _order(folder: str, network: nn.Module, data_name: str, class_names: tuple[str, ...]) -> tuple[int, ...]:
    """The network's label of each class, by name.

    ConfigError if only some match.
    """
    named = {int(place): str(name) for place, name in getattr(network.config, "id2label", {}).items()}
    theirs = [named.get(place, f"LABEL_{place}") for place in range(len(class_names))]
    ours, known = [_normalised(name) for name in class_names], [_normalised(name) for name in theirs]
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


def _normalised(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
