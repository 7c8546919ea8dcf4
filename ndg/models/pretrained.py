"""Pretrained transformers in a local folder, as `save_pretrained` of the `transformers` package writes them.

Only sizes are taken from `config.json` and only tensors from safetensors files: nothing is downloaded, unpickled or
run that lies in the folder. A checkpoint keeps the sizes, so that it can be loaded without the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ndg.errors import CheckpointError, ConfigError

_SHARED = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps",
)  # fmt: skip
_TEXT = (*_SHARED, "vocab_size", "max_position_embeddings", "type_vocab_size", "pad_token_id")


@dataclass(frozen=True)
class Family:
    """Class names in `transformers`, and the keys of a `config.json` that a network is built from."""

    config: str
    model: str
    keys: tuple[str, ...]
    pooler: bool = True


FAMILIES: dict[str, Family] = {
    "bert": Family("BertConfig", "BertModel", _TEXT),
    "roberta": Family("RobertaConfig", "RobertaModel", _TEXT),
    "distilbert": Family(
        "DistilBertConfig",
        "DistilBertModel",
        (
            "vocab_size", "max_position_embeddings", "sinusoidal_pos_embds", "n_layers", "n_heads", "dim", "hidden_dim",
            "dropout", "attention_dropout", "activation", "initializer_range", "pad_token_id",
        ),
        pooler=False,
    ),
    "vit": Family("ViTConfig", "ViTModel", (*_SHARED, "image_size", "patch_size", "num_channels", "qkv_bias")),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pretrained:
    """The settings of a folder's network, which build it anew, and its weights by the names in that network."""

    settings: dict[str, Any]
    weights: dict[str, Tensor]


def transformer(family: str, settings: dict[str, Any]) -> nn.Module:
    """A network of a family with fresh weights, without its own pooling layer."""
    import transformers

    known = FAMILIES[family]
    try:
        config = getattr(transformers, known.config)(**settings)
        return getattr(transformers, known.model)(config, **_without_pooler(known))
    except Exception as error:  # the package raises exceptions of many kinds for values that do not fit
        raise ConfigError(
            f"settings must make a network of the {family} family; {_line(error)}; correct the sizes"
        ) from error


def read(folder: str, family: str, model: str) -> Pretrained:
    """The pretrained network of a family in a folder, in float32; `model` is the name that the config asks for.

    Raises ConfigError for a folder without such a network or with one of another family, and CheckpointError for
    weights that are damaged or not all there.
    """
    document = _json(Path(folder) / "config.json", f"model.pretrained={folder} must be a folder with config.json")
    found = document.get("model_type")
    if found != family:
        right = "vit or transfg" if found == "vit" else found
        advice = f"use model.name={right}" if found in FAMILIES else f"this package knows {', '.join(FAMILIES)}"
        raise ConfigError(
            f"model.name={model} takes a pretrained network of the {family} family; {folder} holds one of the family "
            f"{found!r}; {advice}"
        )
    if not any((Path(folder) / f"model.safetensors{ending}").is_file() for ending in ("", ".index.json")):
        raise ConfigError(
            f"a pretrained folder has its weights in model.safetensors, which is never unpickled; {folder} has none; "
            "load the network with transformers where you trust it and write it there with save_pretrained"
        )
    import torch
    import transformers

    known = FAMILIES[family]
    with quiet():
        try:
            config = getattr(transformers, known.config)(**{k: document[k] for k in known.keys if k in document})
        except Exception as error:
            raise ConfigError(
                f"{folder}/config.json must hold the sizes of a {family} network; {_line(error)}; copy it again"
            ) from error
        try:
            network, info = getattr(transformers, known.model).from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
                **_without_pooler(known),
            )
        except Exception as error:
            raise CheckpointError(
                f"{folder} must hold whole weights that fit its config.json; {_line(error)}; copy the folder again"
            ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{folder} must hold all weights of a {family} network; {len(missing)} are missing, the first is "
            f"{missing[0]}; copy the folder again"
        )
    return Pretrained({key: getattr(config, key) for key in known.keys}, network.state_dict())


def pixels(folder: str, channels: int) -> dict[str, list[float]] | None:
    """`mean` and `std` per channel by which the folder's network was taught to see pixels in [0, 1]; None if by none.

    They stand in `preprocessor_config.json`.
    """
    path = Path(folder) / "preprocessor_config.json"
    if not path.is_file():
        return None
    document = _json(path, "a preprocessor_config.json is a JSON object")
    if not document.get("do_normalize", True) or "image_mean" not in document:
        return None
    found = {"mean": document["image_mean"], "std": document.get("image_std")}
    for name, values in found.items():
        rule = f"image_{name} of {path} must be {channels} numbers, one per channel"
        if not isinstance(values, list) or len(values) != channels:
            raise ConfigError(f"{rule}; got {values}; correct the file, or remove it to leave pixels in [0, 1]")
        if not all(isinstance(value, (int, float)) and (name == "mean" or value > 0) for value in values):
            raise ConfigError(f"{rule}{', above 0' if name == 'std' else ''}; got {values}; correct the file")
    return {name: [float(value) for value in values] for name, values in found.items()}


def _json(path: Path, rule: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{rule}; {path} cannot be read ({_line(error)}); give another folder") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{rule}; {path} holds a {type(document).__name__}; give another folder")
    return document


def _without_pooler(family: Family) -> dict[str, bool]:
    return {"add_pooling_layer": False} if family.pooler else {}


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


@contextmanager
def quiet() -> Iterator[None]:
    """The package draws no bars and says nothing of heads that are not taken; its settings come back."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
