"""The rules and procedures that the accuracy study measures the adaptive method against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.benchmarks.accuracy_rules import (
    Answer,
    Ask,
    Float64,
    Outcome,
    Procedure,
    arc_length,
    bisection,
    by_change,
    fixed,
    gauss_in_length,
    gauss_rule,
    kronrod_pair,
)


def answer(
    procedure: Procedure, f: Callable[[Float64], Float64], slopes: Callable[[Float64], Float64]
) -> tuple[dict[float, Outcome], float]:
    """What a procedure finds for F = `f` with the integrand `slopes`, and the evaluations that it asked for."""
    asked, question = 0.0, next(procedure)
    while True:
        assert isinstance(question, Ask)
        asked += question.cost
        try:
            question = procedure.send(Answer(f(question.alphas), slopes(question.alphas)))
        except StopIteration as stop:
            return stop.value, asked


def moments(nodes: Float64, weights: Float64, degrees: range) -> list[float]:
    """Errors of the integrals of x^k over [0, 1]."""
    return [abs(weights @ nodes**k - 1 / (k + 1)) for k in degrees]


def test_the_kronrod_pair_is_exact_to_its_degrees() -> None:
    pair = kronrod_pair()
    assert pair.coarse is not None
    assert len(pair.nodes) == 15
    assert pair.nodes[7] == 0.5
    assert max(moments(pair.nodes, pair.weights, range(24))) < 2e-16
    assert max(moments(pair.nodes, pair.coarse, range(14))) < 2e-16
    assert moments(pair.nodes, pair.coarse, range(14, 15))[0] > 1e-10


def test_the_pairs_coarse_rule_is_gausss() -> None:
    pair, gauss = kronrod_pair(), gauss_rule(7)
    assert pair.coarse is not None
    used = pair.coarse > 0
    np.testing.assert_allclose(pair.nodes[used], gauss.nodes, atol=1e-16)
    np.testing.assert_allclose(pair.coarse[used], gauss.weights, atol=1e-15)
    assert gauss_rule(5).nodes[2] == 0.5


def kink(alpha: Float64) -> Float64:
    """F of two tokens, the second with a kink at 0.3."""
    return np.sin(3 * alpha) + np.maximum(alpha - 0.3, 0)


def kink_slopes(alpha: Float64) -> Float64:
    return np.stack([3 * np.cos(3 * alpha), np.where(alpha > 0.3, 1.0, 0.0)], axis=1)


EXACT = np.array([np.sin(3.0), 0.7])
ENDS = (0.0, float(kink(np.array([1.0]))[0]))


@pytest.mark.parametrize("rule", [kronrod_pair(), gauss_rule(5)])
def test_bisection_meets_its_tolerances_and_counts_what_it_asks_for(rule) -> None:
    found, asked = answer(bisection(rule, ENDS, (0.01, 0.001), 1000), kink, kink_slopes)
    assert found[0.001].evaluations == asked + 1
    assert 0 < found[0.01].evaluations < found[0.001].evaluations
    for tolerance, outcome in found.items():
        assert outcome.converged
        assert np.abs(outcome.attributions - EXACT).sum() / np.abs(EXACT).sum() <= tolerance


def test_bisection_stops_where_no_further_cut_is_affordable() -> None:
    found, asked = answer(bisection(kronrod_pair(), ENDS, (0.01, 1e-9), 80), kink, kink_slopes)
    assert found[1e-9].evaluations == asked + 1 <= 80
    assert not found[1e-9].converged


def test_nodes_by_change_converge_and_count_the_forward_passes() -> None:
    found, asked = answer(by_change(ENDS, 8, (5, 40)), kink, kink_slopes)
    assert asked == 3.5 + 5 + 40
    assert found[5].evaluations == 1 + 3.5 + 5
    assert np.abs(found[40].attributions - EXACT).sum() < 0.03


def test_where_f_changes_evenly_its_nodes_are_the_plain_ones() -> None:
    length = arc_length(np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(length, np.linspace(0, 1, 9))
    x, w = np.polynomial.legendre.leggauss(4)
    alphas, weights = gauss_in_length(length, 4)
    np.testing.assert_allclose(alphas, (1 + x) / 2)
    np.testing.assert_allclose(weights, w / 2)


def test_a_fixed_rule_is_its_weighted_sum() -> None:
    found, asked = answer(fixed(np.array([0.5]), np.array([1.0])), kink, kink_slopes)
    assert asked == 1
    assert found[1.0].evaluations == 2
    np.testing.assert_allclose(found[1.0].attributions, kink_slopes(np.array([0.5]))[0])
