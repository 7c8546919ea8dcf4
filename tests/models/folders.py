"""Folders of small pretrained networks as `transformers` writes them, and changes of such folders."""

import json

import safetensors.torch
import torch
import transformers

SHARED = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 16}
WORDS = {"vocab_size": 40, "max_position_embeddings": 20}
IMAGES = {**SHARED, "image_size": 16, "patch_size": 4, "num_channels": 3}
MAKERS = {
    "bert": lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**SHARED, **WORDS)),
    "roberta": lambda: transformers.RobertaForMaskedLM(transformers.RobertaConfig(**SHARED, **WORDS)),
    "distilbert": lambda: transformers.DistilBertModel(
        transformers.DistilBertConfig(**WORDS, dim=12, n_layers=2, n_heads=3, hidden_dim=16)
    ),
    "vit": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**IMAGES)),
    "vit, bare": lambda: transformers.ViTModel(transformers.ViTConfig(**IMAGES)),
}


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def add(folder, *names):
    path = folder / "model.safetensors"
    more = {name: torch.ones(2) for name in names}
    safetensors.torch.save_file({**safetensors.torch.load_file(path), **more}, path, {"format": "pt"})


def cut(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
