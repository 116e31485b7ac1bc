from __future__ import annotations

import math
from collections import defaultdict
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.format import percent
from ig_worker.insight.heat.pieces import joined
from ig_worker.insight.tables import aggregate as aggregate_module
from ig_worker.insight.tables import quantile_sketch
from ig_worker.insight.tables.aggregate import aggregate, current, finish, merge, partial
from ig_worker.insight.tables.flat_rows import OUTCOMES
from ig_worker.insight.tables.measures import MEASURES, SHRINKAGE, measures_of
from ig_worker.insight.tables.summary import summarise


def outcome(row: dict[str, Any]) -> str:
    return "unlabelled" if row["label"] is None else "right" if row["label"] == row["prediction"] else "wrong"


def naive(rows: list[dict[str, Any]], name: str) -> dict[tuple[str, int, int, str], dict[str, Any]]:
    """The table `tokens` or `words` by plain loops, but for its quantiles: `a` has all values."""
    sums: dict[tuple[str, int, int, str], dict[str, Any]] = defaultdict(
        lambda: {"a": [], "rows": set(), "special": True}
    )
    for row in rows:
        parts = (row["tokens"], row["word_ids"], row["attributions"])
        if name == "words":
            parts = joined(*parts)
        for token, word_id, a in zip(*parts, strict=True):
            if name == "words" and word_id < 0:
                continue
            entry = sums[token, row["prediction"], row["target"], outcome(row)]
            entry["a"].append(a)
            entry["rows"].add(row["id"])
            entry["special"] &= word_id < 0
    total = sum(abs(a) for entry in sums.values() for a in entry["a"])
    return {
        key: {
            "a": entry["a"],
            "count": len(entry["a"]),
            "documents": len(entry["rows"]),
            "document_frequency": len(entry["rows"]) / len(rows),
            "sum": math.fsum(entry["a"]),
            "mean": math.fsum(entry["a"]) / len(entry["a"]),
            "mean_abs": math.fsum(map(abs, entry["a"])) / len(entry["a"]),
            "variance": np.var(entry["a"]),
            "share": math.fsum(map(abs, entry["a"])) / total,
            "mean_shrunk": math.fsum(entry["a"]) / (len(entry["a"]) + SHRINKAGE),
            "special": entry["special"],
        }
        for key, entry in sums.items()
    }


@pytest.mark.parametrize("name", ["tokens", "words"])
def test_the_token_and_word_tables_equal_plain_loops(rows, table, name):
    data = rows(150)
    expected = naive(data, name)
    found = finish(partial(table(data)))[name].to_pylist()
    keys = [(row.pop(name[:-1]), row.pop("prediction"), row.pop("target"), row.pop("outcome")) for row in found]
    assert keys == sorted(expected, key=lambda key: (key[0].encode(), *key[1:3], OUTCOMES.index(key[3])))
    for key, row in zip(keys, found, strict=True):
        wanted = expected[key]
        for quantile in (5, 25, 50, 75, 95):
            exact = np.percentile(wanted["a"], quantile, method="lower")
            assert row.pop(f"p{quantile:02d}") == pytest.approx(
                exact, rel=quantile_sketch.ACCURACY, abs=quantile_sketch.SMALLEST
            )
        assert row == pytest.approx({column: wanted[column] for column in row}, rel=1e-12, abs=1e-15)


def test_shares_sum_to_one_and_are_zero_where_nothing_is_attributed(rows, row, table):
    assert sum(finish(partial(table(rows(30))))["tokens"]["share"].to_pylist()) == pytest.approx(1)
    silent = finish(partial(table([row("[CLS] good [SEP]", [0.0, 0.0, 0.0])])))["tokens"]
    assert silent["share"].to_pylist() == [0, 0, 0]


def test_a_document_counts_once_however_often_it_has_the_token(row, table):
    data = [row("good good good bad"), row("good", id="b")]
    found = {entry["token"]: entry for entry in finish(partial(table(data)))["tokens"].to_pylist()}
    assert (found["good"]["count"], found["good"]["documents"]) == (4, 2)
    assert (found["bad"]["count"], found["bad"]["documents"]) == (1, 1)


