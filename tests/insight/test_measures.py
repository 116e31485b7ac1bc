"""The other tables of RUN/aggregates against plain loops, and what they promise at their edges."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.insight.compare.statistics import calibration_error
from ig_worker.insight.heat.pieces import joined
from ig_worker.insight.tables import aggregate, ngrams, quantile_sketch
from ig_worker.insight.tables.aggregate import finish, merge, partial
from ig_worker.insight.tables.evidence import evidence
from ig_worker.insight.tables.measures import Flat
from tests.insight.conftest import make_row, make_rows, make_table

VALUES = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=60)


def table_of(rows: list[dict[str, Any]], name: str, least: int = 1) -> list[dict[str, Any]]:
    return finish(partial(make_table(rows)), least)[name].to_pylist()


def words_of(row: dict[str, Any]) -> list[tuple[str, float]]:
    parts = zip(*joined(row["tokens"], row["word_ids"], row["attributions"]), strict=True)
    return [(word, a) for word, number, a in parts if number >= 0]


@given(VALUES, st.lists(st.integers(0, 2), min_size=60, max_size=60), st.floats(0, 1))
def test_a_quantile_is_told_to_a_hundredth_of_itself(values: list[float], groups: list[int], wanted: float) -> None:
    group = np.unique(groups[: len(values)], return_inverse=True)[1]
    data = np.array(values)
    found = quantile_sketch.quantiles(
        group, quantile_sketch.buckets(data), np.ones(len(data), int), group.max() + 1, [wanted]
    )
    for i, (quantile,) in enumerate(found):
        mine = np.sort(data[group == i])
        exact = mine[math.floor(wanted * (len(mine) - 1))]
        assert quantile == pytest.approx(exact, rel=quantile_sketch.ACCURACY * (1 + 1e-9), abs=quantile_sketch.SMALLEST)


def test_ngrams_equal_plain_loops() -> None:
    rows = make_rows(120, seed=5)
    sums: dict[tuple[Any, ...], list[tuple[str, float]]] = defaultdict(list)
    for row in rows:
        words = words_of(row)
        for n in (2, 3):
            for i in range(len(words) - n + 1):
                names, values = zip(*words[i : i + n], strict=True)
                sums[n, " ".join(names), row["prediction"], row["target"]].append((row["id"], sum(values)))
    expected = {
        key: (len(entry), len({id for id, _ in entry}), pytest.approx(sum(a for _, a in entry), abs=1e-12))
        for key, entry in sums.items()
    }
    found = table_of(rows, "ngrams")
    keys = [(row["n"], row["ngram"], row["prediction"], row["target"]) for row in found]
    assert keys == sorted(expected, key=lambda key: (key[0], key[1].encode(), *key[2:]))
    for key, row in zip(keys, found, strict=True):
        assert (row["count"], row["documents"], row["sum"]) == expected[key]
        assert row["mean"] == pytest.approx(row["sum"] / row["count"])


def test_ngrams_are_listed_from_so_many_documents_on_however_many_share_a_slot(build, monkeypatch) -> None:
    monkeypatch.setattr(ngrams, "SLOTS", 8)
    rows = make_rows(60, seed=2)
    exact = table_of(rows, "ngrams", least=2)
    found = aggregate.aggregate(build(rows[:9], rows[9:]))["ngrams"].to_pylist()
    assert found == [pytest.approx(row) for row in exact]
    assert 0 < len(exact) < len(table_of(rows, "ngrams"))


def test_where_too_many_ngrams_are_frequent_they_need_more_documents(monkeypatch) -> None:
    monkeypatch.setattr(ngrams, "MOST_SLOTS", 3)
    counts = np.zeros(ngrams.SLOTS, np.uint16)
    counts[:8] = [1, 2, 2, 3, 4, 5, 5, 65535]
    assert ngrams.least_documents(counts, 2) == 5
    assert ngrams.least_documents(counts, 9) == 9


def test_words_hash_alike_whatever_they_stand_beside() -> None:
    one = ngrams._hashes(pa.array(["film", "ünï", "", "a"]))
    other = ngrams._hashes(pa.array(["a", "b", "film", "ünï", ""]))
    assert one.tolist() == other[[2, 3, 4, 0]].tolist()
    assert len(set(other.tolist())) == 5


def test_positions_and_kinds_equal_plain_loops() -> None:
    rows = make_rows(80, seed=3)
    places: dict[tuple[int, int], list[float]] = defaultdict(list)
    kinds: dict[tuple[str, int], list[float]] = defaultdict(list)
    whole: dict[int, float] = defaultdict(float)
    for row in rows:
        target, parts = row["target"], list(zip(row["tokens"], row["word_ids"], row["attributions"], strict=True))
        ordinary = [a for _, word, a in parts if word >= 0]
        for i, a in enumerate(ordinary):
            places[target, i * 20 // len(ordinary)].append(a)
        for token, word, a in parts:
            whole[target] += abs(a)
            kinds["unknown" if token == "[UNK]" else "special" if word < 0 else "ordinary", target].append(abs(a))
    found = {(row["target"], row["bin"]): row for row in table_of(rows, "positions")}
    assert list(found) == sorted(places)
    for (target, _), row, values in ((key, found[key], np.array(places[key])) for key in found):
        assert row["tokens"] == len(values)
        assert row["mean"] == pytest.approx(values.mean())
        assert row["mean_abs"] == pytest.approx(np.abs(values).mean())
        assert row["share"] == pytest.approx(np.abs(values).sum() / whole[target])
    shares = {(row["kind"], row["target"]): (row["tokens"], row["share"]) for row in table_of(rows, "shares")}
    assert shares == {key: (len(a), pytest.approx(sum(a) / whole[key[1]])) for key, a in kinds.items()}


def test_calibration_is_that_of_the_labelled_rows() -> None:
    rows = make_rows(90, seed=4, classes=3)
    labelled = [row for row in rows if row["label"] is not None]
    sure = np.array([max(row["probabilities"]) for row in labelled])
    right = np.array([row["label"] == row["prediction"] for row in labelled])
    found = table_of(rows, "calibration")
    assert [row["bin"] for row in found] == list(range(15))
    assert found[0]["ece"] == pytest.approx(calibration_error(sure, right))
    for row in found:
        here = (sure >= row["low"]) & (sure < row["high"])
        assert row["rows"] == here.sum()
        assert row["accuracy"] == (pytest.approx(right[here].mean()) if here.any() else None)
        assert row["confidence"] == (pytest.approx(sure[here].mean()) if here.any() else None)
    assert {row["ece"] for row in table_of([make_row(label=None)], "calibration")} == {None}


def test_histograms_hold_every_row_between_their_bounds() -> None:
    rows = [*make_rows(70), make_row(id="exact", delta=0.0, probabilities=[0.0, 1.0])]
    rows[0]["delta"] = 2e-9
    values = {
        "abs_delta": [abs(float(np.float32(row["delta"]))) for row in rows],
        "error_estimate": [row["error_estimate"] for row in rows if row["error_estimate"] is not None],
        "evaluations": [row["evaluations"] for row in rows],
        "length": [sum(word >= 0 for word in row["word_ids"]) for row in rows],
        "confidence": [row["probabilities"][row["prediction"]] for row in rows],
    }
    found = table_of(rows, "histograms")
    for measure, numbers in values.items():
        mine = [row for row in found if row["measure"] == measure]
        assert sum(row["rows"] for row in mine) == len(numbers)
        assert [row["bin"] for row in mine] == list(range(mine[0]["bin"], mine[-1]["bin"] + 1))
        for row in mine:
            last = measure == "confidence" and row["high"] == 1
            inside = sum(row["low"] <= x < row["high"] or (last and x == 1) for x in numbers)
            assert row["rows"] == inside
    assert next(row for row in found if row["measure"] == "abs_delta")["low"] == 0


def test_truncated_rows_stand_beside_the_others() -> None:
    late = make_row("[CLS] a b c d e f g h i j [SEP]", [0.0, *[0.1] * 9, 0.9, 0.0], id="x", truncated=True, label=0)
    even = make_row("[CLS] a b c d e f g h i j [SEP]", [0.0, *[0.1] * 10, 0.0], id="y")
    kept, cut = table_of([late, even, {**even, "id": "z", "label": None}], "truncation")
    assert (kept["truncated"], kept["rows"], kept["labelled"], kept["accuracy"]) == (False, 2, 1, 1.0)
    assert kept["last_decile_share"] == pytest.approx(0.1)
    assert (cut["truncated"], cut["accuracy"], cut["mean_length"]) == (True, 0.0, 10.0)
    assert cut["last_decile_share"] == pytest.approx(0.5)


def test_words_are_put_together_and_share_one_entry_with_a_token_that_is_spelt_alike() -> None:
    rows = [make_row("[CLS] bor ##ing film [SEP]", [0, 0.25, 0.5, 0.1, 0]), make_row("boring", [0.25], id="b")]
    found = {row["word"]: row for row in table_of(rows, "words")}
    assert sorted(found) == ["boring", "film"]
    assert (found["boring"]["count"], found["boring"]["documents"], found["boring"]["sum"]) == (2, 2, 1.0)
    assert found["boring"]["document_frequency"] == 1.0


def test_partials_merge_in_pairs_whatever_their_number() -> None:
    parts = [partial(make_table(make_rows(5, seed))) for seed in range(7)]
    found, expected = finish(aggregate.merged(parts)), finish(merge(*parts))
    assert found["tokens"].column("count").equals(expected["tokens"].column("count"))
    assert found["convergence"].column("rows").equals(expected["convergence"].column("rows"))


def test_a_row_without_any_word_changes_nothing_but_counts() -> None:
    rows = make_rows(20)
    silent = [make_row("[CLS] [SEP]", [0.0, 0.0], id="silent"), make_row("", [], id="nothing")]
    assert len(table_of(silent, "words")) == 0
    assert len(table_of(rows + silent, "words")) == len(table_of(rows, "words"))
    assert Flat(make_table(silent)).length.tolist() == [0, 0]


def test_the_evidence_of_words_is_that_of_tokens_where_words_are_tokens() -> None:
    tables = finish(partial(make_table([make_row("[CLS] good film [SEP]", [0.0, 0.5, -0.5, 0.0])])))
    words, tokens = (evidence(tables[name], 1, True, 1) for name in ("words", "tokens"))
    assert words.column_names[0] == "word"
    assert words.rename_columns(tokens.column_names).equals(tokens)
