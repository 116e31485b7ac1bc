"""What is explained: targets, and the explanation of a row from those of its problems."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.errors import RowError, UsageError
from ig_worker.explain.explanation import Explanation, relative_l1
from ig_worker.explain.problems import Problem, choose_target, chosen, combine, expand, explain_rows, read_target
from ig_worker.explain.targets import Scalar, Target
from ig_worker.models.inputs import ModelInput

TEXT = ModelInput.single(np.array([5, 6, 7], np.int32), np.ones(3, np.int32))
BASE = np.zeros(3, np.int32)


def explanation(values: list[float], ends: tuple[float, float], error: float | None = None, status: str = "converged"):
    attributions = np.array(values, np.float32)
    delta = float(attributions.sum(dtype=np.float64)) - (ends[1] - ends[0])
    return Explanation(np.array([0.3, 0.7], np.float32), 1, ends[1], ends[0], attributions, delta, error, 9.0, status)


@pytest.mark.parametrize(
    ("setting", "label", "expected"), [("predicted", None, None), ("label", 1, 1), (0, None, 0), (1, 0, 1)]
)
def test_targets(setting: str | int, label: int | None, expected: int | None) -> None:
    assert choose_target(setting, label, 2) == Target(expected)


@pytest.mark.parametrize("label", [None, -1, 2])
def test_a_row_whose_label_the_model_does_not_know_cannot_explain_it(label: int | None) -> None:
    with pytest.raises(RowError, match=rf"label is {label}; expected 0 to 1 for --target label"):
        choose_target("label", label, 2)


def test_a_class_that_the_model_does_not_have_is_wrong_use() -> None:
    with pytest.raises(UsageError, match=r"--target is '2'; expected .*classes: 0 to 1, or its name \(bad, good\)"):
        read_target("2", ("bad", "good"))


@pytest.mark.parametrize(
    ("setting", "number"), [("good", 1), ("GOOD", 1), ("0", 0), ("predicted", "predicted"), ("label", "label")]
)
def test_a_target_is_named_by_its_number_or_its_name(setting: str, number: int | str) -> None:
    assert read_target(setting, ("bad", "good")) == number


def test_names_that_differ_in_case_alone_are_told_apart() -> None:
    assert [read_target(name, ("A", "a", "b")) for name in ("A", "a", "B")] == [0, 1, 2]
    assert read_target("1", ("1", "2")) == 1, "a number is a number"
    with pytest.raises(UsageError, match="--target is 'C'"):
        read_target("C", ("c x", "d"))


def test_each_problem_of_a_batch_has_its_own_class_and_padding_rows_have_none() -> None:
    problems = [Problem(TEXT, BASE), Problem(TEXT, BASE, Target(0))]
    at_input = np.array([[0.2, 0.8], [0.1, 0.9], [0.5, 0.5]], np.float32)
    assert chosen(problems, at_input) == [Scalar(1), Scalar(0)]


def test_the_explanation_of_one_problem_is_the_rows_to_the_bit() -> None:
    found = explanation([0.1, 0.2, 0.3], (0.1, 0.7))
    assert combine(expand(TEXT, BASE, Target()), [found]) is found


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


def test_all_problems_go_through_the_engine_together_and_come_back_to_their_rows() -> None:
    calls = []

    class Engine:
        def explain(self, problems):
            calls.append(len(problems))
            return [explanation([float(problem.text.ids[0])] * 3, (0.0, 1.0)) for problem in problems]

    def row(first: int, count: int):
        text = ModelInput.single(np.array([first, 0, 0], np.int32), np.ones(3, np.int32))
        return [Problem(text, BASE, weight=1 / count)] * count

    rows = explain_rows(Engine(), [row(3, 2), row(8, 1), row(5, 3)])
    assert calls == [6]
    assert [found.attributions[0] for found in rows] == pytest.approx([3.0, 8.0, 5.0])