def test_a_token_that_is_special_only_sometimes_is_an_ordinary_token(row, table):
    data = [row("[UNK] [SEP]", word_ids=[0, -1]), row("[UNK] [SEP]", id="b")]
    found = {entry["token"]: entry["special"] for entry in finish(partial(table(data)))["tokens"].to_pylist()}
    assert found == {"[SEP]": True, "[UNK]": False}


def test_a_rare_token_does_not_lead_by_its_shrunken_mean(row, table):
    data = [row("rare", [0.9])] + [row("common", [0.3], id=str(i)) for i in range(50)]
    found = {entry["token"]: entry for entry in finish(partial(table(data)))["tokens"].to_pylist()}
    assert found["rare"]["mean"] > found["common"]["mean"]
    assert found["rare"]["mean_shrunk"] < found["common"]["mean_shrunk"]


def test_the_confusion_table_equals_plain_loops(rows, table):
    data = rows(80, classes=3)
    found = finish(partial(table(data)))["classes"].to_pylist()
    labelled = [row for row in data if row["label"] is not None]
    accuracy = sum(row["label"] == row["prediction"] for row in labelled) / len(labelled)
    assert sum(cell["count"] for cell in found) == 80
    for cell in found:
        same = [row for row in data if row["label"] == cell["label"]]
        here = [row for row in same if row["prediction"] == cell["prediction"]]
        assert cell["count"] == len(here)
        assert cell["share_of_label"] == pytest.approx(len(here) / len(same))
        assert cell["mean_confidence"] == pytest.approx(np.mean([max(row["probabilities"]) for row in here]))
        assert cell["accuracy"] == pytest.approx(accuracy)
    labels = [cell["label"] for cell in found]
    assert labels[-1] is None
    assert labels == sorted(labels, key=lambda label: (label is None, label))


def test_accuracy_is_null_where_no_row_has_a_label(row, table):
    classes = finish(partial(table([row(label=None)])))["classes"].to_pylist()
    assert [(cell["label"], cell["count"], cell["accuracy"]) for cell in classes] == [(None, 1, None)]


def test_convergence_equals_numpy_over_all_rows(rows, table):
    data = rows(70)
    found = {row["status"]: row for row in finish(partial(table(data)))["convergence"].to_pylist()}
    assert list(found) == ["converged", "evaluation_limit", "fixed", "all"]
    for status, entry in found.items():
        here = [row for row in data if status in (row["status"], "all")]
        delta = np.abs([row["delta"] for row in here])
        estimates = [row["error_estimate"] for row in here if row["error_estimate"] is not None]
        assert (entry["rows"], entry["share"]) == (len(here), pytest.approx(len(here) / 70))
        for name, q in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)):
            assert entry[f"abs_delta_{name}"] == pytest.approx(np.percentile(delta, q))
        assert entry["evaluations_mean"] == pytest.approx(np.mean([row["evaluations"] for row in here]))
        assert entry["truncated_share"] == pytest.approx(np.mean([row["truncated"] for row in here]))
        assert entry["error_estimate_p50"] == (pytest.approx(np.median(estimates)) if estimates else None)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=5), seed=st.integers(0, 3))
def test_chunking_changes_nothing_but_rounding(rows, table, cuts, seed):
    whole = table(rows(40, seed))
    edges = [0, *sorted(cuts), 40]
    parts = [partial(whole.slice(a, b - a)) for a, b in pairwise(edges)]
    expected, forward, backward = finish(partial(whole)), finish(reduce(merge, parts)), reduce(merge, parts[::-1])
    for found in (forward, finish(backward)):
        for name, wanted in expected.items():
            assert found[name].schema == wanted.schema == MEASURES[name].schema
            same(found[name], wanted)


def same(found: pa.Table, expected: pa.Table) -> None:
    """Equal up to float64 rounding."""
    for field in expected.schema:
        is_value, should_be = found[field.name].to_pylist(), expected[field.name].to_pylist()
        if field.type == pa.float64():
            is_value, should_be = np.array(is_value, float), np.array(should_be, float)  # null as nan
            np.testing.assert_allclose(is_value, should_be, rtol=1e-12, atol=1e-15, err_msg=field.name)
        else:
            assert is_value == should_be


