"""From texts to tokens, by a tokenizer trained on the training texts alone or by that of a pretrained network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ndg import atomic
from ndg.data.inputs import Texts, Tokens
from ndg.errors import DataError

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
    """A tokenizer of the `tokenizers` package, with what networks need to know: the id to fill up with, and the most
    tokens that a text may have, where its maker states a number.
    """

    backend: Any
    padding: int
    longest: int | None = None

    @classmethod
    def trained(cls, texts: Iterable[str], vocabulary: int = 8192, lower: bool = True) -> Tokenizer:
        """Byte pairs (Sennrich et al. 2016, Radford et al. 2019) of these texts, at most `vocabulary` tokens.

        A text is cleaned of control characters, its white space becomes single spaces, and with `lower` it loses upper
        case and accents. It is parted into words, numbers and signs, and these into the most frequent strings of bytes,
        so that there is no unknown text and `decode` gives all of it back. A text becomes `[CLS] ... [SEP]`, a pair
        `[CLS] ... [SEP] ... [SEP]`.

        The same texts give the same tokenizer in every process, which the WordPiece training of that package does not:
        it breaks ties by the order of a hash table. Raises DataError when `vocabulary` has no room for all bytes.
        """
        from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
        from tokenizers import Tokenizer as Backend

        if vocabulary < SMALLEST:
            raise DataError(
                f"a tokenizer that is trained must have room for 256 bytes and {len(SPECIAL)} special tokens; got "
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
        with _alone():
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

        folder = Path(folder)
        try:
            file = folder / FILE
            backend = Backend.from_file(str(file)) if file.is_file() else _older(folder)
            settings = json.loads((folder / SETTINGS).read_bytes()) if (folder / SETTINGS).is_file() else {}
            padding = _padding(backend, settings.get("pad_token"))
        except Exception as error:  # the packages raise plain exceptions
            raise DataError(
                f"{folder} must hold a tokenizer ({FILE}, or the files of a Hugging Face model); "
                f"{(str(error).strip() or type(error).__name__).splitlines()[0]}; "
                "give another folder, or data.tokenizer=null to train one"
            ) from error
        if padding is None:
            raise DataError(
                f"a tokenizer needs a token to fill up with; {folder} has neither [PAD] nor <pad> and names no other; "
                f'add one to it, and name it as "pad_token" in {SETTINGS}'
            )
        backend.no_padding()
        backend.no_truncation()
        longest = settings.get("model_max_length")
        return cls(backend, padding, int(longest) if isinstance(longest, int) and 0 < longest < NO_BOUND else None)

    @property
    def vocabulary(self) -> int:
        """Number of tokens that it may give, from 0."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def tells_pairs(self) -> bool:
        """Whether it marks the tokens of the second sentence of a pair, as that of BERT does and RoBERTa's does not."""
        return any(self.backend.encode("a", "a").type_ids)

    def save(self, folder: Path) -> Path:
        """The file written, which `load` of the folder reads."""
        self.backend.enable_padding(pad_id=self.padding, pad_token=self.backend.id_to_token(self.padding))
        try:
            return atomic.write(folder / FILE, self.backend.to_str(pretty=True))
        finally:
            self.backend.no_padding()

    def encode(self, texts: Texts, length: int) -> Tokens:
        """The tokens of texts, cut at `length` tokens (of a pair, the longer sentence first) and filled up to it.

        Words that look like special tokens, as `[MASK]` in a program, are words. Pairs have segments where the
        tokenizer tells them apart. The work is done on one thread unless TOKENIZERS_PARALLELISM is set; the tokens are
        the same. Raises DataError when `length` leaves no room for text, or is more than the network of a pretrained
        tokenizer can take.
        """
        special = self.backend.num_special_tokens_to_add(texts.second is not None)
        if length <= special or (self.longest is not None and length > self.longest):
            most = "" if self.longest is None else f" and at most {self.longest}, as {SETTINGS} says"
            raise DataError(
                f"a text must have more tokens than the {special} special ones{most}; got data.length={length}; "
                f"set data.length={special + 2 if length <= special else self.longest}"
            )
        ids = np.full((len(texts), length), self.padding, np.int32)
        lengths = np.zeros(len(texts), np.int32)
        cut = np.zeros(len(texts), bool)
        segments = np.zeros(ids.shape, np.uint8) if texts.second is not None and self.tells_pairs else None
        self.backend.encode_special_tokens = True
        self.backend.enable_truncation(length, strategy="longest_first")
        try:
            with _alone():
                for row, found in enumerate(self._encodings(texts)):
                    count = lengths[row] = len(found.ids)
                    ids[row, :count] = found.ids
                    cut[row] = count == length and bool(found.overflowing)
                    if segments is not None:
                        segments[row, :count] = found.type_ids
        finally:
            self.backend.no_truncation()
        kinds = None if segments is None else torch.from_numpy(segments)
        tensors = torch.from_numpy(ids), torch.from_numpy(lengths), kinds
        return Tokens(*tensors, self.vocabulary, self.padding, torch.from_numpy(cut))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of tokens, without the special ones."""
        return self.backend.decode(list(ids), skip_special_tokens=True)

    def _encodings(self, texts: Texts) -> Iterator[Any]:
        """The encodings in order, some at a time: one takes hundreds of times the room of its tokens."""
        for start in range(0, len(texts), CHUNK):
            chosen = slice(start, start + CHUNK)
            first = texts.first[chosen]
            given = first if texts.second is None else zip(first, texts.second[chosen], strict=True)
            yield from self.backend.encode_batch_fast(list(given))


@contextmanager
def _alone() -> Iterator[None]:
    """No threads of the `tokenizers` package, unless the user asks for them: it warns of every fork after their use."""
    if PARALLEL in os.environ:
        yield
        return
    os.environ[PARALLEL] = "false"
    try:
        yield
    finally:
        os.environ.pop(PARALLEL, None)


def _older(folder: Path) -> Any:
    """The tokenizer of a folder without `tokenizer.json`, by the family that its config or its files tell."""
    import transformers

    family = "AutoTokenizer"
    if not any((folder / name).is_file() for name in ("config.json", SETTINGS)):
        family = next((known for name, known in OLDER.items() if (folder / name).is_file()), family)
    made = getattr(transformers, family).from_pretrained(str(folder), local_files_only=True)
    return made.backend_tokenizer


def _padding(backend: Any, named: Any) -> int | None:
    """The id to fill up with: of the token that the folder names, else of one with a usual name."""
    own = (backend.padding or {}).get("pad_token")
    words = (named.get("content") if isinstance(named, dict) else named, own, PADDING, "<pad>")
    ids = (backend.token_to_id(word) for word in words if isinstance(word, str))
    return next((found for found in ids if found is not None), None)
