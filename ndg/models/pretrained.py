"""Pretrained transformers in a local folder, as `save_pretrained` of the `transformers` package writes them.

Only sizes are taken from `config.json` and only tensors from safetensors files: nothing is downloaded, unpickled or
run that lies in the folder. A checkpoint keeps the sizes, so that it can be loaded without the folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ndg.data.inputs import Form
from ndg.errors import CheckpointError, ConfigError, ShapeError

_SHARED = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps",
)  # fmt: skip
POOLER = "pooler."
HARMLESS = ("position_ids", "mask_token")
"""Weights that older versions of `transformers` wrote, or that only the training of the pretrained network used."""
SPARE, WHITE = 64, 255
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
    settings = document(Path(folder) / "config.json", f"model.pretrained={folder} must be a folder with config.json")
    found = settings.get("model_type")
    if found != family:
        right = "vit or transfg" if found == "vit" else found
        advice = f"use model.name={right}" if found in FAMILIES else f"this package knows {', '.join(FAMILIES)}"
        raise ConfigError(
            f"model.name={model} takes a pretrained network of the {family} family; {folder} holds one of the family "
            f"{found!r}; {advice}"
        )
    import transformers

    known = FAMILIES[family]
    check(folder, settings)
    with quiet():
        try:
            config = getattr(transformers, known.config)(**{k: settings[k] for k in known.keys if k in settings})
        except Exception as error:
            raise ConfigError(
                f"{folder}/config.json must hold the sizes of a {family} network; {_line(error)}; copy it again"
            ) from error
    network = load(getattr(transformers, known.model), folder, config=config, **_without_pooler(known))
    return Pretrained({key: getattr(config, key) for key in known.keys}, network.state_dict())


def check(folder: str, settings: dict[str, Any]) -> None:
    """Raise ConfigError for a folder without safetensors, or of a network that this version computes otherwise.

    `settings` are what its `config.json` holds.
    """
    if not any((Path(folder) / f"model.safetensors{ending}").is_file() for ending in ("", ".index.json")):
        raise ConfigError(
            f"a pretrained folder has its weights in model.safetensors, which is never unpickled; {folder} has none; "
            "load the network with transformers where you trust it and write it there with save_pretrained"
        )
    positions = settings.get("position_embedding_type", "absolute")
    if settings.get("model_type") in FAMILIES and positions != "absolute":
        raise ConfigError(
            f"position_embedding_type of {folder}/config.json must be 'absolute'; got {positions!r}, which would be "
            "computed as if it were; use another network"
        )


def load(maker: Any, folder: str, **options: Any) -> nn.Module:
    """The network that a class of `transformers` makes of a folder, in float32 and evaluation mode.

    All its weights must be there (but for the pooling layer of a network without a head), and all that the folder has
    for its parts must be used: heads for other tasks are left out, a layer more is an error. Raises CheckpointError.
    """
    import torch

    with quiet():
        try:
            network, info = maker.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                dtype=torch.float32,
                **options,
            )
        except Exception as error:  # the package raises exceptions of many kinds
            raise CheckpointError(
                f"{folder} must hold whole weights that fit its config.json; {_line(error)}; copy the folder again"
            ) from error
    bare = network.base_model is network
    missing = sorted(name for name in info["missing_keys"] if not (bare and name.startswith(POOLER)))
    if missing:
        raise CheckpointError(
            f"{folder} must hold all weights of its {type(network).__name__}; {len(missing)} are missing, the first is "
            f"{missing[0]}; copy the folder again"
        )
    if unused := sorted(name for name in info["unexpected_keys"] if _inside(network, name)):
        raise CheckpointError(
            f"{folder} must hold no weights that its config.json says nothing of; {len(unused)} have no place in "
            f"{type(network).__name__}, the first is {unused[0]}; give the config.json that the weights were saved with"
        )
    return network.eval()


def _inside(network: Any, name: str) -> bool:
    """Whether a weight without a place is one of the network's own parts, and none of a head for another task."""
    inner = name.removeprefix(f"{network.base_model_prefix}.")
    if inner.startswith(POOLER) or inner.endswith(HARMLESS):
        return False
    parts = {part for part, _ in [*network.named_children(), *network.base_model.named_children()]}
    return inner != name or inner.partition(".")[0] in parts


def check_tokenizer(folder: str, form: Form, rows: int, padding: int | None) -> None:
    """Raise ShapeError for texts whose tokens mean something else to the network of a folder, which knows `rows`.

    They are filled up with another token, or there are fewer tokens than rows: by more than a hundredth, and by more
    than the 64 by which some networks are wider than their tokenizer.
    """
    if padding is not None and form.padding != padding:
        came = f"the data are filled up with token {form.padding}, the network in {folder} with {padding}"
    elif rows - form.vocabulary > max(SPARE, rows // 100):
        came = f"the data have {form.vocabulary:,} tokens, the network in {folder} knows {rows:,}"
    else:
        return
    raise ShapeError(
        f"a pretrained network reads texts by its own tokenizer; {came}, so the tokenizer is another one; set "
        f"data.tokenizer={folder}"
    )


def pixels(folder: str, channels: int) -> dict[str, list[float]] | None:
    """`mean` and `std` per channel by which the folder's network was taught to see pixels in [0, 1]; None if by none.

    They come from `preprocessor_config.json`, where those of pixels from 0 to 255 are first multiplied by
    `rescale_factor`.
    """
    path = Path(folder) / "preprocessor_config.json"
    if not path.is_file():
        return None
    given = document(path, "a preprocessor_config.json is a JSON object")
    found: dict[str, Any] = {"mean": [0.0] * channels, "std": [1.0] * channels}
    if given.get("do_normalize", True) and "image_mean" in given:
        found = {"mean": given["image_mean"], "std": given.get("image_std")}
    for name, values in found.items():
        rule = f"image_{name} of {path} must be {channels} numbers, one per channel"
        if not isinstance(values, list) or len(values) != channels:
            raise ConfigError(f"{rule}; got {values}; correct the file, or remove it to leave pixels in [0, 1]")
        if not all(isinstance(value, (int, float)) and (name == "mean" or value > 0) for value in values):
            raise ConfigError(f"{rule}{', above 0' if name == 'std' else ''}; got {values}; correct the file")
    factor = given.get("rescale_factor", 1 / WHITE) if given.get("do_rescale", True) else 1
    if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not 0 < factor < math.inf:
        raise ConfigError(f"rescale_factor of {path} must be a number above 0; got {factor!r}; correct the file")
    if given.get("rescale_offset"):
        raise ConfigError(
            f"pixels are multiplied and normalised; {path} asks for rescale_offset as well; set it to false there, and "
            "image_mean and image_std to what has the same effect"
        )
    scale = 1.0 if math.isclose(factor * WHITE, 1, rel_tol=1e-6) else factor * WHITE
    scaled = {name: [value / scale for value in values] for name, values in found.items()}
    return None if scaled == {"mean": [0.0] * channels, "std": [1.0] * channels} else scaled


def document(path: Path, rule: str) -> dict[str, Any]:
    """The object in a JSON file. Raises ConfigError, which begins with `rule`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{rule}; {path} cannot be read ({_line(error)}); give another folder") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{rule}; {path} holds a {type(found).__name__}; give another folder")
    return found


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
