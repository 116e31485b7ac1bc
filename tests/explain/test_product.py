"""The arithmetic of product integration, without a network."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.explain.product import (
    STRAIGHT,
    TERMS,
    Spread,
    error_series,
    grid_error,
    head_grid,
    lagrange,
    product_rule,
    remainders,
)

WHOLE, ASIDE = Spread(), Spread(0.6, 0.1)
GRID, WEIGHTS = head_grid(256)


@pytest.mark.parametrize("spread", [WHOLE, ASIDE, STRAIGHT])
def test_a_spread_maps_the_ends_to_the_ends_and_back(spread: Spread) -> None:
    t = np.linspace(-1, 1, 101)
    alpha = spread.alpha(t)
    assert alpha[0] == pytest.approx(0)
    assert alpha[-1] == pytest.approx(1)
    assert (np.diff(alpha) > 0).all()
    np.testing.assert_allclose(spread.t(alpha), t, atol=1e-12)


@pytest.mark.parametrize("spread", [WHOLE, ASIDE])
def test_nodes_lie_closest_together_at_the_centre(spread: Spread) -> None:
    near = lambda other: np.abs(product_rule(12, other).nodes - spread.centre) < 0.15  # noqa: E731
    assert near(spread).sum() > near(STRAIGHT).sum()


def test_a_pole_where_the_nodes_expect_it_costs_them_least() -> None:
    def error(spread: Spread) -> float:
        rule = product_rule(12, spread)
        pole = lambda alpha: np.real(1 / (alpha - 0.6 - 0.1j))  # noqa: E731
        return abs(float(rule.project.sum(axis=1) @ pole(rule.nodes) - WEIGHTS @ pole(GRID)))

    assert error(ASIDE) < 0.1 * error(WHOLE) < 0.1 * error(STRAIGHT)


@pytest.mark.parametrize("n", [6, 24, 40])
def test_lagrange_polynomials_reproduce_polynomials(n: int) -> None:
    nodes = product_rule(n, STRAIGHT).nodes
    at = np.linspace(0, 1, 57)
    values = lagrange(nodes, at)
    np.testing.assert_allclose(values.sum(axis=1), 1)
    np.testing.assert_allclose(values @ nodes ** (n - 1), at ** (n - 1), atol=1e-9)


def test_lagrange_polynomials_at_their_own_nodes_are_the_unit_matrix() -> None:
    nodes = product_rule(9, STRAIGHT).nodes
    np.testing.assert_allclose(lagrange(nodes, nodes), np.eye(9), atol=1e-9)


@pytest.mark.parametrize("n", [6, 12])
@pytest.mark.parametrize("spread", [WHOLE, ASIDE, STRAIGHT])
def test_a_smooth_factor_below_the_degree_times_a_rough_one_is_exact(n: int, spread: Spread) -> None:
    """∫ J g with J a polynomial in t of degree n − 1 and g with a kink at 0.5, an edge of the head's grid."""
    rule = product_rule(n, spread)
    smooth = lambda alpha: (spread.t(alpha) + 0.3) ** (n - 1)  # noqa: E731
    rough = np.abs(GRID - 0.5)
    v = rule.project @ rough
    exact = (smooth(GRID) * rough * WEIGHTS).sum()
    assert v @ smooth(rule.nodes) == pytest.approx(exact, rel=1e-10)
    assert rule.halved @ rough @ smooth(rule.nodes) == pytest.approx(exact, rel=1e-2)


def test_interpolation_takes_the_ends_into_account() -> None:
    rule = product_rule(6, STRAIGHT)
    points = np.concatenate([[0], rule.nodes, [1]])
    np.testing.assert_allclose(rule.interpolate @ points**7, GRID**7, atol=1e-12)


def test_gauss_nodes_leave_nothing_of_the_first_remainders_against_a_constant() -> None:
    """∫ (P_k − I_n P_k) = 0 for k < 2n."""
    for n in (4, 9, 24):
        left = np.abs(remainders(n, STRAIGHT).sum(axis=1))
        assert left.shape == (TERMS,)
        assert (left[: min(TERMS, n)] < 1e-10).all()


def estimate_and_error(smooth, rough, n: int) -> tuple[float, float]:
    """Of ∫ J g for two tokens, the second with half the first's J and the opposite sign."""
    rule, g = product_rule(n, WHOLE), rough(GRID)
    v = rule.project @ g
    contributions = np.stack([smooth(rule.nodes) * v, -0.5 * smooth(rule.nodes) * v], axis=1)[None]
    rest = remainders(n, WHOLE)
    series = error_series(
        contributions, np.abs(v)[None], np.abs(rest @ np.abs(g))[None], (np.abs(rest) @ np.abs(g))[None], WHOLE
    )
    error = abs(contributions[0, :, 0].sum() - (smooth(GRID) * g * WEIGHTS).sum())
    return float(series[0]), 1.5 * error


def test_the_error_series_covers_the_error_of_an_analytic_factor() -> None:
    """It is an estimate, not a bound: it may fall short now and then, but never far, and must not always shout."""
    ratios = []
    for pole in (0.5 + 0.25j, 0.3 + 0.3j, 0.8 + 0.4j):
        for kink in (0.41, 0.77):
            for n in (6, 7, 8, 9, 10, 12):
                estimate, error = estimate_and_error(
                    lambda alpha, pole=pole: np.real(1 / (alpha - pole)), lambda alpha, k=kink: 1.0 + (alpha > k), n
                )
                ratios.append(estimate / error)
    assert np.mean(np.array(ratios) >= 1) >= 0.9
    assert min(ratios) >= 0.5
    assert np.median(ratios) <= 50


def test_nothing_to_attribute_has_no_error() -> None:
    zeros = np.zeros((1, 6, 4))
    series = error_series(zeros, np.zeros((1, 6)), np.zeros((1, TERMS)), np.zeros((1, TERMS)), WHOLE)
    assert (series == 0).all()


def test_the_grid_shows_where_half_of_it_gives_something_else() -> None:
    contributions = np.array([[[1.0, -2.0], [3.0, 0.0]]])
    assert grid_error(contributions, np.ones((1, 2))) == pytest.approx([0])
    assert grid_error(contributions, np.array([[0.9, 1.1]])) == pytest.approx([0.5 * (0.2 + 0.2)])
