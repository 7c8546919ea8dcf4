"""From texts to tokens, by a tokenizer trained on the training texts alone or by that of a pretrained network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ndg import atomic
from ndg.data.inputs import Texts, Tokens
from ndg.errors import DataError

FILE = "tokenizer.json"
PADDING, UNKNOWN, START, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer of the `tokenizers` package, with the ids that networks need to know."""

    backend: Any
    padding: int

    @classmethod
    def trained(cls, texts: Iterable[str], vocabulary: int = 8192, lower: bool = True) -> Tokenizer:
        """WordPiece (Schuster & Nakajima 2012) of at most `vocabulary` tokens, trained on these texts.

        A text becomes `[CLS] ... [SEP]`, a pair `[CLS] ... [SEP] ... [SEP]`.
        """
        from tokenizers import Tokenizer as Backend
        from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

        backend = Backend(models.WordPiece(unk_token=UNKNOWN))
        backend.normalizer = normalizers.BertNormalizer(lowercase=lower)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocabulary, min_frequency=2, special_tokens=list(SPECIAL), show_progress=False
        )
        backend.train_from_iterator(texts, trainer)
        start, end = ((word, backend.token_to_id(word)) for word in (START, END))
        backend.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {END}", pair=f"{START} $A {END} $B:1 {END}:1", special_tokens=[start, end]
        )
        return cls(backend, SPECIAL.index(PADDING))

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """The tokenizer of a folder: `tokenizer.json`, or the files of an older Hugging Face model.

        Raises DataError when the folder holds none that can be read, or one that has no token to fill up with.
        """
        from tokenizers import Tokenizer as Backend

        path = Path(folder) / FILE
        try:
            if path.is_file():
                backend = Backend.from_file(str(path))
            else:
                from transformers import AutoTokenizer

                backend = AutoTokenizer.from_pretrained(str(folder), local_files_only=True).backend_tokenizer
        except Exception as error:  # the packages raise plain exceptions
            raise DataError(
                f"{folder} must hold a tokenizer ({FILE}, or the files of a Hugging Face model); "
                f"{str(error).strip().splitlines()[0]}; give another folder, or data.tokenizer=null to train one"
            ) from error
        backend.no_padding()
        backend.no_truncation()
        padding = next((found for word in ("[PAD]", "<pad>") if (found := backend.token_to_id(word)) is not None), None)
        if padding is None:
            raise DataError(
                f"a tokenizer needs a token to fill up with; {folder} has neither [PAD] nor <pad>; add one to it"
            )
        return cls(backend, padding)

    @property
    def vocabulary(self) -> int:
        """Number of tokens that it may give, from 0."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def save(self, folder: Path) -> Path:
        """The file written, which `load` of the folder reads."""
        return atomic.write(folder / FILE, self.backend.to_str(pretty=True))

    def encode(self, texts: Texts, length: int) -> Tokens:
        """The tokens of texts, cut at `length` tokens (of a pair, the longer sentence first) and filled up to it."""
        self.backend.enable_truncation(length, strategy="longest_first")
        given = list(texts.first) if texts.second is None else list(zip(texts.first, texts.second, strict=True))
        found = self.backend.encode_batch(given)
        self.backend.no_truncation()
        ids = np.full((len(found), length), self.padding, np.int32)
        segments = None if texts.second is None else np.zeros((len(found), length), np.uint8)
        lengths = np.array([len(each.ids) for each in found], np.int32)
        for row, each in enumerate(found):
            ids[row, : lengths[row]] = each.ids
            if segments is not None:
                segments[row, : lengths[row]] = each.type_ids
        kinds = None if segments is None else torch.from_numpy(segments)
        return Tokens(torch.from_numpy(ids), torch.from_numpy(lengths), kinds, self.vocabulary, self.padding)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of tokens, without the special ones."""
        return self.backend.decode(list(ids), skip_special_tokens=True)
