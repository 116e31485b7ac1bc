"""Pairs and triples of neighbouring words, by the sum of their attributions, in memory that does not grow with the run.

Most n-grams occur in one text only, and there are far more of them than there is room for. So a first pass counts
documents by the *hash* of the n-gram, in an array of fixed size that can be added up, and a second pass sums exactly
only those n-grams whose slot has enough documents (the filter of Park, Chen and Yu 1995, "An effective hash-based
algorithm for mining association rules"). A slot has at least the documents of each of its n-grams, so none of the
frequent ones is lost; those that only share a slot with one are dropped when they are counted. Both passes depend on
the run as a whole, so the table does not depend on the chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measure import SHRINKAGE, Measure, PartialTables, Totals, column, or_null, shares, summed

SIZES = (2, 3)
SLOTS = 1 << 23
MOST_SLOTS = 400_000  # that the second pass looks at; in a very large run an n-gram needs more documents instead
_MOST_DOCUMENTS = 2**16 - 1  # in a slot; more are as good
_ODD = np.uint64(0x9E3779B97F4A7C15)
_CODE_BITS = 21  # of the number of a word among those of one part of a chunk

Counts = tuple[np.ndarray, np.ndarray]  # slots, uint32, sorted; documents in each, uint16

NGRAMS = pa.schema(
    [
        ("n", pa.int8()),
        ("ngram", pa.string()),
        ("prediction", pa.int32()),
        ("target", pa.int32()),
        ("count", pa.int64()),
        ("documents", pa.int64()),
        ("sum", pa.float64()),
        ("mean", pa.float64()),
        ("mean_shrunk", pa.float64()),
    ]
)
_KEY = ("n", "ngram", "prediction", "target")


def documents(flat: Flat) -> Counts:
    """The first pass: slots, uint32, and in how many rows each occurs, uint16."""
    found = []
    for n in SIZES:
        first = _starts(flat, n)
        slot = _slots(flat, first, n)
        found.append(np.unique(flat.word_row[first].astype(np.int64) * SLOTS + slot) % SLOTS)
    slots, count = np.unique(np.concatenate(found), return_counts=True)
    return slots.astype(np.uint32), _capped(count)


def _capped(count: np.ndarray) -> np.ndarray:
    return np.minimum(count, _MOST_DOCUMENTS).astype(np.uint16)


def together(parts: Sequence[Counts]) -> Counts:
    """The counts of all parts."""
    slots, place = np.unique(np.concatenate([slots for slots, _ in parts]), return_inverse=True)
    return slots, _capped(np.bincount(place, weights=np.concatenate([count for _, count in parts])))


def add_documents(whole: np.ndarray, part: Counts) -> None:
    """Enter what `documents` has found into the counts of all slots, uint16 [SLOTS]."""
    slots, count = part
    whole[slots] = _capped(whole[slots].astype(np.int64) + count)


def least_documents(whole: np.ndarray, minimum: int) -> int:
    """How many documents an n-gram must occur in: `minimum`, or more where too many slots have as many."""
    slots_with = np.bincount(whole, minlength=_MOST_DOCUMENTS + 1)[::-1].cumsum()[::-1]  # at least so many documents
    fitting = np.flatnonzero(slots_with <= MOST_SLOTS)
    return max(minimum, int(fitting[0]) if len(fitting) else _MOST_DOCUMENTS)


def _starts(flat: Flat, n: int) -> np.ndarray:
    """Words after which n − 1 others of the same text come; of a pair, each text is one by itself."""
    text = flat.word_text
    return np.flatnonzero(text[: max(len(text) - n + 1, 0)] == text[n - 1 :])


def _slots(flat: Flat, first: np.ndarray, n: int) -> np.ndarray:
    """int64 [first]"""
    word = _hashes(flat.word.dictionary)[flat.word.indices.to_numpy()]
    mixed = np.full(len(first), n, np.uint64)
    for k in range(n):
        mixed = _mixed(mixed * _ODD + word[first + k])
    return (mixed % np.uint64(SLOTS)).astype(np.int64)


def _hashes(words: pa.Array) -> np.ndarray:
    """A hash of each string that is the same in every process, uint64: a polynomial of its bytes modulo 2^64."""
    lengths = pc.binary_length(words).to_numpy().astype(np.int64)
    data = np.frombuffer("".join(words.to_pylist()).encode(), np.uint8).astype(np.uint64)
    first = np.cumsum(lengths) - lengths
    within = np.arange(len(data)) - np.repeat(first, lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, _ODD))
    sums = np.append(
        np.uint64(0), np.cumsum((data + np.uint64(1)) * powers[within])
    )  # modulo 2^64, as are their differences
    return _mixed(sums[first + lengths] - sums[first])


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64: every bit of the input may change every bit of the output."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def ngrams_partial(flat: Flat) -> PartialTables:
    """Exact sums of the n-grams in frequent slots."""
    return (pa.concat_tables([_of_size(flat, n) for n in SIZES]).unify_dictionaries(),)


def occurrences(flat: Flat, n: int) -> tuple[np.ndarray, pa.DictionaryArray]:
    """The n-grams in frequent slots, where they stand.

    Args:
        flat: some rows.
        n: words of an n-gram.

    Returns:
        The word that each begins with, int64 [occurrences], and what it is, words joined by a space [occurrences].
    """
    first = _starts(flat, n)
    if flat.frequent is not None:
        first = first[flat.frequent[_slots(flat, first, n)]]
    code = flat.word.indices.to_numpy().astype(np.int64)
    packed = sum(code[first + k] << (_CODE_BITS * k) for k in range(n))
    codes, number = np.unique(packed, return_inverse=True)
    words = [flat.word.dictionary.take(pa.array(codes >> (_CODE_BITS * k) & ((1 << _CODE_BITS) - 1))) for k in range(n)]
    texts = pa.array([], pa.string()) if not len(codes) else pc.binary_join_element_wise(*words, " ")
    return first, pa.DictionaryArray.from_arrays(pa.array(number.reshape(-1).astype(np.int32)), texts)


def _of_size(flat: Flat, n: int) -> pa.Table:
    first, ngram = occurrences(flat, n)
    found = pa.table(
        {
            "row": flat.word_row[first],
            "number": ngram.indices,
            "count": np.ones(len(first), np.int64),
            "sum": sum(flat.word_attribution[first + k] for k in range(n)),
        }
    )
    by_document = summed([found], ["row", "number"])
    row = by_document.column("row").to_numpy()
    table = pa.table(
        {
            "n": np.full(len(row), n, np.int8),
            "ngram": pa.DictionaryArray.from_arrays(by_document.column("number").combine_chunks(), ngram.dictionary),
            "prediction": flat.predicted_class[row].astype(np.int32),
            "target": flat.integers("target")[row].astype(np.int32),
            "count": by_document.column("count"),
            "documents": np.ones(len(row), np.int64),
            "sum": by_document.column("sum"),
        }
    )
    return summed([table], list(_KEY))


def ngrams_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per n-gram, predicted class and explained class, sorted by them.

    Columns:
        n: number of words, 2 or 3. ngram: they, joined by a blank; punctuation marks are words.
        prediction, target: predicted class, explained class; of several labels as in `terms.tokens_finish`.
        count: occurrences. documents: rows with at least one. Listed are n-grams that are in `Totals.least` rows.
        sum, mean: of the words' attributions, together and per occurrence.
        mean_shrunk: sum / (count + SHRINKAGE).
    """
    table = tables[0].set_column(1, "ngram", tables[0].column("ngram").cast(pa.string()))
    over_all = summed([table.select(["n", "ngram", "documents"])], ["n", "ngram"])
    listed = over_all.filter(pc.greater_equal(over_all.column("documents"), totals.least)).column("ngram")
    table = table.filter(pc.is_in(table.column("ngram"), value_set=listed.combine_chunks()))
    table = table.sort_by([(name, "ascending") for name in _KEY])
    count, total = column(table, "count"), column(table, "sum")
    columns = {
        **{name: table.column(name) for name in (*_KEY, "count", "documents", "sum")},
        "prediction": or_null(table.column("prediction")),
        "mean": shares(total, count),
        "mean_shrunk": total / (count + SHRINKAGE),
    }
    return pa.table({name: columns[name] for name in NGRAMS.names}, schema=NGRAMS)


MEASURES = {"ngrams": Measure((_KEY,), ngrams_partial, ngrams_finish, NGRAMS)}
