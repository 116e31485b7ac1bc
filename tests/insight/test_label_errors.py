"""Label errors: those that are planted are listed and counted, and a model that knows nothing accuses nobody."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ig_worker.insight.findings import confident
from ig_worker.insight.findings.annotation_file import COLUMNS, annotation_file, safe
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import Finding
from ig_worker.insight.findings.label_errors import accused, label_errors
from ig_worker.schema import LABEL_LISTS, LABELS, VALUES
from tests.insight.planted_runs import Planted, corpus_of, labels_of, plain_texts

ROWS = 4000


@pytest.fixture(scope="module")
def texts() -> list[list[str]]:
    return plain_texts(ROWS, words=(60, 160))


def flipped(texts: list[list[str]], shares: tuple[float, float], seed: int = 1) -> tuple[Planted, np.ndarray]:
    """A run in which these shares of the labels 0 and 1 are wrong, and which ones are."""
    true = labels_of(texts, noise=0.1)
    wrong = np.random.default_rng(seed).random(len(texts)) < np.array(shares)[true]
    return Planted(texts, np.where(wrong, 1 - true, true).astype(np.int32), noise=0.3), wrong


def listed(found: list[Finding]) -> np.ndarray:
    return np.array([int(name[1:]) for one in found for name in one.ids])


def test_three_of_a_hundred_labels_that_are_wrong_are_listed(texts: list[list[str]]) -> None:
    planted, wrong = flipped(texts, (0.03, 0.03))
    found = label_errors(planted.corpus())
    rows = listed(found)
    precision, recall = wrong[rows].mean(), wrong[rows].sum() / wrong.sum()
    print(f"precision {precision:.3f}, recall {recall:.3f} of {wrong.sum()}")
    assert precision > 0.8
    assert recall > 0.9
    assert wrong[listed([replace(one, ids=one.ids[:20]) for one in found])].all()  # the surest first


@pytest.mark.parametrize("seed", range(5))
def test_the_expected_number_holds_the_true_one_in_its_interval(texts: list[list[str]], seed: int) -> None:
    planted, wrong = flipped(texts, (0.03, 0.03), seed)
    corpus = planted.corpus()
    for one in accused(corpus):
        given = corpus.label == one.found.given
        _, low, high = one.found.share
        assert low * given.sum() <= wrong[given].sum() <= high * given.sum()


def test_labels_that_err_in_one_direction_are_found_in_that_one(texts: list[list[str]]) -> None:
    planted, wrong = flipped(texts, (0.0, 0.08))  # positive texts that are labelled negative
    first, *others = label_errors(planted.corpus())
    assert first.subject == 'labelled "negative", seems "positive"'
    assert wrong[listed([first])].mean() > 0.9
    assert first.cost > 0.9 * wrong.sum()
    assert sum(other.cost for other in others) < 0.2 * first.cost


def test_a_model_at_chance_accuses_nobody(texts: list[list[str]]) -> None:
    corpus = Planted(texts[:1500], labels_of(texts[:1500])).corpus()
    for seed in range(50):
        label = (np.random.default_rng(seed).random(1500) < 0.3).astype(np.int32)
        table = corpus.texts.set_column(corpus.texts.schema.get_field_index("label"), "label", [label])
        assert not label_errors(replace(corpus, texts=table))
        against = replace(corpus, probability=corpus.probability[:, ::-1].copy())
        assert not label_errors(against)  # worse than chance


def test_agreement_of_several_classes_is_as_improbable_as_permutations_say() -> None:
    random = np.random.default_rng(0)
    label = random.choice(4, 300, p=[0.1, 0.2, 0.3, 0.4])
    predicted = np.where(random.random(300) < 0.05, label, random.choice(4, 300, p=[0.4, 0.3, 0.2, 0.1]))
    agreed = (label == predicted).sum()
    permuted = np.array([(random.permutation(label) == predicted).sum() for _ in range(20_000)])
    p = confident.agreement_p(label, predicted, 4)
    assert p == pytest.approx(((permuted > agreed).mean() + (permuted >= agreed).mean()) / 2, abs=0.01)


def test_the_confident_joint_is_the_papers() -> None:
    """By hand: thresholds 0.5 and 0.52; the third text reaches the first one, though labelled 1, the fourth none."""
    probability = np.array([[0.75, 0.25], [0.25, 0.75], [0.625, 0.375], [0.4375, 0.4375], [0.25, 0.75]])
    label = np.array([0, 0, 1, 1, 1])
    limits = confident.thresholds(probability, label)
    assert limits.tolist() == pytest.approx([0.5, (0.375 + 0.4375 + 0.75) / 3])
    assert confident.surely(probability, limits).tolist() == [0, 1, 0, -1, 1]
    rare = np.array([np.inf, 0.3])  # a class that no text is labelled as
    assert confident.surely(probability, rare).tolist() == [-1, 1, 1, 1, 1]
    joint = confident.confident_joint(np.array([0, 0, 1, 1]), np.array([0, 1, 1, -1]), 3)
    assert joint.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    counts = confident.calibrated(joint, np.array([6, 2, 3]))
    assert counts.tolist() == [[3, 3, 0], [0, 2, 0], [0, 0, 3]]


def several_labels(rows: int = 3000) -> tuple[Corpus, np.ndarray, np.ndarray]:
    """Three labels, of which the second is missing in some texts and the third stands where it should not."""
    random = np.random.default_rng(4)
    true = random.random((rows, 3)) < 0.4
    logit = np.where(true, 3.0, -3.0) + random.normal(0, 0.7, (rows, 3))
    probability = (1 / (1 + np.exp(-logit))).astype(np.float32)
    missing, extra = true[:, 1] & (random.random(rows) < 0.1), ~true[:, 2] & (random.random(rows) < 0.1)
    given = true.copy()
    given[:, 1] ^= missing
    given[:, 2] ^= extra
    base = Planted(plain_texts(rows), np.zeros(rows, np.int32)).corpus()
    lists = pa.array([np.flatnonzero(row).tolist() for row in given], pa.list_(pa.int32()))
    target = pa.array(probability.argmax(axis=1).astype(np.int32))
    texts = base.texts.append_column(LABEL_LISTS, lists)
    texts = texts.set_column(texts.schema.get_field_index("target"), "target", target)
    names = ("calm", "sad", "glad")
    return replace(base, texts=texts, probability=probability, outputs=LABELS, class_names=names), missing, extra


def test_of_several_labels_each_may_be_missing_or_one_too_many() -> None:
    corpus, missing, extra = several_labels()
    found = {one.subject: one for one in label_errors(corpus)}
    for subject, planted in (
        ('labelled "not sad", seems "sad"', missing),
        ('labelled "glad", seems "not glad"', extra),
    ):
        rows = listed([found.pop(subject)])
        assert planted[rows].mean() > 0.95
        assert planted[rows].sum() > 0.5 * planted.sum()  # too few: see `confident` on errors of one direction
    assert all(len(one.ids) < 5 for one in found.values())


def test_numbers_and_texts_without_labels_have_no_label_errors() -> None:
    corpus, _, _ = several_labels(50)
    assert not label_errors(replace(corpus, outputs=VALUES))
    corpus = Planted(plain_texts(50), np.zeros(50, np.int32)).corpus()
    unlabelled = pa.nulls(50, pa.int32())
    texts = corpus.texts.set_column(corpus.texts.schema.get_field_index("label"), "label", unlabelled)
    corpus = replace(corpus, texts=texts)
    assert not label_errors(corpus)
    assert annotation_file(corpus) == ",".join(COLUMNS) + "\r\n"


def test_they_do_not_depend_on_how_the_run_is_cut(texts: list[list[str]]) -> None:
    table = flipped(texts, (0.03, 0.03))[0].table()
    whole, cut = corpus_of(table), corpus_of(table.slice(0, 1234), table.slice(1234, 7), table.slice(1241))
    assert label_errors(whole) == label_errors(cut)
    assert annotation_file(whole) == annotation_file(cut)


def test_annotators_get_the_surest_first_with_the_words_that_speak_for_it(texts: list[list[str]]) -> None:
    planted, wrong = flipped(texts, (0.03, 0.03))
    corpus = planted.corpus()
    rows = list(csv.DictReader(io.StringIO(annotation_file(corpus, {"t000000": "a text"}))))
    assert {row["id"] for row in rows} == {name for one in label_errors(corpus) for name in one.ids}
    assert len(rows) == len({row["id"] for row in rows})
    margins = [float(row["margin"]) for row in rows]
    assert margins == sorted(margins, reverse=True)
    for row in rows[:20]:
        assert wrong[int(row["id"][1:])]
        kind = {"positive": "good", "negative": "bad"}[row["suggested_label"]]
        assert row["words_for_suggested"]
        assert all(word.startswith(kind) for word in row["words_for_suggested"].split())
        assert float(row["suggested_probability"]) > float(row["given_probability"])


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_cell_is_a_formula(texts: list[list[str]], cell: str) -> None:
    assert safe(cell) == f"'{cell}"
    assert safe("a=1") == "a=1"
    planted, _ = flipped(texts[:1000], (0.05, 0.05))
    ids = [f"{cell}{i}" for i in range(1000)]
    table = planted.table()
    corpus = corpus_of(table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids)))
    corpus = replace(corpus, class_names=("-bad", "=good"))
    rows = list(csv.reader(io.StringIO(annotation_file(corpus, dict.fromkeys(ids, cell)), newline="")))[1:]
    assert rows
    for row in rows:
        assert row[0].startswith(f"'{cell}")
        assert {row[1], row[2]} == {"'-bad", "'=good"}
        assert row[-1] == f"'{cell}"
