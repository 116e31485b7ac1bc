"""Tokens and words: which of them carry attribution, in rows of which prediction, and whether that was right."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.tables import quantile_sketch
from ig_worker.insight.tables.flat_rows import OUTCOMES, Flat
from ig_worker.insight.tables.measure import SHRINKAGE, Measure, PartialTables, Totals, column, or_null, shares

_SIDE = ("prediction", "target", "outcome")
_SUMS = ("count", "documents", "sum", "sum_abs", "squares")
_QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def _schema(name: str, *more: tuple[str, pa.DataType]) -> pa.Schema:
    numbers = ("document_frequency", "sum", "mean", "mean_abs", "variance", *_QUANTILES, "share", "mean_shrunk")
    return pa.schema(
        [
            (name, pa.string()),
            ("prediction", pa.int32()),
            ("target", pa.int32()),
            ("outcome", pa.string()),
            ("count", pa.int64()),
            ("documents", pa.int64()),
            *((number, pa.float64()) for number in numbers),
            *more,
        ]
    )


def tokens_partial(flat: Flat) -> PartialTables:
    return _partial(flat, "token", flat.token, flat.row, flat.attribution, flat.word_id < 0)


def words_partial(flat: Flat) -> PartialTables:
    return _partial(flat, "word", flat.word, flat.word_row, flat.word_attribution)


def _partial(
    flat: Flat,
    name: str,
    text: pa.DictionaryArray,
    row: np.ndarray,
    value: np.ndarray,
    special: np.ndarray | None = None,
) -> PartialTables:
    """Sums, and numbers of values in the buckets of `quantile_sketch`, by text and by what is said of its row."""
    sides, side = np.unique(
        np.stack([flat.predicted_class, flat.integers("target"), flat.outcome.astype(np.int64)]),
        axis=1,
        return_inverse=True,
    )
    side, code = side.reshape(-1), text.indices.to_numpy().astype(np.int64)
    keys, key = np.unique(code * max(sides.shape[1], 1) + side[row], return_inverse=True)

    def keyed(keys: np.ndarray, **values: np.ndarray) -> pa.Table:
        texts = pa.DictionaryArray.from_arrays(pa.array((keys // sides.shape[1]).astype(np.int32)), text.dictionary)
        prediction, target, outcome = sides[:, keys % sides.shape[1]]
        names = [name, *_SIDE, *values]
        columns = [texts, prediction.astype(np.int32), target.astype(np.int32), outcome.astype(np.int8)]
        return pa.table(dict(zip(names, [*columns, *values.values()], strict=True)))

    sums = _sums(key, len(keys), row, value)
    if special is not None:
        sums["special"] = np.bincount(key[special], minlength=len(keys))
    span = 1 << 16
    packed, count = np.unique(
        key * span + (quantile_sketch.buckets(value).astype(np.int64) + span // 2), return_counts=True
    )
    bucket = (packed % span - span // 2).astype(np.int16)
    return keyed(keys, **sums), keyed(keys[packed // span], bucket=bucket, values=count)


def _sums(key: np.ndarray, keys: int, row: np.ndarray, value: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers by key, [keys]; a document counts once however often it has the key."""
    once = np.unique(row.astype(np.int64) * max(keys, 1) + key) % max(keys, 1)
    return {
        "count": np.bincount(key, minlength=keys),
        "documents": np.bincount(once, minlength=keys),
        **{
            what: np.bincount(key, weights=numbers, minlength=keys).astype(np.float64)
            for what, numbers in (("sum", value), ("sum_abs", np.abs(value)), ("squares", value**2))
        },
    }


