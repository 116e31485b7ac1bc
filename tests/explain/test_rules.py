"""Quadrature rules."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.errors import UsageError
from ig_worker.explain.rules import RULES, fixed_rule


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("n", [2, 5, 50, 301])
def test_weights_sum_to_one_and_nodes_lie_in_the_interval(method: str, n: int) -> None:
    rule = fixed_rule(method, n)
    assert rule.weights.sum() == pytest.approx(1, abs=1e-12)
    assert len(rule.nodes) == n
    assert (rule.nodes >= 0).all()
    assert (rule.nodes <= 1).all()


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("n", [2, 5, 50])
def test_nodes_and_weights_are_alibis_but_for_the_trapezoid(method: str, n: int) -> None:
    from alibi.utils.approximation_methods import approximation_parameters

    weights, nodes = (np.array(part(n)) for part in approximation_parameters(method))
    rule = fixed_rule(method, n)
    scale = n / (n - 1) if method == "riemann_trapezoid" else 1  # alibi's sum to (n - 1) / n there
    np.testing.assert_allclose(rule.nodes, nodes, atol=1e-15)
    np.testing.assert_allclose(rule.weights, weights * scale, atol=1e-15)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_gauss_legendre_is_exact_up_to_degree_two_n_minus_one(n: int) -> None:
    rule = fixed_rule("gausslegendre", n)
    for degree in range(2 * n):
        assert rule.weights @ rule.nodes**degree == pytest.approx(1 / (degree + 1), abs=1e-13)
    assert rule.weights @ rule.nodes ** (2 * n) != pytest.approx(1 / (2 * n + 1), abs=1e-13)


@pytest.mark.parametrize(
    ("method", "n"), [("gausslegendre", 0), ("riemann_left", 1), ("riemann_trapezoid", 1), ("gausslegendre", 20_000)]
)
def test_too_few_nodes_are_refused(method: str, n: int) -> None:
    with pytest.raises(UsageError, match=rf"--n-steps is {n}; expected at least"):
        fixed_rule(method, n)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="--method is 'simpson'; expected one of gausslegendre"):
        fixed_rule("simpson", 5)
