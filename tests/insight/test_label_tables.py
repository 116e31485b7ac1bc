"""Tables of texts that may have several labels, and of numbers, against plain loops and planted truths."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ig_worker import schema
from ig_worker.insight.compare.statistics import calibration_error
from ig_worker.insight.tables.aggregate import aggregate, current, finish, merge, partial
from ig_worker.insight.tables.measures import measures_of
from ig_worker.insight.tables.summary import summarise
from tests.insight.conftest import make_labelled_rows, make_row, make_table, make_valued_rows
from tests.insight.test_aggregate import same

LABELS, VALUES = schema.LABELS, schema.VALUES
MADE = {schema.LABELS: make_labelled_rows, schema.VALUES: make_valued_rows}


def planted(probabilities: list[float], labels: list[int] | None, target: int = 0, **more: Any) -> dict[str, Any]:
    return make_row(
        label=None, labels=labels, probabilities=probabilities, target=target, target_probability=probabilities[target],
        prediction=int(np.argmax(probabilities)), **more,
    )  # fmt: skip


# Of label 0: two right positives, a false one; of 1: one missed; of 2: never there, never predicted.
TRUTH = [
    planted([0.9, 0.1, 0.2], [0]),
    planted([0.6, 0.7, 0.1], [0, 1]),
    planted([0.8, 0.3, 0.1], [1]),
    planted([0.1, 0.2, 0.3], []),
    planted([0.9, 0.9, 0.9], None),
]


def tables_of(rows: list[dict[str, Any]], **more: Any) -> dict[str, pa.Table]:
    return finish(partial(make_table(rows), **more), 1)


def test_each_label_has_its_precision_recall_and_f1() -> None:
    first, second, third = tables_of(TRUTH)["labels"].to_pylist()
    assert (first["rows"], first["support"], first["predicted"], first["correct"]) == (4, 2, 3, 2)
    assert first["precision"] == pytest.approx(2 / 3)
    assert (first["recall"], first["f1"], first["accuracy"]) == (1.0, pytest.approx(0.8), 0.75)
    assert (second["precision"], second["recall"], second["f1"]) == (1.0, 0.5, pytest.approx(2 / 3))
    assert (third["precision"], third["recall"], third["f1"], third["accuracy"]) == (None, None, None, 1.0)
    assert third["mean_probability"] == pytest.approx(np.mean([0.2, 0.1, 0.1, 0.3, 0.9]), rel=1e-6)


def test_the_scores_of_the_run_are_of_all_labels_together() -> None:
    (scores,) = tables_of(TRUTH)["label_scores"].to_pylist()
    assert (scores["rows"], scores["labelled"]) == (5, 4)
    assert scores["subset_accuracy"] == 0.75  # all but the third
    assert scores["label_accuracy"] == pytest.approx(np.mean([0.75, 0.75, 1]))
    assert (scores["micro_precision"], scores["micro_recall"], scores["micro_f1"]) == (0.75, 0.75, 0.75)
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert (scores["mean_labels"], scores["mean_predicted"]) == (1.0, pytest.approx(7 / 5))


def test_the_threshold_decides_what_is_predicted() -> None:
    strict = tables_of(TRUTH, threshold=0.85)["labels"].to_pylist()
    assert [row["predicted"] for row in strict] == [1, 0, 0]
    (scores,) = tables_of([planted([0.5, 0.3], [0])], threshold=0.3)["label_scores"].to_pylist()
    assert scores["mean_predicted"] == 2.0  # a probability of exactly the threshold is enough


def test_the_calibration_of_a_label_equals_a_plain_loop() -> None:
    rows = make_labelled_rows(300, seed=4)
    tables = tables_of(rows)
    for label, told in enumerate(tables["labels"].to_pylist()):
        known = [row for row in rows if row["labels"] is not None]
        sure = np.array([np.float32(row["probabilities"][label]) for row in known], np.float64)
        true = np.array([label in row["labels"] for row in known])
        assert told["ece"] == pytest.approx(calibration_error(sure, true), rel=1e-6)
        bins = [row for row in tables["label_calibration"].to_pylist() if row["label"] == label]
        assert sum(row["rows"] for row in bins) == len(known)
        for row in bins:
            inside = (sure >= row["low"] - 1e-7) & (sure < row["high"] - 1e-7)
            assert row["frequency"] == pytest.approx(true[inside].mean())
            assert row["probability"] == pytest.approx(sure[inside].mean())


def test_a_word_speaks_for_the_label_that_is_explained_and_its_outcome_is_of_that_label() -> None:
    rows = [
        planted([0.9, 0.1], [1], 0, text="[CLS] good [SEP]"),  # 0 is predicted, and is not there
        planted([0.9, 0.1], [1], 1, text="[CLS] bad [SEP]"),  # 1 is missed
        planted([0.9, 0.1], [0], 1, text="[CLS] dull [SEP]"),  # 1 is rightly not predicted
        planted([0.9, 0.1], None, 0, text="[CLS] film [SEP]"),
    ]
    words = {row["word"]: row for row in tables_of(rows)["words"].to_pylist()}
    told = {word: (row["prediction"], row["target"], row["outcome"]) for word, row in words.items()}
    assert told == {
        "good": (0, 0, "wrong"),
        "bad": (None, 1, "wrong"),
        "dull": (None, 1, "right"),
        "film": (0, 0, "unlabelled"),
    }


def test_quantiles_of_words_that_are_not_predicted_are_their_own() -> None:
    rows = [planted([p, 0.1], None, 0, attributions=[0.0, a, 0.0]) for p, a in ((0.9, 1.0), (0.1, -2.0), (0.2, -2.0))]
    words = tables_of(rows)["words"].to_pylist()
    assert {row["prediction"]: pytest.approx(row["p50"], rel=0.02) for row in words} == {0: 1.0, None: -2.0}


def test_numbers_are_held_against_those_of_the_data() -> None:
    rows = make_valued_rows(200, seed=2)
    (scores,) = tables_of(rows)["value_scores"].to_pylist()
    pairs = np.array([(row["probabilities"][0], row["value"]) for row in rows if row["value"] is not None])
    error = pairs[:, 0] - pairs[:, 1]
    assert (scores["rows"], scores["labelled"]) == (200, len(pairs))
    assert scores["mean_absolute_error"] == pytest.approx(np.abs(error).mean())
    assert scores["root_mean_square_error"] == pytest.approx(np.sqrt((error**2).mean()))
    assert scores["mean_error"] == pytest.approx(error.mean())
    assert scores["pearson"] == pytest.approx(stats.pearsonr(*pairs.T)[0])
    assert scores["spearman"] == pytest.approx(stats.spearmanr(*pairs.T)[0])


def test_histograms_and_the_grid_hold_every_text_once() -> None:
    rows = make_valued_rows(200, seed=2)
    tables, known = tables_of(rows), sum(row["value"] is not None for row in rows)
    sums: dict[str, int] = {}
    for row in tables["values"].to_pylist():
        sums[row["measure"]] = sums.get(row["measure"], 0) + row["rows"]
    assert sums == {"prediction": 200, "value": known, "error": known}
    assert sum(tables["value_grid"].column("rows").to_pylist()) == known
    for row in rows:
        if row["value"] is not None:
            assert any(
                cell["value_low"] <= row["value"] <= cell["value_high"]
                and cell["prediction_low"] <= row["probabilities"][0] <= cell["prediction_high"]
                for cell in tables["value_grid"].to_pylist()
            )


def test_one_text_and_none_with_a_number_are_no_trouble() -> None:
    row = make_valued_rows(1)[0]
    alone = tables_of([row | {"value": 1.0}])["value_scores"].to_pylist()[0]
    assert (alone["labelled"], alone["pearson"], alone["spearman"]) == (1, None, None)
    unknown = tables_of([row | {"value": None}])
    assert unknown["value_scores"].to_pylist()[0]["mean_absolute_error"] is None
    assert unknown["value_grid"].num_rows == 0
    assert set(unknown["values"].column("measure").to_pylist()) == {"prediction"}
    assert "unknown, no row has a number" in " ".join(summarise(unknown).lines())


@pytest.mark.parametrize("outputs", [LABELS, VALUES])
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=4), seed=st.integers(0, 3))
def test_chunking_changes_nothing_but_rounding(outputs: str, cuts: list[int], seed: int) -> None:
    whole = make_table(MADE[outputs](40, seed=seed))
    edges = [0, *sorted(set(cuts) - {0, 40}), 40]
    parts = [partial(whole.slice(a, b - a)) for a, b in pairwise(edges)]
    expected = finish(partial(whole))
    assert set(expected) == set(measures_of(outputs))
    for found in (finish(reduce(merge, parts)), finish(reduce(merge, parts[::-1]))):
        for name, wanted in expected.items():
            assert found[name].schema == wanted.schema == measures_of(outputs)[name].schema
            same(found[name], wanted)


@pytest.mark.parametrize("outputs", [LABELS, VALUES])
def test_texts_are_counted_by_their_first_target_and_words_by_every_one(outputs: str) -> None:
    rows = MADE[outputs](30, seed=1)
    once = finish(partial(make_table(rows)), 1)
    twice = finish(partial(make_table([row | {schema.RANK: rank} for row in rows for rank in (0, 1)])), 1)
    for name in {"labels", "label_scores", "label_calibration", "values", "value_grid", "value_scores"} & set(once):
        assert twice[name].equals(once[name]), name
    for name in ("convergence", "histograms", "truncation"):
        assert twice[name].equals(once[name]), name
    assert sum(twice["words"].column("count").to_pylist()) == 2 * sum(once["words"].column("count").to_pylist())


def test_classes_too_count_texts_once() -> None:
    from tests.insight.conftest import make_rows

    rows = make_rows(30, seed=1)
    table = make_table([row | {schema.RANK: rank} for row in rows for rank in (0, 1)])
    once, twice = finish(partial(make_table(rows)), 1), finish(partial(table), 1)
    for name in ("classes", "calibration", "convergence", "histograms", "truncation"):
        assert twice[name].equals(once[name]), name


@pytest.mark.parametrize("outputs", [LABELS, VALUES])
def test_a_run_is_aggregated_with_its_own_tables_and_its_threshold(build, outputs: str) -> None:
    rows = MADE[outputs](30)
    store = build(rows[:12], rows[12:], config={"threshold": 0.9})
    tables = aggregate(store)
    assert set(tables) == set(measures_of(outputs))
    for name, expected in finish(partial(make_table(rows), threshold=0.9)).items():
        same(store.aggregates.read(name), expected)
    current(store, lambda *_: pytest.fail("read the chunks again"))


def test_the_summary_says_how_right_several_labels_and_numbers_are() -> None:
    labels = summarise(tables_of(TRUTH))
    assert (labels.labelled, labels.accuracy, labels.f1) == (4, 0.75, 0.75)
    assert "75.0% of 4 labelled rows have every label right, 83.3% of all labels are" in labels.lines()[1]
    assert labels.lines()[2] == "F1           0.75 over all labels, 0.73 as their mean"
    numbers = summarise(tables_of([row | {"value": row["probabilities"][0] - 0.5} for row in make_valued_rows(9)]))
    assert (numbers.accuracy, numbers.error) == (None, pytest.approx(0.5, rel=1e-5))
    assert numbers.lines()[1] == "error        0.5 mean, 0.5 root mean square, +0.5 too high, of 9 labelled rows"
