"""Quadrature rules on [0, 1], as data: a rule is its nodes, its weights and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ig_worker.errors import UsageError

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """A quadrature rule: the integral of f over [0, 1] is about the sum of weights * f(nodes)."""

    name: str
    nodes: Float64  # [n], ascending
    weights: Float64  # [n], sum 1
    source: str


def _gauss_legendre(n: int) -> tuple[Float64, Float64]:
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return 0.5 * (1 + nodes), 0.5 * weights


def _left(n: int) -> tuple[Float64, Float64]:
    return np.linspace(0, 1 - 1 / n, n), np.full(n, 1 / n)


def _right(n: int) -> tuple[Float64, Float64]:
    return np.linspace(1 / n, 1, n), np.full(n, 1 / n)


def _middle(n: int) -> tuple[Float64, Float64]:
    return np.linspace(1 / (2 * n), 1 - 1 / (2 * n), n), np.full(n, 1 / n)


def _trapezoid(n: int) -> tuple[Float64, Float64]:
    # alibi and captum divide by n where the trapezoid rule divides by n - 1: theirs falls short by 1/n.
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, n), weights


# name -> (smallest n, nodes and weights, source). A new fixed rule is one more line.
_RULES: dict[str, tuple[int, Callable[[int], tuple[Float64, Float64]], str]] = {
    "gausslegendre": (1, _gauss_legendre, "Golub & Welsch 1969, doi:10.2307/2004418"),
    "riemann_left": (2, _left, "Sundararajan et al. 2017, arXiv:1703.01365, as in alibi"),
    "riemann_right": (2, _right, "Sundararajan et al. 2017, arXiv:1703.01365, as in alibi"),
    "riemann_middle": (2, _middle, "Sundararajan et al. 2017, arXiv:1703.01365, as in alibi"),
    "riemann_trapezoid": (2, _trapezoid, "composite trapezoid rule; nodes as in alibi, weights sum to 1"),
}
RULES = tuple(_RULES)  # names
MAX_STEPS = 2000  # Gauss-Legendre nodes are eigenvalues of a matrix of this size


def check_rule(method: str, n_steps: int) -> None:
    """Raise UsageError where there is no rule `method` with `n_steps` nodes."""
    if method not in _RULES:
        raise UsageError(f"--method is {method!r}", expected=f"one of {', '.join(RULES)}")
    least = _RULES[method][0]
    if not least <= n_steps <= MAX_STEPS:
        raise UsageError(f"--n-steps is {n_steps}", expected=f"at least {least} and at most {MAX_STEPS} for {method}")


def fixed_rule(method: str, n_steps: int) -> Rule:
    """The rule `method` with `n_steps` nodes.

    Raises:
        UsageError: no rule of that name, or a number of nodes that it does not have.
    """
    check_rule(method, n_steps)
    _, build, source = _RULES[method]
    nodes, weights = build(n_steps)
    return Rule(method, nodes, weights, source)