def test_equal_input_gives_equal_bytes(rows, table):
    data = table(rows(200))
    first, second = finish(partial(data)), finish(partial(data))
    assert all(first[name].equals(second[name]) for name in first)


def test_a_run_is_aggregated_over_its_chunks_and_written(build, rows, table):
    data, seen = rows(30), []
    store = build(data[:12], [], data[12:])
    tables = aggregate(store, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 4), (4, 4)]  # two chunks have rows, and each is read twice
    assert set(tables) == set(measures_of(schema.CLASSES))
    for name, expected in finish(partial(table(data))).items():
        written = store.aggregates.read(name)
        assert written.equals(tables[name])
        assert written.schema.metadata[schema.META_FINGERPRINT] == b"f00d"
        same(written, expected)


def test_two_chunkings_of_a_run_give_the_same_tables(build, rows, tmp_path, monkeypatch):
    data = rows(120, seed=9)
    whole = aggregate(build(data))
    monkeypatch.setattr(aggregate_module, "_ROWS_AT_ONCE", 5)
    parts = aggregate(build(*(data[i : i + 17] for i in range(0, 120, 17))))
    assert whole["ngrams"].num_rows > 0
    for name, expected in whole.items():
        same(parts[name], expected)


@pytest.mark.parametrize("chunks", [[], [[]]])
def test_a_run_without_explained_rows_is_refused_with_what_to_do(build, chunks):
    with pytest.raises(UsageError, match=r"0 explained rows .* run jobs\.explain"):
        aggregate(build(*chunks))


def test_a_run_with_only_quarantined_rows_names_the_quarantine(build, quarantine):
    with pytest.raises(UsageError, match=r"2 rows quarantined.*RUN/quarantine"):
        aggregate(build([], quarantined=quarantine(2)))


def test_tables_are_reused_until_a_chunk_is_added(build, rows, table, quarantine):
    store = build(rows(10))
    aggregate(store)
    assert current(store, lambda *_: pytest.fail("read the chunks again"))["convergence"]["rows"][-1].as_py() == 10
    store.results.commit(1, table(rows(5, seed=1)), quarantine(0), "f00d")
    assert current(store)["convergence"]["rows"][-1].as_py() == 15


def test_the_table_that_says_how_many_rows_are_covered_is_written_last(build, rows, monkeypatch):
    store, written = build(rows(3)), []
    write = store.aggregates.write
    monkeypatch.setattr(store.aggregates, "write", lambda name, table: written.append(name) or write(name, table))
    tables = aggregate(store)
    assert written[-1] == "convergence"
    assert sorted(written) == sorted(tables) == sorted(measures_of(schema.CLASSES))
    assert aggregate_module.writing_order(["convergence", "tokens", "classes"]) == ["tokens", "classes", "convergence"]


def test_tables_of_another_fingerprint_are_made_anew(build, rows):
    store = build(rows(10))
    aggregate(store)
    store.manifest.write({"fingerprint": "beef"})
    read = []
    current(store, lambda *step: read.append(step))
    assert read == [(1, 2), (2, 2)]


def test_the_summary_says_what_the_tables_say(rows, table):
    data = rows(50)
    summary = summarise(finish(partial(table(data))), quarantined=3)
    adaptive = [row for row in data if row["status"] != "fixed"]
    assert (summary.rows, summary.quarantined) == (50, 3)
    assert summary.converged == pytest.approx(sum(row["status"] == "converged" for row in adaptive) / len(adaptive))
    assert summary.delta_p50 == pytest.approx(np.median(np.abs([row["delta"] for row in data])))
    assert "rows         50 explained, 3 quarantined" in summary.lines()


def test_the_summary_of_a_fixed_rule_without_labels_claims_nothing(row, table):
    summary = summarise(finish(partial(table([row(label=None)]))))
    assert summary.accuracy is None
    assert summary.converged is None
    assert not any("converged" in line or "%" in line for line in summary.lines())


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0, "0.0%"), (1, "100.0%"), (0.5, "50.0%"), (0.99999, ">99.9%"), (0.00001, "<0.1%")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share, text):
    assert percent(share) == text
