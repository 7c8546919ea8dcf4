"""Tokenizer, trained on the training texts or of a pretrained network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ndg import atomic
from ndg.data.inputs import Texts, Tokens
from ndg.errors import DataError
from ndg.extras import require

FILE = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
PADDING, START, END = SPECIAL = ("[PAD]", "[CLS]", "[SEP]")
SMALLEST = len(SPECIAL) + 256
CHUNK = 4096
NO_BOUND = 1 << 20
PARALLEL = "TOKENIZERS_PARALLELISM"
OLDER = {"vocab.txt": "BertTokenizer", "merges.txt": "RobertaTokenizer"}


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Tokenizer of the `tokenizers` package; `longest` limits the tokens per text."""

    backend: Any
    padding: int
    longest: int | None = None

    @classmethod
    def trained(cls, texts: Iterable[str], vocabulary: int = 8192, lower: bool = True) -> Tokenizer:
        """Byte-pair tokenizer of these texts (Sennrich et al. 2016, Radford et al. 2019).

        It has at most `vocabulary` tokens. White space becomes single spaces; `lower` removes upper case and accents.
        Texts are divided into words, numbers and signs, and these into the most frequent byte strings, so no text is
        unknown. A text becomes `[CLS] ... [SEP]`, a pair `[CLS] ... [SEP] ... [SEP]`.

        The same texts give the same tokenizer in every process, unlike WordPiece, which breaks ties by the order of a
        hash table. Raises DataError if `vocabulary` has no room for all bytes.
        """
        require("tokenizers", "a tokenizer")
        from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
        from tokenizers import Tokenizer as Backend

        if vocabulary < SMALLEST:
            raise DataError(
                f"a trained tokenizer needs room for 256 bytes and {len(SPECIAL)} special tokens; got "
                f"data.vocabulary={vocabulary}; set it to at least {SMALLEST}"
            )
        backend = Backend(models.BPE())
        cleaned = normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=lower, lowercase=lower)
        spaced = normalizers.Replace(Regex(r"\s+"), " ")
        backend.normalizer = normalizers.Sequence([cleaned, spaced, normalizers.Strip()])
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        with _single_threaded():
            backend.train_from_iterator(texts, trainer)
        start, end = ((word, backend.token_to_id(word)) for word in (START, END))
        backend.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {END}", pair=f"{START} $A {END} $B:1 {END}:1", special_tokens=[start, end]
        )
        return cls(backend, SPECIAL.index(PADDING))

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """Tokenizer of a folder (`tokenizer.json`, or older files); DataError without one."""
        require("tokenizers", "a tokenizer")
        from tokenizers import Tokenizer as Backend

        folder = Path(folder)
        try:
            file = folder / FILE
            backend = Backend.from_file(str(file)) if file.is_file() else _older(folder)
            settings = json.loads((folder / SETTINGS).read_bytes()) if (folder / SETTINGS).is_file() else {}
            padding = _padding(backend, settings.get("pad_token"))
        except Exception as error:  # the packages raise plain exceptions
            raise DataError(
                f"{folder} must contain a tokenizer ({FILE}, or the files of a Hugging Face model); "
                f"{(str(error).strip() or type(error).__name__).splitlines()[0]}; "
                "give another folder, or data.tokenizer=null to train one"
            ) from error
        if padding is None:
            raise DataError(
                f"a tokenizer needs a padding token; {folder} has neither [PAD] nor <pad> and names no other; "
                f'add one, and name it as "pad_token" in {SETTINGS}'
            )
        backend.no_padding()
        backend.no_truncation()
        longest = settings.get("model_max_length")
        return cls(backend, padding, int(longest) if isinstance(longest, int) and 0 < longest < NO_BOUND else None)

    def words(self, ids: Iterable[int]) -> list[str]:
        """Text of each token."""
        return [self.backend.decode([int(each)], skip_special_tokens=False).strip() or "·" for each in ids]

    @property
    def vocabulary(self) -> int:
        """Number of token ids, from 0."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def save(self, folder: str | Path) -> Path:
        """Path of the file written, which `load` of the folder reads."""
        self.backend.enable_padding(pad_id=self.padding, pad_token=self.backend.id_to_token(self.padding))
        try:
            return atomic.write(Path(folder) / FILE, self.backend.to_str(pretty=True))
        finally:
            self.backend.no_padding()

    def encode(self, texts: Texts, length: int) -> Tokens:
        """Tokens of texts, truncated and padded to `length`.

        Of a pair, the longer sentence is cut first. Words that look like special tokens are words. Pairs have segments
        if the tokenizer marks them. One thread is used unless TOKENIZERS_PARALLELISM is set. Raises DataError if
        `length` leaves no room for text, or exceeds the limit of a pretrained tokenizer.
        """
        special = self.backend.num_special_tokens_to_add(texts.second is not None)
        if length <= special or (self.longest is not None and length > self.longest):
            most = "" if self.longest is None else f" and at most {self.longest}, as {SETTINGS} says"
            raise DataError(
                f"a text needs more tokens than the {special} special ones{most}; got data.length={length}; "
                f"set data.length={special + 2 if length <= special else self.longest}"
            )
        ids = np.full((len(texts), length), self.padding, np.int32)
        lengths = np.zeros(len(texts), np.int32)
        cut = np.zeros(len(texts), bool)
        marks = texts.second is not None and any(self.backend.encode("a", "a").type_ids)  # as BERT's does
        segments = np.zeros(ids.shape, np.uint8) if marks else None
        self.backend.encode_special_tokens = True
        self.backend.enable_truncation(length, strategy="longest_first")
        try:
            with _single_threaded():
                for row, encoding in enumerate(self._encodings(texts)):
                    count = lengths[row] = len(encoding.ids)
                    ids[row, :count] = encoding.ids
                    cut[row] = count == length and bool(encoding.overflowing)
                    if segments is not None:
                        segments[row, :count] = encoding.type_ids
        finally:
            self.backend.no_truncation()
        kinds = None if segments is None else torch.from_numpy(segments)
        tensors = torch.from_numpy(ids), torch.from_numpy(lengths), kinds
        return Tokens(*tensors, self.vocabulary, self.padding, torch.from_numpy(cut))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of tokens, without special ones."""
        return self.backend.decode(list(ids), skip_special_tokens=True)

    def _encodings(self, texts: Texts) -> Iterator[Any]:
        """Encodings in order, in batches to bound the memory."""
        pairs = iter(texts.first if texts.second is None else zip(texts.first, texts.second, strict=True))
        while batch := list(islice(pairs, CHUNK)):
            yield from self.backend.encode_batch_fast(batch)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Disable threads of `tokenizers`, which would warn at every fork, unless set."""
    if PARALLEL in os.environ:
        yield
        return
    os.environ[PARALLEL] = "false"
    try:
        yield
    finally:
        os.environ.pop(PARALLEL, None)


def _older(folder: Path) -> Any:
    """Tokenizer of a folder without `tokenizer.json`, by its model family."""
    require("transformers", "a tokenizer without tokenizer.json")
    import transformers

    family = "AutoTokenizer"
    if not any((folder / name).is_file() for name in ("config.json", SETTINGS)):
        family = next((known for name, known in OLDER.items() if (folder / name).is_file()), family)
    tokenizer = getattr(transformers, family).from_pretrained(str(folder), local_files_only=True)
    return tokenizer.backend_tokenizer


def _padding(backend: Any, named: Any) -> int | None:
    """Id of the folder's padding token, or of a usual one."""
    stored = (backend.padding or {}).get("pad_token")
    words = (named.get("content") if isinstance(named, dict) else named, stored, PADDING, "<pad>")
    ids = (backend.token_to_id(word) for word in words if isinstance(word, str))
    return next((padding_id for padding_id in ids if padding_id is not None), None)