def tokens_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per token, predicted class, explained class and outcome, sorted by them (outcomes as in `OUTCOMES`).

    An attribution speaks for or against the row's *target*, so sums over different targets are kept apart; with the
    default target (`predicted`) the two classes are the same.

    Columns:
        token: the word piece as the tokenizer spells it, its mark included.
        prediction, target: predicted class, explained class. outcome: one of `flat_rows.OUTCOMES`. Where a text may
            have several labels, the prediction is the explained label, or null where that is not predicted, and the
            outcome is of that label alone.
        count: occurrences. documents: rows with at least one occurrence; document_frequency: the part of all rows.
        sum, mean, mean_abs, variance: of the attributions, all but sum per occurrence.
        p05, p25, p50, p75, p95: quantiles of an occurrence's attribution, to 1% of themselves; see `quantile_sketch`.
        share: part of the run's total absolute attribution, 0 to 1.
        mean_shrunk: sum / (count + SHRINKAGE), a mean that a handful of occurrences cannot make large.
        special: every occurrence was a special token such as [CLS].
    """
    return _finish("token", tables, totals)


def words_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """As `tokens_finish` with words: word pieces joined, their attributions summed, special tokens left out.

    Here share is the part of the words' total absolute attribution, so that it sums to 1.
    """
    return _finish("word", tables, totals)


def _finish(name: str, tables: PartialTables, totals: Totals) -> pa.Table:
    table, buckets = tables
    order = pc.sort_indices(_sortable(table, name), [(key, "ascending") for key in (name, *_SIDE)])
    table = table.take(order)
    count, total = column(table, "count"), column(table, "sum")
    mean = shares(total, count)
    columns = {
        **{key: table.column(key) for key in (name, "target", "count", "documents", "sum")},
        "prediction": or_null(table.column("prediction")),
        "outcome": pa.array(OUTCOMES).take(table.column("outcome")),
        "document_frequency": column(table, "documents") / max(totals.rows, 1),
        "mean": mean,
        "mean_abs": shares(column(table, "sum_abs"), count),
        # The squares of float32 numbers are exact in float64, so little is lost to the difference.
        "variance": np.maximum(shares(column(table, "squares"), count) - mean**2, 0.0),
        **dict(zip(_QUANTILES, _quantiles(name, table, buckets).T, strict=True)),
        "share": shares(column(table, "sum_abs"), column(table, "sum_abs").sum()),
        "mean_shrunk": total / (count + SHRINKAGE),
    }
    schema = MEASURES[f"{name}s"].schema
    if "special" in schema.names:
        columns["special"] = pc.equal(table.column("special"), table.column("count"))
    return pa.table([_plain(columns[field.name]).cast(field.type) for field in schema], schema=schema)


def _plain(values: pa.ChunkedArray | pa.Array | np.ndarray) -> pa.ChunkedArray | pa.Array:
    return pa.array(values) if isinstance(values, np.ndarray) else values


def _sortable(table: pa.Table, name: str) -> pa.Table:
    return table.set_column(0, name, table.column(name).cast(pa.string())).select([name, *_SIDE])


def _quantiles(name: str, table: pa.Table, buckets: pa.Table) -> np.ndarray:
    """[rows of table, quantiles]"""
    both = pa.concat_tables([table.select([name, *_SIDE]), buckets.select([name, *_SIDE])]).unify_dictionaries()
    text = both.column(name).combine_chunks()
    text = text if isinstance(text, pa.DictionaryArray) else text.chunk(0)
    packed = text.indices.to_numpy().astype(np.int64)
    for key in _SIDE:
        numbers = both.column(key).to_numpy().astype(np.int64)
        numbers = numbers - numbers.min(initial=0)
        packed = packed * (numbers.max(initial=0) + 1) + numbers
    own, theirs = packed[: table.num_rows], packed[table.num_rows :]
    order = np.argsort(own)
    group = order[np.searchsorted(own[order], theirs)]
    bucket, values = buckets.column("bucket").to_numpy(), buckets.column("values").to_numpy()
    return quantile_sketch.quantiles(group, bucket, values, table.num_rows, list(_QUANTILES.values()))


MEASURES = {
    "tokens": Measure(
        (("token", *_SIDE), ("token", *_SIDE, "bucket")),
        tokens_partial,
        tokens_finish,
        _schema("token", ("special", pa.bool_())),
    ),
    "words": Measure((("word", *_SIDE), ("word", *_SIDE, "bucket")), words_partial, words_finish, _schema("word")),
}
