"""Pretrained transformers in a local folder.

Nothing is downloaded, unpickled or run.
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
from ndg.extras import require
from ndg.progress import log

_SHARED = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps",
)  # fmt: skip
POOLER = "pooler."
HARMLESS = ("position_ids", "mask_token")
"""Weights of older versions of `transformers`, or of pretraining only."""
SPARE, WHITE = 64, 255
BILINEAR = 2
_TEXT = (*_SHARED, "vocab_size", "max_position_embeddings", "type_vocab_size", "pad_token_id")


@dataclass(frozen=True)
class Family:
    """Class names in `transformers`, and the `config.json` keys of a network."""

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


def transformer(family: str, settings: dict[str, Any]) -> nn.Module:
    """Network of a family with fresh weights, without its pooling layer."""
    require("transformers", f"a network of the {family} family")
    import transformers

    family_facts = FAMILIES[family]
    try:
        config = getattr(transformers, family_facts.config)(**settings)
        return getattr(transformers, family_facts.model)(config, **_without_pooler(family_facts))
    except Exception as error:  # the package raises many kinds of exceptions
        raise ConfigError(
            f"settings must make a network of the {family} family; {_line(error)}; correct the sizes"
        ) from error


def read(folder: str, family: str, model: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and float32 weights of a pretrained folder.

    ConfigError or CheckpointError for others.
    """
    settings = document(Path(folder) / "config.json", f"model.pretrained={folder} must be a folder with config.json")
    model_type = settings.get("model_type")
    if model_type != family:
        right = "vit or transfg" if model_type == "vit" else model_type
        advice = f"use model.name={right}" if model_type in FAMILIES else f"this package knows {', '.join(FAMILIES)}"
        raise ConfigError(
            f"model.name={model} needs a pretrained network of the {family} family; {folder} has one of the family "
            f"{model_type!r}; {advice}"
        )
    require("transformers", "a pretrained network")
    import transformers

    family_facts = FAMILIES[family]
    check(folder, settings)
    with quiet():
        try:
            config = getattr(transformers, family_facts.config)(
                **{k: settings[k] for k in family_facts.keys if k in settings}
            )
        except Exception as error:
            raise ConfigError(
                f"{folder}/config.json must contain the sizes of a {family} network; {_line(error)}; copy it again"
            ) from error
    network = load(getattr(transformers, family_facts.model), folder, config=config, **_without_pooler(family_facts))
    return {key: getattr(config, key) for key in family_facts.keys}, network.state_dict()


def check(folder: str, settings: dict[str, Any]) -> None:
    """Raise ConfigError unless a folder has safetensors and supported settings."""
    if not any((Path(folder) / f"model.safetensors{ending}").is_file() for ending in ("", ".index.json")):
        raise ConfigError(
            "a pretrained folder must have its weights in model.safetensors, since pickles are never loaded; "
            f"{folder} has none; if you trust it, load the network with transformers and write it with save_pretrained"
        )
    positions = settings.get("position_embedding_type", "absolute")
    if settings.get("model_type") in FAMILIES and positions != "absolute":
        raise ConfigError(
            f"position_embedding_type of {folder}/config.json must be 'absolute'; got {positions!r}, which would "
            "be computed as absolute; use another network"
        )


