"""What a classifier learns from: labelled texts of a data set, or pairs, as token ids, in batches of like length."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ig_worker.data.columns import PAIR
from ig_worker.data.faults import FaultFinder
from ig_worker.data.sources import DataSpec, Documents, open_documents
from ig_worker.data.splits import NO_SPLITS, SPLIT
from ig_worker.errors import DataError
from ig_worker.models.layers import NetworkShape
from ig_worker.models.tokenize import TextEncoder

log = logging.getLogger(__name__)

_ROUND_TO = 32  # lengths of batches, in tokens: a handful of shapes
_WINDOW_BATCHES = 50  # texts are sorted by length within so many batches, so that little is padding
_JUDGED = (SPLIT, "validation", "valid", "val", "dev")  # splits to test on, the first that is there
_HOLD_OUT = 10  # without a test split, one row in so many is kept for it
_MAX_TEXT_BYTES = 500_000

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Examples:
    """Texts with labels."""

    texts: list[str]
    labels: Ints  # [texts]
    pairs: list[str] | None = None  # the second text of each, where each has two

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def all_texts(self) -> list[str]:
        """First and second texts."""
        return [*self.texts, *(self.pairs or ())]


@dataclass(frozen=True)
class TokenRows:
    """Token ids of texts with labels."""

    ids: list[Ints]  # each [tokens]
    attended: list[int]  # so many leading tokens are attended to; the rest is padding that a head reads
    labels: Ints  # [texts]
    longest: int  # no text has more tokens
    # What else transformers' network is given, by its name there, each [tokens].
    further: Mapping[str, list[Ints]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        """The network's names of what a batch has."""
        return ("input_ids", "attention_mask", *self.further)

    def batch(self, members: Iterable[int]) -> tuple[Ints, ...]:
        """Ids, attention mask and what follows of some texts, int32 [members, length of the longest, rounded up] each.

        `names` has the order.
        """
        members = list(members)
        length = -(-max(len(self.ids[i]) for i in members) // _ROUND_TO) * _ROUND_TO
        shape = (len(members), min(length, self.longest))
        ids = _padded([self.ids[i] for i in members], shape)
        mask = _padded([np.ones(self.attended[i], np.int32) for i in members], shape)
        return ids, mask, *(_padded([values[i] for i in members], shape) for values in self.further.values())


def _padded(values: Sequence[Ints], shape: tuple[int, ...]) -> Ints:
    """Values of texts, each [tokens], as one array with 0 behind them."""
    padded = np.zeros(shape, np.int32)
    for row, one in zip(padded, values, strict=True):
        row[: len(one)] = one
    return padded


def read_examples(spec: DataSpec) -> tuple[Examples, Examples, Documents]:
    """Training and test examples of a data set; rows without label or with a fault are left out.

    The test examples are those of the test split, or of a validation split where there is no other; a data set without
    either gives one row in ten.

    Raises:
        DataError: no labelled rows for either.
    """
    documents = open_documents(replace(spec, split="train"))
    for note in documents.notes:
        if NO_SPLITS not in note:  # nobody has asked for one
            log.warning("assumed: %s", note)
    judged = next((split for split in _JUDGED if split in documents.splits), None)
    if judged is not None:
        if judged != SPLIT:
            log.warning("assumed: the split %s of %s is the one to test on", judged, documents.name)
        train, test = list(_rows(documents)), list(_rows(open_documents(replace(spec, split=judged))))
    else:
        train, test = [], []
        for number, row in enumerate(_rows(documents)):
            (test if number % _HOLD_OUT == _HOLD_OUT - 1 else train).append(row)
    if not train or not test:
        raise DataError(
            f"{documents.name} has {len(train)} labelled rows to train on and {len(test)} to test on",
            expected="some of both",
        )
    return _examples(train), _examples(test), documents


def _rows(documents: Documents) -> Iterator[tuple[str, str | None, int]]:
    """Text, second text where there are such, and label."""
    finder = FaultFinder(_MAX_TEXT_BYTES)
    for batch in documents.batches():
        faults = finder.check(batch)
        second = batch.column(PAIR).to_pylist() if PAIR in batch.schema.names else [None] * batch.num_rows
        rows = zip(batch.column("text").to_pylist(), second, batch.column("label").to_pylist(), strict=True)
        yield from (row for i, row in enumerate(rows) if i not in faults and row[-1] is not None)


def _examples(rows: Iterable[tuple[str, str | None, int]]) -> Examples:
    texts, pairs, labels = zip(*rows, strict=True)
    return Examples(list(texts), np.array(labels, np.int32), None if pairs[0] is None else list(pairs))


def class_names(train: Examples, named: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes that the labels number: `named`, or the numbers.

    Raises:
        DataError: labels that are no class numbers, or all the same.
    """
    highest = int(train.labels.max())
    if train.labels.min() < 0 or highest > 999 or highest < 1:
        raise DataError(
            f"training labels run from {train.labels.min()} to {highest}",
            expected="class numbers from 0, two classes or more",
        )
    return tuple(named) if len(named) > highest else tuple(str(i) for i in range(highest + 1))


def tokenize(encoder: TextEncoder, examples: Examples, shape: NetworkShape) -> TokenRows:
    """The examples as token ids, with what else a network of that shape has to be given of them."""
    found = [tokens.inputs for tokens in encoder.encode(examples.texts, examples.pairs)]
    further = {}
    if shape.types and examples.pairs is not None:
        further["token_type_ids"] = [one.types for one in found]
    if shape.told_positions:
        further["position_ids"] = [one.positions for one in found]
    attended = [int(one.mask.sum()) for one in found]
    return TokenRows([one.ids for one in found], attended, examples.labels, encoder.max_length, further)


def length_batches(lengths: Sequence[int], rows: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """A shuffled order of the texts, cut into batches of `rows` texts of similar length; every text once."""
    order = rng.permutation(len(lengths))
    window = rows * _WINDOW_BATCHES
    batches = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(np.asarray(lengths)[part], kind="stable")]
        batches += [part[i : i + rows] for i in range(0, len(part), rows)]
    return [batches[i] for i in rng.permutation(len(batches))]
