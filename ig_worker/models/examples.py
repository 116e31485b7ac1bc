"""What a classifier learns from: labelled texts of a data set, or pairs, as token ids, in batches of like length."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ig_worker.data.columns import PAIR
from ig_worker.data.faults import FaultFinder
from ig_worker.data.sources import DataSpec, Documents, open_documents
from ig_worker.data.splits import NO_SPLITS, SPLIT
from ig_worker.errors import DataError
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
    types: list[Ints] | None = None  # token types, each [tokens]; None: the network is given none

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fields(self) -> int:
        """How many arrays a batch has."""
        return 2 if self.types is None else 3

    def batch(self, members: Iterable[int]) -> tuple[Ints, ...]:
        """Ids, attention mask and token types, if any, of some texts: int32 [members, length of the longest, rounded
        up] each."""
        members = list(members)
        length = -(-max(len(self.ids[i]) for i in members) // _ROUND_TO) * _ROUND_TO
        ids = np.zeros((len(members), min(length, self.longest)), np.int32)
        mask = np.zeros_like(ids)
        for row, i in enumerate(members):
            ids[row, : len(self.ids[i])] = self.ids[i]
            mask[row, : self.attended[i]] = 1
        if self.types is None:
            return ids, mask
        types = np.zeros_like(ids)
        for row, i in enumerate(members):
            types[row, : len(self.types[i])] = self.types[i]
        return ids, mask, types


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


def tokenize(encoder: TextEncoder, examples: Examples, types: int = 0) -> TokenRows:
    """The examples as token ids, and of pairs token types where the network has an embedding of `types` types."""
    found = [tokens.inputs for tokens in encoder.encode(examples.texts, examples.pairs)]
    return TokenRows(
        [one.ids for one in found],
        [int(one.mask.sum()) for one in found],
        examples.labels,
        encoder.max_length,
        [one.types for one in found] if types and examples.pairs is not None else None,
    )


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
