"""The benchmark's own arithmetic; nothing here is timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.problems import Problem
from ig_worker.models.inputs import ModelInput
from tests.benchmarks import report, speed
from tests.benchmarks.arithmetic import Sizes, per_review, pruned, unpruned
from tests.benchmarks.compare import Setting
from tests.benchmarks.hindsight import Enough, enough_nodes, look_back
from tests.benchmarks.replay import extrapolate, in_precision
from tests.benchmarks.savings import SAVINGS
from tests.benchmarks.workload import IMDB_LENGTHS, load_documents, quantiles, save_documents

BASE = Sizes(blocks=6, hidden=768, heads=12, intermediate=3072)


def test_the_unpruned_count_is_that_of_the_literature() -> None:
    # Two operations a parameter and token, for the 12 H² parameters of a block, besides attention's 4T²H.
    T, H = 256, 768
    expected = 6 * (2 * T * 12 * H * H + 4 * T * T * H)
    assert unpruned(BASE, T).forward == pytest.approx(expected, rel=1e-3)


def test_pruning_leaves_out_the_first_projections_and_nearly_all_of_the_last_block() -> None:
    T, H = 256, 768
    left_out = unpruned(BASE, T).forward - pruned(BASE, T).forward
    block = 2 * T * 12 * H * H + 4 * T * T * H
    assert left_out == pytest.approx(block + per_review(BASE, T) / 2, rel=0.02)


def test_quantiles_cover_the_distribution_evenly() -> None:
    assert [[30, 10, 20, 40][i] for i in quantiles([30, 10, 20, 40], 2)] == [20, 40]
    assert np.mean([IMDB_LENGTHS[i] for i in quantiles(IMDB_LENGTHS, 4)]) == pytest.approx(187.9, rel=0.05)


def test_documents_come_back_as_they_were_saved(tmp_path: Path) -> None:
    ids = [np.arange(n, dtype=np.int32) for n in (3, 5)]
    save_documents(tmp_path / "problems.npz", [Problem(ModelInput(x, np.ones_like(x)), x * 2) for x in ids])
    found = load_documents(tmp_path / "problems.npz")
    assert [list(problem.baseline) for problem in found] == [[0, 2, 4], [0, 2, 4, 6, 8]]


def test_documents_are_made_in_a_process_of_their_own(tiny_models, tmp_path: Path) -> None:
    path, lengths = speed.make_documents(alone(tmp_path), str(tiny_models["distilbert"]), 3)
    assert [problem.tokens for problem in load_documents(path)] == lengths


def alone(out: Path, reviews: str | None = None) -> Setting:
    """One thread, and nothing is said."""
    return Setting(threads=1, rounds=1, out=out, packages=None, reviews=reviews, say=no_word)


@pytest.mark.parametrize("saving", sorted(set(SAVINGS) - {"weights"}))  # that one changes the whole process
@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
def test_a_saving_that_is_taken_away_changes_no_number(tiny_models, architecture: str, saving: str) -> None:
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.rules import fixed_rule
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model
    from tests.benchmarks.savings import take_away

    classifier = load_classifier(find_model(str(tiny_models[architecture])))
    ids = np.array([2, 9, 12, 20, 3], np.int32)
    problem = Problem(ModelInput(ids, np.ones_like(ids)), np.zeros_like(ids))
    rule = fixed_rule("gausslegendre", 4)
    (ours,) = FusedEngine(classifier.split("embeddings"), rule).explain([problem])
    (other,) = FusedEngine(take_away(classifier, [saving]), rule).explain([problem])
    assert relative_l1(other.attributions, ours.attributions) <= 1e-4


def test_products_are_rewritten_to_a_precision_and_nothing_else_is() -> None:
    product = (
        "    %3 = stablehlo.dot_general %1, %arg2, contracting_dims = [1] x [1], precision = [HIGHEST, HIGHEST]"
        " : (tensor<4x8xf32>, tensor<2x8xf32>) -> tensor<4x2xf32>\n"
    )
    other = "    %4 = stablehlo.add %3, %3 : tensor<4x2xf32>\n"
    assert in_precision(product + other, "float32") == product + other
    assert "precision = [DEFAULT, DEFAULT]" in in_precision(product, "tf32")
    rounded = in_precision(product + other, "bfloat16")
    assert "(tensor<4x8xbf16>, tensor<2x8xbf16>) -> tensor<4x2xf32>" in rounded
    assert rounded.endswith(other)


def test_extrapolation_interpolates_between_measured_lengths() -> None:
    assert extrapolate({64: 1.0, 128: 3.0}, [96, 90, 128], reviews=3) == pytest.approx(2 + 2 + 3)
    assert extrapolate({64: 1.0}, [32], reviews=1) == pytest.approx(0.5)


def test_a_result_becomes_a_markdown_table_without_empty_columns() -> None:
    record = {
        "name": "ours", "note": "", "reviews_per_s": 2.0, "evaluations": 51.0, "ms_per_evaluation": 9.8,
        "peak_memory": 2**30, "share_of_matrix_rate": 0.9, "faster_than": {},
    }  # fmt: skip
    machine = {"cpu": "a CPU", "date": "2026-01-01", "versions": {"numpy": "1.26.4", "torch": None}}
    text = report.markdown({"machine": machine, "threads": 2, "rounds": 3, "tables": {"a network": [record]}})
    assert "| ours | 2 | 51.0 | 9.8 | 1024 | 90% | 1.00 |" in text
    assert "median" not in text


def falling(n: int, members: Sequence[int]) -> list[float]:
    """Errors of reviews 0, 1, ... that are within 1 from 5, 6, ... nodes on."""
    return [1.0 if n >= 5 + i else 2.0 + i for i in members]


def test_in_hindsight_each_review_has_its_own_number_of_nodes_and_all_have_one() -> None:
    back = look_back(falling, 4, 1.0)
    assert (back.fewest.tolist(), back.always) == ([5, 6, 7, 8], 8)
    assert (back.errors <= 1).all()
    assert (back.always_errors <= 1).all()


def test_a_review_that_is_never_within_the_tolerance_counts_with_the_most_nodes() -> None:
    back = look_back(falling, 4, 1.0, most=7)
    assert (back.fewest.tolist(), back.always) == ([5, 6, 7, 7], 7)
    assert back.errors.tolist() == [1, 1, 1, 5]


def test_one_review_in_a_hundred_may_be_beyond_the_tolerance() -> None:
    odd = [0.0] * 99 + [9.0]
    assert look_back(lambda _, members: [odd[i] for i in members], 100, 1.0, most=9).always == 4
    assert enough_nodes(lambda _, members: [odd[i] for i in members], 100, [4, 5], 1.0, say=no_word) == Enough(4, 1)


def test_a_number_of_nodes_is_given_up_at_the_reviews_that_were_furthest_off() -> None:
    asked: list[tuple[int, int]] = []

    def errors_at(n: int, members: Sequence[int]) -> list[float]:
        asked.append((n, len(members)))
        return [2.0 if i == 29 and n < 9 else 0.5 for i in members]

    assert enough_nodes(errors_at, 30, [5, 7, 9], 1.0, say=no_word) == Enough(9, 0)
    assert [sum(count for n, count in asked if n == tried) for tried in (5, 7, 9)] == [30, 8, 30]


def test_where_no_number_of_nodes_does_the_largest_is_tried_on_all_reviews() -> None:
    assert enough_nodes(falling, 30, [5, 10], 1.0, say=no_word) == Enough(10, 24)


def no_word(_: str) -> None:
    """For what reports progress."""