def load(maker: Any, folder: str, **options: Any) -> nn.Module:
    """Network of a folder in float32, in evaluation mode.

    `maker` is a class of `transformers`.

    All its weights must be present (but for the pooling layer of a network without a head), and all weights of its
    parts in the folder must be used: heads for other tasks are left out. Raises CheckpointError.
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
        except Exception as error:  # the package raises many kinds of exceptions
            raise CheckpointError(
                f"{folder} must have complete weights that fit its config.json; {_line(error)}; copy the folder again"
            ) from error
    bare = network.base_model is network
    missing = sorted(name for name in info["missing_keys"] if not (bare and name.startswith(POOLER)))
    if missing:
        raise CheckpointError(
            f"{folder} must have all weights of its {type(network).__name__}; {len(missing)} are missing, the first "
            f"is {missing[0]}; copy the folder again"
        )
    if unused := sorted(name for name in info["unexpected_keys"] if _inside(network, name)):
        raise CheckpointError(
            f"{folder} must have only weights of its config.json; {len(unused)} have no place in "
            f"{type(network).__name__}, the first is {unused[0]}; use the config.json that the weights were saved with"
        )
    return network.eval()


def _inside(network: Any, name: str) -> bool:
    """Whether an unused weight is part of the network itself."""
    inner = name.removeprefix(f"{network.base_model_prefix}.")
    if inner.startswith(POOLER) or inner.endswith(HARMLESS):
        return False
    parts = {part for part, _ in [*network.named_children(), *network.base_model.named_children()]}
    return inner != name or inner.partition(".")[0] in parts


def check_tokenizer(folder: str, form: Form, rows: int, padding: int | None) -> None:
    """Raise ShapeError if texts were tokenised for another network than the folder's.

    Its padding may not differ, nor may it know (`rows`) a hundredth and 64 tokens more than the data have.
    """
    if padding is not None and form.padding != padding:
        difference = f"the data are padded with token {form.padding}, the network in {folder} with {padding}"
    elif rows - form.vocabulary > max(SPARE, rows // 100):
        difference = f"the data have {form.vocabulary:,} tokens, the network in {folder} knows {rows:,}"
    else:
        return
    raise ShapeError(f"a pretrained network needs its own tokenizer; {difference}; set data.tokenizer={folder}")


LARGE = 1e9
"""More than any pixel or factor."""


def pixels(folder: str, channels: int) -> dict[str, list[float]] | None:
    """Pixel normalisation of a folder, `mean` and `std` per channel, or None.

    Values for pixels from 0 to 255 are first multiplied by `rescale_factor`. Other steps that the folder asks for are
    logged as not taken.
    """
    path = Path(folder) / "preprocessor_config.json"
    if not path.is_file():
        return None
    settings = document(path, "a preprocessor_config.json must be a JSON object")
    if steps := _not_taken(settings):
        log.warning(
            "images are scaled bilinearly to squares of data.size and cut to data.crop; %s asks for %s, which is not "
            "done here; prepare the images so if figures shall be comparable",
            path,
            ", ".join(steps),
        )
    statistics: dict[str, Any] = {"mean": [0.0] * channels, "std": [1.0] * channels}
    if settings.get("do_normalize", True) and "image_mean" in settings:
        statistics = {"mean": settings["image_mean"], "std": settings.get("image_std")}
    for name, values in statistics.items():
        rule = f"image_{name} of {path} must be {channels} numbers, one per channel"
        if not isinstance(values, list) or len(values) != channels:
            raise ConfigError(f"{rule}; got {values}; correct the file, or remove it to leave pixels in [0, 1]")
        if not all(
            isinstance(value, (int, float)) and (-LARGE if name == "mean" else 0) < value < LARGE for value in values
        ):
            raise ConfigError(f"{rule}{', above 0' if name == 'std' else ''}; got {values}; correct the file")
    factor = settings.get("rescale_factor", 1 / WHITE) if settings.get("do_rescale", True) else 1
    if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not 0 < factor < LARGE:
        raise ConfigError(f"rescale_factor of {path} must be a number above 0; got {factor!r}; correct the file")
    if settings.get("rescale_offset"):
        raise ConfigError(
            f"pixels may be multiplied and normalised only; {path} asks for rescale_offset as well; set it to false "
            "there, and adapt image_mean and image_std"
        )
    scale = 1.0 if math.isclose(factor * WHITE, 1, rel_tol=1e-6) else factor * WHITE
    scaled = {name: [value / scale for value in values] for name, values in statistics.items()}
    return None if scaled == {"mean": [0.0] * channels, "std": [1.0] * channels} else scaled


def _not_taken(settings: dict[str, Any]) -> list[str]:
    """Steps of an image processor that are not taken here, as `name=value`."""
    steps = ["do_center_crop", "do_pad", "do_convert_grayscale", "do_flip_channel_order", "do_thumbnail"]
    taken = [f"{name}=true" for name in steps if settings.get(name)]
    if settings.get("do_center_crop") and "crop_size" in settings:
        taken.append(f"crop_size={settings['crop_size']}")
    if settings.get("do_resize", True):
        if settings.get("resample", BILINEAR) != BILINEAR:
            taken.append(f"resample={settings['resample']}")
        if isinstance(size := settings.get("size"), dict) and size.get("height", 0) != size.get("width", 1):
            taken.append(f"size={size}")
    else:
        taken.append("do_resize=false")  # images get the size of the data settings all the same
    return taken


def document(path: Path, rule: str) -> dict[str, Any]:
    """Object of a JSON file.

    ConfigError, starting with `rule`, for another file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{rule}; {path} cannot be read ({_line(error)}); use another folder") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{rule}; {path} contains a {type(content).__name__}; use another folder")
    return content


def _without_pooler(family: Family) -> dict[str, bool]:
    return {"add_pooling_layer": False} if family.pooler else {}


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and warnings of `transformers` in a block."""
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
