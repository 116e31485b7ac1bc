"""Drift: parts of a change add up, a regression is found and told first, and where there is none nothing is claimed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ig_worker.insight.compare.statistics import mcnemar
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.drift import drift
from ig_worker.insight.findings.finding import DRIFT
from ig_worker.insight.findings.paired import Paired, paired
from ig_worker.insight.findings.significance import paired_difference
from ig_worker.schema import VALUES
from tests.insight.planted_runs import (
    Planted,
    changed,
    corpus_of,
    labelled_corpus,
    labels_of,
    plain_texts,
    turned,
    with_word,
)

SMALL = Planted(plain_texts(300, words=(5, 12)), np.zeros(300, np.int32)).table()


def random_run(seed: int) -> Corpus:
    """Random predictions and labels of three classes, some labels missing, for a random part of 300 texts."""
    random = np.random.default_rng(seed)
    table = SMALL.take(np.sort(random.choice(300, int(random.integers(20, 301)), replace=False)))
    rows = table.num_rows
    label = [None if random.random() < 0.2 else int(random.integers(3)) for _ in range(rows)]
    probability = random.dirichlet(np.ones(3), rows).astype(np.float32)
    said = {"prediction": probability.argmax(axis=1), "target": probability.argmax(axis=1)}
    return corpus_of(changed(table, label=np.array(label, object), **said, probabilities=probability))


def changed_labels(both: Paired) -> tuple[int, int]:
    """Newly right and newly wrong texts with another label, the plain way."""
    rows = [
        {row["id"]: row for row in run.texts.select(["id", "label", "prediction"]).to_pylist()}
        for run in (both.before, both.now)
    ]
    pairs = [(rows[0][id], rows[1][id]) for id in rows[0].keys() & rows[1].keys()]
    known = [(a, b) for a, b in pairs if a["label"] is not None and b["label"] is not None and a["label"] != b["label"]]
    rights = [(a["label"] == a["prediction"], b["label"] == b["prediction"]) for a, b in known]
    return rights.count((False, True)), rights.count((True, False))


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_of_a_change_of_accuracy_add_up(seed: int) -> None:
    both = paired(random_run(2 * seed), random_run(2 * seed + 1))
    change = both.accuracy()
    was, is_ = (
        np.mean([row["label"] == row["prediction"] for row in run.texts.to_pylist() if row["label"] is not None])
        for run in (both.before, both.now)
    )
    assert (change.before, change.now) == (pytest.approx(was), pytest.approx(is_))
    assert abs(change.flips + change.came + change.left - (is_ - was)) < 1e-12
    gained, lost = changed_labels(both)
    assert gained == (both.outcome(False, True) & both.relabelled).sum()
    assert lost == (both.outcome(True, False) & both.relabelled).sum()


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_of_a_change_of_the_mix_add_up(seed: int) -> None:
    both = paired(random_run(2 * seed), random_run(2 * seed + 1))
    for k, change in enumerate(both.mix()):
        was, is_ = ((run.prediction == k).mean() for run in (both.before, both.now))
        assert abs(change.flips + change.came + change.left - (is_ - was)) < 1e-12


def test_runs_without_a_text_or_a_label_in_common_add_up_too() -> None:
    one, other = corpus_of(SMALL.slice(0, 100)), corpus_of(changed(SMALL.slice(100), prediction=1))
    change = paired(one, other).accuracy()
    assert change.flips == 0
    assert abs(change.came + change.left - (change.now - change.before)) < 1e-12
    assert not drift(one, other)
    unlabelled = corpus_of(changed(SMALL, label=np.full(300, None)))
    change = paired(unlabelled, corpus_of(SMALL)).accuracy()
    assert abs(change.flips + change.came + change.left - (change.now - change.before)) < 1e-12


def regression(rows: int = 4000) -> tuple[Planted, Planted, np.ndarray]:
    """A run, one in which texts with the word "refund" are read the wrong way round, and which these are."""
    texts = with_word(plain_texts(rows), "refund", 0.12)
    label = labels_of(texts)
    planted = np.array(["refund" in words for words in texts])
    return Planted(texts, label), Planted(texts, label, push=turned("refund")), planted


def test_a_regression_is_found_and_told_before_all_other_changes() -> None:
    was, is_, planted = regression()
    before, now = was.corpus(), is_.corpus()
    found = drift(before, now)
    assert {one.kind for one in found} == {DRIFT}
    assert [one.subject for one in found] == ['word = "refund"', "accuracy", "predictions"][: len(found)]
    slice_, total = found[:2]
    worse = (~before.wrong & now.wrong).sum()
    assert total.cost == worse - (before.wrong & ~now.wrong).sum()
    assert slice_.cost == pytest.approx(worse, rel=0.01)
    assert slice_.q is not None
    assert slice_.q < 1e-6
    assert set(slice_.ids) == set(now.ids(planted & ~before.wrong & now.wrong))
    assert slice_.low is not None
    assert 0.5 < slice_.low < slice_.effect < (slice_.high or 0) < 1
    assert "all other texts in both runs 0.00 points" in "\n".join(slice_.arithmetic)


def test_a_later_slice_is_measured_without_the_texts_of_earlier_ones() -> None:
    """Its interval is of the texts that its test is of, so that the two do not contradict each other."""
    texts = with_word(with_word(plain_texts(6000), "refund", 0.12), "parcel", 0.1, seed=1)
    label = labels_of(texts)
    before = Planted(texts, label).corpus()
    spoilt = np.array(["refund" in words for words in texts])
    spoilt |= np.array(["parcel" in words for words in texts]) & (np.random.default_rng(0).random(6000) < 0.3)
    now = with_predictions(before, np.where(spoilt, 1 - before.prediction, before.prediction))
    found = {one.subject: one for one in drift(before, now)}
    parcel = found['word = "parcel"']
    assert parcel.low is not None
    assert 0 < parcel.low < 0.3 < (parcel.high or 0)  # what is planted; texts with the other word would raise it
    assert "that no slice found before it has" in parcel.sentence


def test_what_is_mended_is_a_sentence_of_the_whole() -> None:
    was, is_, _ = regression()
    *others, found = drift(is_.corpus(), was.corpus())
    assert found.subject == "accuracy"
    assert found.effect > 0.05
    assert 'Most are mended where word = "refund".' in found.sentence
    assert found.cost == 0
    assert all('word = "refund"' in other.subject for other in others)  # read the wrong way round, a few were right


def test_a_regression_among_mended_texts_is_told_although_the_whole_is_as_good() -> None:
    texts = with_word(with_word(plain_texts(4000), "refund", 0.12), "parcel", 0.12, seed=1)
    label = labels_of(texts)
    before, now = (Planted(texts, label, push=turned(word)).corpus() for word in ("parcel", "refund"))
    first = drift(before, now)[0]
    assert first.subject == 'word = "refund"'


def test_a_prediction_that_became_more_frequent_is_told_with_its_parts() -> None:
    was, is_, planted = regression()
    unlabelled = np.full(len(planted), None)
    before = corpus_of(changed(was.table(), label=unlabelled))
    table = changed(is_.table(), label=unlabelled)
    leaning = np.where(planted, 1, table.column("prediction").to_numpy())
    now = corpus_of(changed(table, prediction=leaning, target=leaning))
    (found,) = drift(before, now)
    assert found.title == '"positive" is predicted more often'
    assert found.effect == pytest.approx((now.prediction == 1).mean() - (before.prediction == 1).mean())
    assert found.low is not None
    assert 0 < found.low < found.effect < (found.high or 0)
    assert found.ids == now.ids(before.prediction != now.prediction)


def test_other_texts_of_another_kind_change_the_mix_and_are_told_apart_from_flips() -> None:
    table = Planted(texts := plain_texts(3000), labels_of(texts)).table()
    positive = table.column("prediction").to_numpy() == 1
    kept = np.arange(3000) < 1500
    before, now = (corpus_of(table.filter(pa.array(kept | half))) for half in (positive, ~positive))
    (found,) = drift(before, now)
    assert found.subject == "predictions"
    assert "0.00 points by 0 texts" in found.sentence
    assert "came less those that left" in found.measure


def test_equal_runs_differ_in_nothing() -> None:
    corpus = regression(1000)[0].corpus()
    assert not drift(corpus, corpus)


def test_flips_by_chance_are_no_slice_and_no_change() -> None:
    """Fewer than 5 of 60 pairs of runs may show a finding of any kind: each of three tests errs in one of 20."""
    texts = plain_texts(1500, words=(5, 30))
    source = np.random.default_rng(5).choice(["mail", "web", "phone"], 1500).tolist()
    corpus = Planted(texts, labels_of(texts)).corpus(source=source)
    slices = totals = 0
    for seed in range(60):
        flips = np.random.default_rng(seed).random((2, 1500)) < 0.1
        runs = [with_predictions(corpus, np.where(flip, 1 - corpus.prediction, corpus.prediction)) for flip in flips]
        subjects = {found.subject for found in drift(*runs)}
        totals += "accuracy" in subjects
        slices += bool(subjects - {"accuracy", "predictions"})
    assert slices < 5
    assert totals < 8


def with_predictions(corpus: Corpus, prediction: np.ndarray) -> Corpus:
    column: Any = pa.array(prediction.astype(np.int32))
    texts = corpus.texts.set_column(corpus.texts.schema.get_field_index("prediction"), "prediction", column)
    return replace(corpus, texts=texts)


def test_several_labels_are_right_together_and_counted_apart() -> None:
    was, _, planted = regression(2000)
    corpus = was.corpus()
    random = np.random.default_rng(0)
    applies = random.random((2000, 3)) < 0.4
    lists = [np.flatnonzero(row).tolist() for row in applies]
    said = np.where(applies, 0.9, 0.1)
    worse = said.copy()
    worse[planted, 1] = 0.1
    before, now = (labelled_corpus(corpus, probability, lists) for probability in (said, worse))
    found = {one.subject: one for one in drift(before, now)}
    assert set(found) == {"accuracy", "predictions", 'word = "refund"'}
    assert found["predictions"].title == '"label1" is predicted less often'
    assert set(found['word = "refund"'].ids) == set(now.ids(planted & applies[:, 1]))


def test_the_interval_of_paired_shares_is_newcombes_method_10() -> None:
    difference, low, high = paired_difference(both=36, gained=2, lost=12, neither=0)
    assert (difference, low, high) == pytest.approx((-0.2, -0.3404, -0.0569), abs=1e-4)
    assert mcnemar(12, 2) < 0.05  # and so the interval is on one side of 0


def test_the_interval_of_paired_shares_has_the_truth_in_19_of_20() -> None:
    random = np.random.default_rng(0)
    found = [paired_difference(*counts) for counts in random.multinomial(400, [0.85, 0.02, 0.06, 0.07], 2000).tolist()]
    assert 0.94 < np.mean([low <= -0.04 <= high for _, low, high in found]) < 0.975


def test_numbers_are_held_against_the_limit_of_the_earlier_run() -> None:
    random = np.random.default_rng(0)
    texts = with_word(plain_texts(2000, words=(5, 30)), "refund", 0.15)
    value = random.normal(0, 1, 2000)
    noisy = value + random.normal(0, 0.1, 2000)
    planted = np.array(["refund" in words for words in texts])
    base = Planted(texts, np.zeros(2000, np.int32)).corpus()
    numbers = base.texts.append_column("value", pa.array(value.astype(np.float32)))
    zeros: Any = pa.array(np.zeros(2000, np.int32))
    numbers = numbers.set_column(numbers.schema.get_field_index("target"), "target", zeros)
    before, now = (
        replace(base, texts=numbers, probability=said[:, None].astype(np.float32), outputs=VALUES)
        for said in (noisy, noisy + planted)
    )
    slice_, total = drift(before, now)
    assert (slice_.subject, total.subject) == ('word = "refund"', "accuracy")
    assert total.arithmetic[0].startswith("accuracy: 1,800 of 2,000 before")
