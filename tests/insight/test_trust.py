"""Trust: each reason is found where it is planted, with its texts, and a run in good health has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.find import current_findings, find, find_in
from ig_worker.insight.findings.finding import DOUBT, TRUST, Finding
from ig_worker.insight.findings.trust import trust
from ig_worker.insight.findings.words_of import words_in
from ig_worker.insight.tables.faithfulness import FAITHFULNESS, HEADLINES
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import META_FINGERPRINT
from tests.insight.conftest import make_rows
from tests.insight.planted_runs import Planted, changed, corpus_of, labels_of, plain_texts

ROWS = 1200
TEXTS = [[f"{('good', 'bad')[i % 2]}{i % 20}", *words] for i, words in enumerate(plain_texts(ROWS, words=(20, 60)))]
PLANTED = Planted(TEXTS, labels_of(TEXTS))
HEALTHY = PLANTED.table()
SOME = np.arange(ROWS) % 10 == 3
LENGTH = np.array([len(words) for words in TEXTS])


def only(found: list[Finding]) -> Finding:
    (one,) = found
    assert one.kind == TRUST
    assert 0 < one.effect <= 1
    return one


def ids(which: np.ndarray) -> list[str]:
    return [f"t{i:06d}" for i in np.flatnonzero(which)]


def test_a_healthy_run_gives_no_reason() -> None:
    assert not trust(corpus_of(HEALTHY), {"faithfulness": faithful(0.1)}, tolerance=0.005)


def test_texts_at_the_limit_or_beyond_the_tolerance_are_told_by_their_estimates() -> None:
    status = np.where(SOME, "evaluation_limit", "converged")
    estimate = np.where(SOME, 0.2, 0.001)  # as float32 above 0.001
    table = changed(HEALTHY, status=status, error_estimate=estimate)
    found = only(trust(corpus_of(table), {}, tolerance=0.001))
    assert found.ids == ids(SOME)
    assert found.cost == pytest.approx(DOUBT * 0.2 * SOME.sum(), rel=1e-6)
    assert "20.0% in the median" in found.sentence
    assert "--max-evaluations" in found.sentence
    strict = only(trust(corpus_of(changed(table, status="converged")), {}, tolerance=0.0005))
    assert len(strict.ids) == ROWS


def test_attributions_of_a_fixed_rule_that_do_not_add_up_are_told() -> None:
    table = changed(HEALTHY, delta=np.where(SOME, 0.1, 0.009))
    found = only(trust(corpus_of(table), {}))
    assert found.ids == ids(SOME)  # F changes by half at most, of which 0.1 is a fifth
    assert "--n-steps" in found.sentence
    assert not trust(corpus_of(changed(table, status="converged")), {})
    assert len(only(trust(corpus_of(table), {}, delta_limit=0.9)).ids) < len(found.ids)


def test_texts_without_attributions_to_speak_of_are_told_and_saturated_ones_counted() -> None:
    attributions = [
        [value * (1e-4 if some else 1.0) for value in row]
        for row, some in zip(HEALTHY.column("attributions").to_pylist(), SOME, strict=True)
    ]
    lists: Any = pa.array(attributions, HEALTHY.schema.field("attributions").type)
    place = HEALTHY.schema.get_field_index("attributions")
    table = HEALTHY.set_column(place, "attributions", lists)
    said = np.where(SOME, np.float32(1), HEALTHY.column("target_probability").to_numpy())
    found = only(trust(corpus_of(changed(table, target_probability=said)), {}))
    assert set(ids(SOME)) <= set(found.ids)
    assert f"of which {SOME.sum()} have a probability within 1e-06" in found.sentence


def test_a_saturated_probability_is_no_fault_where_the_attributions_lead_there() -> None:
    said = np.where(SOME, np.float32(1), HEALTHY.column("target_probability").to_numpy())
    assert not trust(corpus_of(changed(HEALTHY, target_probability=said)), {})


def test_a_baseline_that_tells_a_class_is_told_with_the_class() -> None:
    target = HEALTHY.column("target").to_numpy()
    at = np.where(SOME, np.where(target == 1, 0.9, 0.1), 0.6)
    found = only(trust(corpus_of(changed(HEALTHY, baseline_probability=at)), {}))
    assert found.ids == ids(SOME)
    assert found.title == 'The baseline says "positive" by itself'
    assert f"towards positive: {SOME.sum()} texts" in found.arithmetic
    assert found.cost == pytest.approx(DOUBT * 0.15 * SOME.sum(), rel=1e-5)


def test_a_contrast_is_neutral_at_0() -> None:
    table = changed(HEALTHY, contrast=1 - HEALTHY.column("target").to_numpy())
    assert not trust(corpus_of(changed(table, baseline_probability=0.1)), {})
    assert len(only(trust(corpus_of(changed(table, baseline_probability=0.5)), {})).ids) == ROWS


def cut(pull: Callable[[list[float]], list[float]] = lambda row: row, label: np.ndarray | None = None) -> Corpus:
    """Texts of 40 words and more are cut off; `pull` changes their attributions."""
    rows = [
        pull(row) if length >= 40 else row
        for row, length in zip(HEALTHY.column("attributions").to_pylist(), LENGTH.tolist(), strict=True)
    ]
    lists: Any = pa.array(rows, HEALTHY.schema.field("attributions").type)
    table = HEALTHY.set_column(HEALTHY.schema.get_field_index("attributions"), "attributions", lists)
    return corpus_of(changed(table, truncated=LENGTH >= 40, label=PLANTED.label if label is None else label))


def test_that_texts_are_cut_off_is_no_fault_by_itself() -> None:
    assert not trust(cut(), {})


def test_texts_that_are_cut_off_where_their_attribution_lies_are_told() -> None:
    def late(row: list[float]) -> list[float]:
        begin = len(row) - len(row) // 10
        return [value * 6 if i >= begin else value for i, value in enumerate(row)]

    found = only(trust(cut(late), {}))
    assert found.subject == "truncated"
    assert set(found.ids) < set(ids(LENGTH >= 40))
    assert "--overflow windows" in found.sentence
    assert found.cost < DOUBT * (LENGTH >= 40).sum()


def test_texts_that_are_cut_off_and_wrong_more_often_are_told_by_their_mistakes() -> None:
    flipped = (LENGTH >= 40) & (np.random.default_rng(1).random(ROWS) < 0.25)
    corpus = cut(label=np.where(flipped, 1 - PLANTED.label, PLANTED.label))
    found = only(trust(corpus, {}))
    assert found.ids == ids(LENGTH >= 40)
    assert found.low is not None
    assert 0 < found.low < found.effect < (found.high or 0)
    assert found.q is not None
    assert found.q < 1e-4
    elsewhere = corpus.wrong[LENGTH < 40].mean()
    assert found.cost == pytest.approx(
        (corpus.wrong & (LENGTH >= 40)).sum() - elsewhere * (LENGTH >= 40).sum(), rel=0.1
    )


def faithful(better: float, rows: int = 50) -> pa.Table:
    """What `jobs.evaluate` writes, where the attributions are so much better than a random ranking."""
    signs = {name: 1 if more else -1 for name, (_, more) in HEADLINES.items()}
    found = [
        {"method": "integrated_gradients", "metric": name, "rows": rows, "mean": 0.3, "low": 0.2, "high": 0.4}
        | {"over_random": sign * better}
        | {f"over_random_{side}": sign * better + shift for side, shift in (("low", -0.05), ("high", 0.05))}
        for name, sign in signs.items()
    ]
    return pa.Table.from_pylist(found, schema=FAITHFULNESS)


def test_attributions_that_a_random_ranking_equals_are_told_of_the_run_as_a_whole() -> None:
    corpus = corpus_of(HEALTHY)
    found = trust(corpus, {"faithfulness": faithful(0.02)})[0]
    assert (found.subject, found.effect) == ("faithfulness", pytest.approx(0.02))
    assert (found.low, found.high) == (pytest.approx(-0.03), pytest.approx(0.07))
    assert found.cost == pytest.approx(DOUBT * ROWS)
    assert "nothing is said of slices" in "\n".join(found.arithmetic)
    assert not trust(corpus, {"faithfulness": faithful(0.02, rows=29)})


def test_all_kinds_are_ranked_together() -> None:
    table = changed(HEALTHY, delta=np.where(SOME, 0.1, 0.0))
    words = words_in(table)
    found = find_in(
        corpus_of(table),
        lambda texts: [words[text] for text in texts],
        before=corpus_of(HEALTHY),
        tables={"faithfulness": faithful(0.0)},
    )
    assert {"faithfulness", "completeness"} <= {one.subject for one in found}
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert [one.cost for one in found] == sorted((one.cost for one in found), reverse=True)


def test_findings_of_a_run_read_its_own_faithfulness_and_the_run_before(build: Callable[..., RunStore]) -> None:
    store = build(make_rows(80), config={"tolerance": 0.005})
    for mark, expected in ((b"f00d", True), (b"other", False)):
        store.aggregates.write("faithfulness", faithful(0.0).replace_schema_metadata({META_FINGERPRINT: mark}))
        found = find(store, before=store)
        assert ("faithfulness" in {one.subject for one in found}) is expected
    assert not [one for one in found if one.kind == "drift"]
    assert {one.subject for one in found} >= {"estimated error", "completeness"}
    kept = current_findings(store)
    assert kept is not None
    assert [(one.number, one.sentence) for one in kept] == [(one.number, one.sentence) for one in found]
