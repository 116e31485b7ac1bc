"""The words of some texts of a run in their order, which a `Corpus` does not keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from ig_worker.insight.tables.flat_rows import Flat, first_of_texts
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import RANK

WordsOf = Callable[[Sequence[int]], list[list[str]]]  # texts as numbers in the corpus, in any order


def reader_of(store: RunStore) -> WordsOf:
    """Reads the chunks that hold the texts it is asked for, and no others; numbers are those of `gather.gather`.

    Raises (what it returns):
        RunDamagedError: a file of the run is not what the run wrote.
    """
    commits = sorted(store.results.commits().items())
    ends = np.cumsum([commit.rows for _, commit in commits])

    def words_of(texts: Sequence[int]) -> list[list[str]]:
        found: dict[int, list[str]] = {}
        wanted = np.unique(np.asarray(texts, np.int64))
        place = np.searchsorted(ends, wanted, side="right")
        for number in np.unique(place).tolist():
            index, commit = commits[number]
            here = wanted[place == number]
            table = first_of_texts(store.results.read(index, [RANK, "tokens", "word_ids"]))
            rows = table.take(pa.array(here - (int(ends[number]) - commit.rows)))
            found.update(zip(here.tolist(), words_in(rows), strict=True))
        return [found[text] for text in texts]

    return words_of


def words_in(table: pa.Table) -> list[list[str]]:
    """The words of each row of a table of attributions."""
    flat = Flat(table)
    names = flat.word.dictionary.to_pylist()
    words = [names[code] for code in flat.word.indices.to_numpy().tolist()]
    ends = np.searchsorted(flat.word_row, np.arange(table.num_rows), side="right").tolist()
    return [words[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
