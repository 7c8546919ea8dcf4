"""Search of the examples that make literals hold, and of those that break edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from ndg.activations.batches import NUMBER, Batch, columns, compute_batches, no_examples
from ndg.activations.sampling import shuffled
from ndg.capture.reader import Capture, Reader
from ndg.errors import ConfigError, DataError, GraphError, LayerError, check_kind
from ndg.extraction import Binarised, check_repeatable, extract, like_study
from ndg.literal import Literal
from ndg.nodes import LABEL, NodeSpace
from ndg.options import RunOptions
from ndg.run_study import placed
from ndg.stimuli.means import LISTED, Means, ranges
from ndg.stimuli.png import thumbnail
from ndg.stimuli.result import CLOSE, IMAGE, OPEN, OTHER, TABLE, TEXT, Example, Examples
from ndg.units.layout import Layout
from ndg.units.readings import Mask

ARROW = "->"
MOST = 9
TOKENS = "input_ids"
MASK = "attention_mask"

Words = Callable[[Sequence[int]], Sequence[str]]


def examples(
    model: nn.Module,
    loader: Iterable[Any],
    of: str | Literal | Iterable[str | Literal],
    *,
    like: Binarised | None = None,
    most: int = MOST,
    words: Words | None = None,
    options: RunOptions = RunOptions(),
) -> Examples | list[Examples]:
    """Examples with the largest activation of a literal, or the exceptions of an edge.

    `of` is a literal such as "latent:7", "~latent:7" or "label:3", an edge such as "latent:7 -> label:3", or a list of
    them, which gives a list. Of images there are thumbnails and the mean where the literal holds and elsewhere, of
    texts the tokens, with the one marked without which the activation moves most, of tables the ranges of features.
    `like` is the graph, or bits, with the thresholds; by default they are chosen as by `extract`. `words` turns token
    ids into texts.

    Raises ConfigError for `most` below 1, GraphError or LayerError for an unknown literal, DataError without examples
    or for a loader that shuffles.

    >>> ndg.examples(net, data, ["1:2", "~label:0"], like=graph, most=3)[1].of
    '~label:0'
    """
    if type(most) is not int or most < 1:
        raise ConfigError(f"most is a number of examples, at least 1; got {most!r}; leave it out for {MOST}")
    if words is not None:
        rule = "words= is a function from token ids to texts"
        check_kind(words, object if callable(words) else FunctionType, rule, "such as tokenizer.words")
    check_kind(options, RunOptions, "options= are RunOptions", "pass ndg.RunOptions(...)")
    check_repeatable(loader)
    if shuffled(loader):
        raise DataError("examples are named by their number; this DataLoader shuffles; make it with shuffle=False")
    check_kind(of, Iterable, "examples are of a literal, an edge, or several", 'such as "latent:7"', GraphError)
    single = isinstance(of, str | Literal)
    wanted: list[Any] = [of] if single else list(of)
    model = placed(model, replace(options, executor="serial"))
    if like is None:
        like = extract(model, loader, _layers(wanted) or None, options=options)
    check_kind(like, Binarised, "like= is a graph, or bits", "leave it out to choose thresholds anew", GraphError)
    nodes = like.nodes.without_concepts
    requests = [_request(text, nodes) for text in wanted]
    if not requests:
        raise GraphError('at least one literal or edge is needed; got none; name one, such as "latent:7"')
    study = like_study(model, like, options.threads)
    results = _Search(study, nodes, requests, most, words).run(loader, options)
    return results[0] if single else results


@dataclass(frozen=True)
class _Request:
    """A literal, or the antecedent of an edge with its consequent."""

    text: str
    literal: Literal
    consequent: Literal | None = None


def _request(text: Any, nodes: NodeSpace) -> _Request:
    if isinstance(text, Literal):
        return _Request(nodes.text(text), text)
    check_kind(text, str, "examples are of a literal, or of an edge p -> q", 'write "latent:7"', GraphError)
    ends = [nodes.literal(end.strip()) for end in text.replace("→", ARROW).split(ARROW)]
    if len(ends) > 2:
        raise GraphError(f"an edge has two ends, p -> q; got {text!r}; name one edge at a time")
    return _Request(f" {ARROW} ".join(map(nodes.text, ends)), *ends)


def _layers(texts: Sequence[Any]) -> list[str]:
    """Layers that texts of literals name."""
    if any(isinstance(text, Literal) for text in texts):
        raise GraphError('a literal by number needs the nodes of a graph; pass like=graph, or write it as "latent:7"')
    ends = [end.strip(" ~¬") for text in texts for end in str(text).replace("→", ARROW).split(ARROW)]
    layers = dict.fromkeys(end.rpartition(":")[0] for end in ends)
    return [layer for layer in layers if layer and layer != LABEL]


@dataclass
class _Seen:
    """Values and truth of every requested node, by row, and which example each row is of."""

    values: list[Float32[np.ndarray, "row node"]]
    holds: list[Bool[np.ndarray, "row node"]]
    rows: list[Int64[np.ndarray, " row"]]
    places: list[Int64[np.ndarray, " row"]]


class _Search:
    def __init__(
        self, study: Capture, nodes: NodeSpace, requests: Sequence[_Request], most: int, words: Words | None
    ) -> None:
        self._study, self._nodes, self._requests, self._most, self._words = study, nodes, requests, most, words
        ends = [request.literal.node for request in requests]
        ends += [request.consequent.node for request in requests if request.consequent is not None]
        self._columns = {node: place for place, node in enumerate(sorted(set(ends)))}

    def run(self, loader: Iterable[Any], options: RunOptions) -> list[Examples]:
        seen, kind, means = self._read(loader, options)
        values, holds = (np.concatenate(parts) for parts in (seen.values, seen.holds))
        rows, places = np.concatenate(seen.rows), np.concatenate(seen.places)
        chosen = [self._choose(request, values, holds) for request in self._requests]
        numbers = np.unique(rows[np.concatenate([top for top, _, _ in chosen])]) if len(rows) else rows
        inputs = _inputs(loader, numbers) if len(numbers) else {}
        table = means.features() if kind == TABLE else None
        marks = self._marks(chosen, inputs, rows, places) if kind == TEXT else {}
        low, high = means.low, means.high
        results = []
        for request, (top, count, n) in zip(self._requests, chosen, strict=True):
            column, on = self._columns[request.literal.node], request.literal.value
            shown = []
            for row in top:
                number = int(rows[row])
                example = Example(number, float(values[row, column]))
                if kind == IMAGE:
                    example = replace(example, image=thumbnail(inputs[number][""].numpy(), low, high))
                elif kind == TEXT:
                    example = replace(example, text=self._text(inputs[number], marks.get((request.text, int(row)))))
                elif kind == TABLE:
                    example = replace(example, features=tuple(map(float, inputs[number][""][:LISTED])))
                shown.append(example)
            threshold = self._threshold(request.literal)
            result = Examples(request.text, kind, tuple(shown), count, n, threshold)
            if request.consequent is None and kind == IMAGE:
                holding, other = means.images(column, on)
                result = replace(result, mean_holds=holding, mean_else=other)
            if request.consequent is None and table is not None:
                result = replace(result, ranges=ranges(table, holds[:, column] == on))
            results.append(result)
        return results

    def _read(self, loader: Iterable[Any], options: RunOptions) -> tuple[_Seen, str, Means]:
        """One pass over the examples."""
        seen, kind = _Seen([], [], [], []), ""
        means = Means(len(self._columns))
        for batch in compute_batches(loader, options.batch):
            kind = kind or _kind(batch)
            values, holds, repeats = self._batch(batch)
            seen.values.append(values)
            seen.holds.append(holds)
            numbers = np.array([batch.number(row) for row in range(batch.count)], np.int64)
            seen.rows.append(np.repeat(numbers, repeats))
            seen.places.append(np.concatenate([np.arange(count) for count in repeats.tolist()]).astype(np.int64))
            if kind in (IMAGE, TABLE) and len(values) == batch.count:
                means.add(batch.inputs[: batch.count].float(), holds)  # type: ignore[index]
        if not seen.values:
            raise no_examples()
        return seen, kind, means

    def _batch(
        self, batch: Batch
    ) -> tuple[Float32[np.ndarray, "row node"], Bool[np.ndarray, "row node"], Int64[np.ndarray, " example"]]:
        """Values and truth of the requested nodes, and the rows of each example."""
        study = self._study
        layers = [layer.name for layer in self._nodes.layers if self._of(layer.name)]
        reader = Reader(replace(study, layers=tuple(layers)) if layers else study, batch)
        repeats = np.ones(batch.count, np.int64)

        def reduce(path: str, output: Tensor, layout: Layout, mask: Mask | None) -> np.ndarray:
            nonlocal repeats
            values, rows = reader.values(path, output, layout, mask)
            repeats = rows if rows.max(initial=1) > 1 or len(values) != batch.count else repeats
            numbers = [node - self._nodes.slice(path).start for node in self._of(path)]
            if values.shape[1] != self._nodes.slice(path).stop - self._nodes.slice(path).start:
                raise LayerError(
                    f"the network has {values.shape[1]} units in {path!r}, the nodes "
                    f"{self._nodes.slice(path).stop - self._nodes.slice(path).start}; use the graph of this network"
                )
            return values[:, numbers].float().cpu().numpy()

        logits, parts = reader.run(layers, reduce)
        rows = int(repeats.sum())
        values = np.zeros((rows, len(self._columns)), np.float32)
        holds = np.zeros(values.shape, bool)
        for path, part in parts.items():
            columns = [self._columns[node] for node in self._of(path)]
            levels = np.array([self._threshold(Literal(node, True)) for node in self._of(path)])
            values[:, columns] = part if len(part) == rows else np.repeat(part, repeats, axis=0)
            holds[:, columns] = values[:, columns] > levels
        if logits is not None:
            predicted = np.repeat(logits.argmax(dim=1).cpu().numpy(), repeats)
            for node in self._of(LABEL):
                values[:, self._columns[node]] = np.repeat(logits[:, node].float().cpu().numpy(), repeats)
                holds[:, self._columns[node]] = predicted == node
        return values, holds, repeats

    def _of(self, layer: str) -> list[int]:
        """Requested nodes of a layer."""
        where = self._nodes.slice(layer) if layer != LABEL else slice(0, self._nodes.labels)
        return [node for node in self._columns if where.start <= node < where.stop]

    def _threshold(self, literal: Literal) -> float | None:
        layer = self._nodes.layer(literal.node)
        if layer == LABEL:
            return None
        where = self._nodes.slice(layer)
        level = self._study.level(layer, where.stop - where.start)
        return float(level[literal.node - where.start])

    def _choose(
        self, request: _Request, values: Float32[np.ndarray, "row node"], holds: Bool[np.ndarray, "row node"]
    ) -> tuple[Int64[np.ndarray, " top"], int, int]:
        """Rows to show, how many hold or are exceptions, of how many."""
        column, on = self._columns[request.literal.node], request.literal.value
        strength = values[:, column] if on else -values[:, column]
        true = holds[:, column] == on
        rows, count, n = np.arange(len(values)), int(true.sum()), len(values)
        if request.consequent is not None:
            second = holds[:, self._columns[request.consequent.node]] == request.consequent.value
            rows, count, n = np.flatnonzero(true & ~second), int((true & ~second).sum()), count
        order = np.argsort(-strength[rows], kind="stable")[: self._most]
        return rows[order], count, n

    def _text(self, inputs: dict[str, Tensor], mark: int | None) -> str:
        """Tokens of an example with one marked; padding is left out."""
        ids = inputs[TOKENS].tolist()
        length = int(inputs[MASK].sum()) if MASK in inputs else len(ids)
        tokens = list(map(str, ids if self._words is None else self._words(ids)))[:length]
        return " ".join(f"{OPEN}{token}{CLOSE}" if place == mark else token for place, token in enumerate(tokens))

    def _marks(
        self,
        chosen: Sequence[tuple[Int64[np.ndarray, " _"], int, int]],
        inputs: dict[int, dict[str, Tensor]],
        rows: Int64[np.ndarray, " row"],
        places: Int64[np.ndarray, " row"],
    ) -> dict[tuple[str, int], int]:
        """Token of each text shown: the row's own, or the one without which the activation moves most."""
        marks: dict[tuple[str, int], int] = {}
        tokens = len(rows) != len(np.unique(rows))
        for request, (top, _, _) in zip(self._requests, chosen, strict=True):
            column, sign = self._columns[request.literal.node], 1 if request.literal.value else -1
            for row in top.tolist():
                example = inputs[int(rows[row])]
                if tokens:
                    marks[request.text, row] = int(places[row])
                elif MASK in example:
                    length = int(example[MASK].sum())
                    left_out = {key: part.expand(length + 1, *part.shape).clone() for key, part in example.items()}
                    left_out[MASK][torch.arange(length), torch.arange(length)] = 0
                    whole = next(compute_batches([left_out], length + 1))
                    values = sign * self._batch(whole)[0][:, column]
                    falls = values[length] - values[1 : length - 1]  # first and last are signs of the tokenizer
                    if falls.max(initial=0) > 0:
                        marks[request.text, row] = 1 + int(np.argmax(falls))
        return marks


def _kind(batch: Batch) -> str:
    """What the inputs are."""
    if isinstance(batch.inputs, dict):
        return TEXT if TOKENS in batch.inputs else OTHER
    return {4: IMAGE, 2: TABLE}.get(batch.inputs.ndim, OTHER)


def _inputs(loader: Iterable[Any], numbers: Int64[np.ndarray, " chosen"]) -> dict[int, dict[str, Tensor]]:
    """Columns of these examples, by the number that they carry, else by their place in the loader."""
    rows: dict[int, dict[str, Tensor]] = {}
    start = 0
    for batch in loader:
        part = columns(batch)
        count = len(next(iter(part.values())))
        own = part[NUMBER].numpy() if NUMBER in part else np.arange(start, start + count)
        for place in np.flatnonzero(np.isin(own, numbers)).tolist():
            named = {key: column[place] for key, column in part.items() if key not in (NUMBER, "labels")}
            rows[int(own[place])] = named
        if len(rows) == len(numbers):
            return rows
        start += count
    raise DataError(
        f"examples are chosen by their numbers; the loader gave {start}, without number {numbers[-1]}; give a loader "
        "that gives the same examples each time"
    )
