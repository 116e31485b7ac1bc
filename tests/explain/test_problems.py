"""What is explained: targets, and the explanation of a row from those of its problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ig_worker.explain.explanation import Explanation, relative_l1
from ig_worker.explain.problems import Problem, chosen, combine, expand
from ig_worker.explain.targets import Scalar, Target
from ig_worker.models.inputs import ModelInput

TEXT = ModelInput.single(np.array([5, 6, 7], np.int32), np.ones(3, np.int32))
BASE = np.zeros(3, np.int32)


def explanation(values: list[float], ends: tuple[float, float], error: float | None = None, status: str = "converged"):
    attributions = np.array(values, np.float32)
    delta = float(attributions.sum(dtype=np.float64)) - (ends[1] - ends[0])
    return Explanation(np.array([0.3, 0.7], np.float32), 1, ends[1], ends[0], attributions, delta, error, 9.0, status)


def test_each_problem_of_a_batch_has_its_own_class_and_padding_rows_have_none() -> None:
    problems = [Problem(TEXT, BASE), Problem(TEXT, BASE, Target(0))]
    at_input = np.array([[0.2, 0.8], [0.1, 0.9], [0.5, 0.5]], np.float32)
    assert chosen(problems, at_input) == [Scalar(1), Scalar(0)]


def test_the_explanation_of_one_problem_is_the_rows_to_the_bit() -> None:
    found = explanation([0.1, 0.2, 0.3], (0.1, 0.7))
    assert combine(expand([Problem(TEXT, BASE)], Target(1)), [found]) is found


def test_a_row_is_the_weighted_sum_of_its_problems() -> None:
    one, other = explanation([0.4, 0.0, 0.2], (0.1, 0.7), 0.01), explanation([0.1, 0.1, -0.3], (0.5, 0.4), 0.02)
    problems = [Problem(TEXT, BASE), Problem(TEXT, BASE, Target(0), weight=-0.5)]
    row = combine(problems, [one, other])
    np.testing.assert_allclose(row.attributions, [0.35, -0.05, 0.35], rtol=1e-6)
    change = row.target_probability - row.baseline_probability
    assert change == pytest.approx(0.6 - 0.5 * -0.1)
    assert row.delta == pytest.approx(float(row.attributions.sum(dtype=np.float64)) - change, abs=1e-7)
    assert row.evaluations == 18.0


def test_the_error_of_a_row_is_a_bound_where_the_errors_of_its_problems_add_up() -> None:
    one, other = explanation([0.4, 0.0, 0.2], (0.1, 0.7), 0.01), explanation([-0.3, 0.1, -0.1], (0.5, 0.4), 0.02)
    worst = [
        explanation([v + share * size / 3 for v in found.attributions.tolist()], (0.0, 0.0))
        for found, share, size in ((one, 0.01, 0.6), (other, 0.02, 0.5))
    ]
    problems = [Problem(TEXT, BASE, weight=0.5)] * 2
    row = combine(problems, [one, other])
    assert row.error_estimate == pytest.approx(
        relative_l1(combine(problems, worst).attributions, row.attributions), rel=1e-5
    )
    assert combine(problems, [one, explanation([0.1, 0.1, 0.1], (0.0, 0.3))]).error_estimate is None


def test_a_row_has_not_converged_where_one_of_its_problems_has_not() -> None:
    found = [
        explanation([0.1, 0.1, 0.1], (0.0, 0.3)),
        explanation([0.1, 0.1, 0.1], (0.0, 0.3), status="evaluation_limit"),
    ]
    assert combine([Problem(TEXT, BASE, weight=0.5)] * 2, found).status == "evaluation_limit"


def test_the_problems_of_a_target_share_the_arrays_of_the_paths() -> None:
    paths = [Problem(TEXT, BASE, weight=0.25), Problem(TEXT, BASE, weight=0.75)]
    for target in (Target(0), Target(1, minus=0)):
        for problem, path in zip(expand(paths, target), paths, strict=True):
            assert problem.text is path.text
            assert problem.baseline is path.baseline
            assert (problem.target, problem.weight) == (target, path.weight)


def test_parts_of_a_text_are_summed_by_the_places_of_their_tokens() -> None:
    one, other = explanation([0.4, 0.0, 0.2], (0.1, 0.7), 0.01), explanation([0.2, 0.1, -0.3], (0.5, 0.4), 0.02)
    places = [np.array(places, np.int32) for places in ([0, 1, 4], [0, 3, 4])]
    problems = [Problem(TEXT, BASE, weight=0.5, places=one) for one in places]
    row = combine(problems, [one, other], tokens=5)
    np.testing.assert_allclose(row.attributions, [0.3, 0.0, 0.0, 0.05, -0.05], atol=1e-7)
    change = row.target_probability - row.baseline_probability
    assert (row.target_probability, change) == (pytest.approx(0.55), pytest.approx(0.25))
    assert row.delta == pytest.approx(float(row.attributions.sum(dtype=np.float64)) - change, abs=1e-7)
    bound = 0.5 * (0.01 * 0.6 + 0.02 * 0.6) / float(np.abs(row.attributions).sum())
    assert row.error_estimate == pytest.approx(bound, rel=1e-5)


def test_the_outputs_of_a_text_are_the_weighted_sum_of_its_parts() -> None:
    one, other = explanation([0.1] * 3, (0.0, 0.3)), explanation([0.1] * 3, (0.0, 0.3))
    other = replace(other, probabilities=np.array([0.9, 0.1], np.float32))
    row = combine([Problem(TEXT, BASE, weight=0.5)] * 2, [one, other])
    np.testing.assert_allclose(row.probabilities, [0.6, 0.4], rtol=1e-6)
