"""Experiments: their schema, and the only reader of `configs/*.yaml`."""

from ndg.config.criterion import Criterion
from ndg.config.loading import configs, find, is_config, load, store_uri
from ndg.config.networks import CNN, GRU, LSTM, MLP, MODELS, Bert, DistilBert, ResNet, Roberta, TransFG, ViT
from ndg.config.schema import (
    Data,
    Experiment,
    Extract,
    Importance,
    Mining,
    Paper,
    Report,
    Train,
    Trial,
)

__all__ = [
    "CNN",
    "GRU",
    "LSTM",
    "MLP",
    "MODELS",
    "Bert",
    "Criterion",
    "Data",
    "DistilBert",
    "Experiment",
    "Extract",
    "Importance",
    "Mining",
    "Paper",
    "Report",
    "ResNet",
    "Roberta",
    "Train",
    "TransFG",
    "Trial",
    "ViT",
    "configs",
    "find",
    "is_config",
    "load",
    "store_uri",
]
