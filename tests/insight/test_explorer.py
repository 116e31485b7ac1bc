from __future__ import annotations

import numpy as np
import pytest

from ig_worker.insight.report import review_index
from ig_worker.insight.report.review_index import CONTINUES, FIRST, JOINED, PIECE, SPECIAL, WORD, write_explorer
from tests.insight import scripts


@pytest.fixture
def small(monkeypatch):
    """Details of 4 rows and segments of 12."""
    monkeypatch.setattr(review_index, "DETAIL_ROWS", 4)
    monkeypatch.setattr(review_index, "SEGMENT_ROWS", 12)


def publish(store, **options):
    """Segments and details by name, and the names of the segments as told."""
    written: dict[str, str] = {}

    def keep(stem: str, text: str) -> str:
        written[stem] = text
        return stem

    names = write_explorer(store, keep, **options)
    segments = [scripts.content(written[name], "index") for name in names]
    details = [scripts.content(written[name], "reviews") for segment in segments for name in segment["details"]]
    return segments, details


def terms_of(segments):
    return [term for segment in segments for term in segment["terms"]]


def test_every_row_is_there_once_in_the_order_of_the_run(build, rows, small):
    data = rows(30)
    segments, details = publish(build(data))
    assert [id for segment in segments for id in segment["ids"]] == [row["id"] for row in data]
    assert [segment["first"] for segment in segments] == [0, 12, 24]
    assert [detail["number"] for detail in details] == list(range(8))
    labels = np.concatenate([scripts.numbers(segment["label"], "i4") for segment in segments])
    assert labels.tolist() == [-1 if row["label"] is None else row["label"] for row in data]
    lengths = [length for segment in segments for length in scripts.varints(segment["length"])]
    assert lengths == [sum(word >= 0 for word in row["word_ids"]) for row in data]


def test_the_scripts_do_not_depend_on_the_chunks(build, rows, small):
    data = rows(30)
    assert publish(build(data)) == publish(build(data[:5], [], data[5:18], data[18:]))


def test_tokens_and_attributions_come_back(build, rows, small):
    data = rows(10)
    segments, details = publish(build(data))
    terms = terms_of(segments)
    row = 0
    for detail in details:
        codes = scripts.varints(detail["tokens"])
        steps = scripts.numbers(detail["attributions"], "i2")
        start = 0
        for count, peak in zip(scripts.varints(detail["counts"]), scripts.numbers(detail["peak"], "f4"), strict=True):
            assert [terms[code >> 2] for code in codes[start : start + count]] == data[row]["tokens"]
            values = steps[start : start + count] * (peak / review_index.PEAK)
            assert values == pytest.approx(data[row]["attributions"], abs=max(float(peak), 1e-30) / review_index.PEAK)
            start += count
            row += 1
    assert row == 10


def test_tokens_say_what_they_are_of_a_word(build, row):
    _, (detail,) = publish(build([row("[CLS] un ##for ##get film [SEP]")]))
    kinds = [code & 3 for code in scripts.varints(detail["tokens"])]
    assert kinds == [SPECIAL, FIRST, CONTINUES, CONTINUES, FIRST, SPECIAL]


def test_words_pieces_and_whole_words_have_postings_of_their_own(build, row):
    data = [row("[CLS] un ##do [SEP]"), row("un film", id="b"), row("film film", id="c")]
    (segment,), _ = publish(build(data))
    terms, found = segment["terms"], scripts.postings(segment)

    def rows_with(term, kind):
        return found.get(terms.index(term) << 2 | kind)

    assert rows_with("undo", JOINED) == [0]
    assert rows_with("un", PIECE) == [0]
    assert rows_with("un", WORD) == [1]
    assert rows_with("film", WORD) == [1, 2]
    assert rows_with("[CLS]", PIECE) == [0]
    assert rows_with("##do", WORD) is None


def test_postings_are_those_of_a_plain_count(build, rows, small):
    data = rows(40, seed=3)
    segments, _ = publish(build(data))
    terms = terms_of(segments)
    for term, kind in (("film", WORD), ("film", PIECE), ("filmly", JOINED)):
        found = []
        for segment in segments:
            hits = scripts.postings(segment).get(terms.index(term) << 2 | kind, [])
            found += [segment["first"] + hit for hit in hits]
        assert found == [i for i, row in enumerate(data) if (term, kind) in set(keys(row))]


def keys(row):
    """(term, kind) of one row, the slow way."""
    pieces: dict[int, list[str]] = {}
    for token, word in zip(row["tokens"], row["word_ids"], strict=True):
        if word >= 0:
            pieces.setdefault(word, []).append(token)
    for parts in pieces.values():
        if len(parts) == 1:
            yield parts[0], WORD
        else:
            yield "".join([parts[0], *(part.removeprefix("##") for part in parts[1:])]), JOINED
            yield from ((part, PIECE) for part in parts)


def test_flags_tell_what_changed_was_cut_or_stopped(build, row):
    data = [row(id="a", truncated=True), row(id="b", status="evaluation_limit"), row(id="c"), row(id="d")]
    (segment,), _ = publish(build(data), flipped=frozenset("d"))
    assert scripts.numbers(segment["flags"], "u1").tolist() == [
        review_index.TRUNCATED,
        review_index.LIMIT,
        0,
        review_index.FLIPPED,
    ]


def test_an_opening_is_the_first_ordinary_tokens(build, row):
    (segment,), _ = publish(build([row(" ".join(["[CLS]", *(f"w{i}" for i in range(99))])), row("[CLS]", id="b")]))
    assert scripts.varints(segment["opening_counts"]) == [review_index.OPENING, 0]
    opening = [segment["terms"][code >> 2] for code in scripts.varints(segment["opening"])]
    assert opening == [f"w{i}" for i in range(review_index.OPENING)]


def test_a_row_without_tokens_and_one_without_attribution_are_no_fault(build, row):
    data = [row("", tokens=[], word_ids=[], attributions=[], input_ids=[]), row("zero", [0.0], id="b")]
    (segment,), (detail,) = publish(build(data))
    assert scripts.varints(detail["counts"]) == [0, 1]
    assert scripts.numbers(detail["peak"], "f4").tolist() == [0, 0]
    assert segment["ids"] == ["a", "b"]
