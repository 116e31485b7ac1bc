"""What changed between two nights: predictions, attributions, words, accuracy and calibration.

Rows are paired by id. Where both runs cut a text into the same tokens, their attributions are compared token by token,
otherwise word by word over the words that both have seen, so that networks with different tokenizers can be compared.
With two classes an attribution for one is the negative of one for the other, so a flipped prediction is no obstacle,
and what a word does is told towards class 1 whichever class was explained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.compare import statistics
from ig_worker.insight.compare.held import COLUMNS, Held
from ig_worker.insight.compare.pairs import column, lists, pairs
from ig_worker.insight.compare.summary import Comparison, summary, summary_of_held
from ig_worker.insight.tables.measures import confidence
from ig_worker.insight.tables.run_outputs import outputs_of, threshold_of
from ig_worker.models.layers import CLASSES, VALUES
from ig_worker.models.words import inner_text
from ig_worker.run.store.run_store import RunStore

ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.int32()),
        ("prediction_before", pa.int32()),
        ("prediction", pa.int32()),
        ("flipped", pa.bool_()),
        ("aligned", pa.string()),  # by: token, word, or none where that is impossible
        ("moved", pa.float32()),  # share of attribution, 0 to 1; see statistics.moved. Null where not aligned
        ("cosine", pa.float32()),
        ("rank_correlation", pa.float32()),
        ("top_overlap", pa.float32()),
    ]
)
WORDS = pa.schema(
    [
        ("word", pa.string()),  # its pieces put together
        ("documents", pa.int64()),  # paired rows with it
        (
            "mean_before",
            pa.float64(),
        ),  # of its attribution in a document, towards class 1 of two, else the class explained now
        ("mean", pa.float64()),
        ("drift", pa.float64()),  # mean − mean_before
        ("q", pa.float64()),  # p-value of the drift, adjusted for the number of words
    ]
)
MINIMUM_DOCUMENTS = 10  # of a word whose drift is tested
SURE = 0.01  # false discovery rate below which a drift is told
_TOLD = 20  # words


def compare(
    before: RunStore, now: RunStore, progress: Callable[[int, int], None] | None = None
) -> tuple[Comparison, pa.Table, pa.Table]:
    """Compare the rows that two runs have explained.

    Returns:
        The summary, a table of `ROWS` (of labels and numbers also of `held.COLUMNS`) and a table of `WORDS`, the latter
        by |drift|, those that are sure first.

    Raises:
        UsageError: no row is in both, or the models of the two say other things.
    """
    exclusive = _check_same(before, now)
    outputs = outputs_of(now)
    held = None if outputs == CLASSES else Held(outputs, (threshold_of(before), threshold_of(now)))
    rows: list[dict[str, Any]] = []
    words = _Words()
    sure: list[np.ndarray] = []
    total = sum(commit.rows for commit in now.results.commits().values())
    for old, new in pairs(before, now):
        found = _compare_rows(old, new, words, exclusive)
        if held is None:
            sure.append(np.stack([confidence(old), confidence(new)]))
        else:
            found = [one | more for one, more in zip(found, held.add(old, new), strict=True)]
            if outputs == VALUES:  # of which there is no other
                found = [one | {"flipped": False} for one in found]
        rows += found
        if progress:
            progress(len(rows), total)
    if not rows:
        raise UsageError(
            f"{now.place} and {before.place} have explained no row in common",
            expected="two runs over the same data, by id",
        )
    columns = pa.schema([*ROWS, *COLUMNS.get(outputs, ())])
    table, word_table = pa.Table.from_pylist(rows, schema=columns), words.table()
    earlier = sum(commit.rows for commit in before.results.commits().values())
    extra = {
        "before": before.place,
        "now": now.place,
        "only_before": earlier - len(rows),
        "only_now": total - len(rows),
    }
    told = [word for word in word_table.slice(0, _TOLD).to_pylist() if word["q"] < SURE]
    if held is not None:
        return summary_of_held(table, held.numbers(table), told, extra), table, word_table
    return summary(table, np.concatenate(sure, axis=1), told, extra), table, word_table


def _check_same(before: RunStore, now: RunStore) -> bool:
    """Whether a text has one of the classes in both runs.

    Raises:
        UsageError: the models say other things.
    """
    was, is_ = (store.manifest.existing().get("data", {}).get("outputs", outputs_of(store)) for store in (before, now))
    if was != is_:
        raise UsageError(
            f"the model of {before.place} gives {was}, that of {now.place} {is_}",
            expected="two runs of one kind of model",
        )
    return bool(is_ == CLASSES)


def write_comparison(now: RunStore, before: RunStore, progress: Callable[[int, int], None] | None = None) -> Comparison:
    """Compare, and write RUN/aggregates/compare.parquet and compare_words.parquet into the later run."""
    found, rows, words = compare(before, now, progress)
    fingerprint = str(now.manifest.existing().get("fingerprint") or "")
    for name, table in {"compare": rows, "compare_words": words}.items():
        metadata = dict(schema.with_metadata(table.schema, fingerprint=fingerprint).metadata)
        metadata[b"ig_worker.before"] = before.place.encode()
        now.aggregates.write(name, table.replace_schema_metadata(metadata))
    return found


def _compare_rows(old: pa.Table, new: pa.Table, words: _Words, exclusive: bool) -> list[dict[str, Any]]:
    """Records of `ROWS` for pairs of rows."""
    found = []
    sides = [
        (column(table, "prediction"), column(table, "target"), lists(table, "attributions"), lists(table, "word_ids"))
        for table in (old, new)
    ]
    (was, towards_was, values_was, ids_was), (is_, towards, values, ids) = sides
    two = exclusive and len(new.column("probabilities")[0]) == 2  # so that one's attributions are the other's, negated
    texts_was, texts = old.column("tokens").to_pylist(), new.column("tokens").to_pylist()
    for row, (id, label) in enumerate(zip(new.column("id").to_pylist(), new.column("label").to_pylist(), strict=True)):
        a, b, by = values_was[row].astype(np.float64), values[row].astype(np.float64), "token"
        same_target = towards_was[row] == towards[row]
        if texts_was[row] != texts[row]:
            a, b, by = statistics.by_word(a, ids_was[row]), statistics.by_word(b, ids[row]), "word"
            common = min(len(a), len(b))  # one may have been truncated earlier
            a, b = a[:common], b[:common]
        if not same_target:
            a = -a
        if not (same_target or two) or not len(a):
            by = "none"
        record = {
            "id": id, "label": label, "prediction_before": was[row], "prediction": is_[row],
            "flipped": bool(was[row] != is_[row]), "aligned": by,
        }  # fmt: skip
        if by != "none":
            record |= {
                "moved": statistics.moved(a, b),
                "cosine": statistics.cosine(a, b),
                "rank_correlation": statistics.rank_correlation(a, b),
                "top_overlap": statistics.top_overlap(a, b),
            }
            record = {key: None if value != value else value for key, value in record.items()}  # nan: no meaning
            if by == "token":
                a, b = statistics.by_word(a, ids[row]), statistics.by_word(b, ids[row])
            sign = -1.0 if two and towards[row] == 0 else 1.0  # or a word that speaks for one class would cancel out
            words.add(spelt(texts[row], ids[row]), sign * a, sign * b)
        found.append(record)
    return found


def spelt(tokens: list[str], word_ids: np.ndarray) -> list[str]:
    """The words that tokens are pieces of."""
    words = [""] * (int(word_ids.max(initial=-1)) + 1)
    before = -1
    for token, word in zip(tokens, word_ids.tolist(), strict=True):
        if word >= 0:
            words[word] += inner_text(token) if word == before else token
        before = word
    return words


class _Words:
    """Sums over documents, by word: what the paired test needs."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._sums: list[np.ndarray] = []  # by word: documents, sum before, sum now, sum of squared differences

    def add(self, words: list[str], before: np.ndarray, now: np.ndarray) -> None:
        """Enter a document; a word counts once, with the sum of its occurrences."""
        seen: dict[str, np.ndarray] = {}
        for word, pair in zip(words, np.stack([before, now], axis=1), strict=False):  # the rest was cut off in one
            seen[word] = seen.get(word, 0) + pair
        for word, (x, y) in seen.items():
            number = self._number.setdefault(word, len(self._sums))
            if number == len(self._sums):
                self._sums.append(np.zeros(4))
            self._sums[number] += (1, x, y, (y - x) ** 2)

    def table(self) -> pa.Table:
        """A table of `WORDS`."""
        sums = np.array(self._sums).reshape(-1, 4)
        count, before, now, squares = sums.T
        kept = count >= MINIMUM_DOCUMENTS
        count, before, now, squares = count[kept], before[kept], now[kept], squares[kept]
        drift = (now - before) / np.maximum(count, 1)
        q = statistics.adjusted(statistics.two_sided(statistics.paired_z(count, now - before, squares)))
        names = [word for word, keep in zip(self._number, kept, strict=True) if keep]
        columns = [names, count.astype(np.int64), before / count, now / count, drift, q]
        table = pa.table(dict(zip(WORDS.names, columns, strict=True)), schema=WORDS)
        order = sorted(range(len(names)), key=lambda i: (q[i] >= SURE, -abs(drift[i]), names[i]))
        return table.take(pa.array(order, pa.int64()))
