"""Ways to integrate a path that the adaptive method is measured against: rules as data, procedures as questions.

A procedure is a generator. It asks for points of one path and is told F and the integrand there, so that the questions
of many texts share a batch, and so that it can be tried on any function. It counts what it asks for by the contract of
`Explanation.evaluations`: forward and gradient 1, forward alone 0.5, both ends together 1, what is discarded included.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

ENDS = 1.0  # evaluations: two forward passes
FLOOR = 0.01  # of the attributions' L1 norm, as in `engine.relative_l1`


@dataclass(frozen=True)
class Ask:
    """Points of one path that are to be evaluated."""

    alphas: Float64
    gradient: bool = True  # False: forward passes alone

    @property
    def cost(self) -> float:
        return len(self.alphas) * (1.0 if self.gradient else 0.5)


@dataclass(frozen=True)
class Answer:
    """F, [points], and the integrand per token, [points, tokens], where it was asked for."""

    f: Float64
    values: Float64 | None


@dataclass(frozen=True)
class Outcome:
    """What a procedure ends with at one of its settings."""

    attributions: Float64  # [tokens]
    evaluations: float
    estimate: float | None = None  # of the relative L1 error
    converged: bool = True


Procedure = Generator[Ask, Answer, dict[float, Outcome]]  # by setting: a number of nodes, or a tolerance


@dataclass(frozen=True)
class PanelRule:
    """A rule for [0, 1] whose middle node is 0.5, and perhaps a coarser one on every second node of it."""

    nodes: Float64
    weights: Float64
    coarse: Float64 | None  # weights, 0 where the coarser rule has no node


# The Gauss-Kronrod pair 7-15 on [-1, 1], the smallest of QUADPACK (Piessens et al. 1983, qk15,
# doi:10.1007/978-3-642-61786-7; Kronrod 1965): nodes from 0 on, Kronrod's and Gauss's weights; the rest by symmetry.
# Computed for this table to 20 digits from Stieltjes's polynomial; a test holds it to its degrees of exactness.
KRONROD = (
    (0.0, 0.209482141084727828, 0.417959183673469388),
    (0.207784955007898468, 0.204432940075298892, 0.0),
    (0.405845151377397167, 0.190350578064785410, 0.381830050505118945),
    (0.586087235467691130, 0.169004726639267903, 0.0),
    (0.741531185599394440, 0.140653259715525919, 0.279705391489276668),
    (0.864864423359769073, 0.104790010322250184, 0.0),
    (0.949107912342758525, 0.063092092629978553, 0.129484966168869693),
    (0.991455371120812639, 0.022935322010529225, 0.0),
)


def kronrod_pair() -> PanelRule:
    """Kronrod's rule with 15 nodes, and Gauss's with 7 of them."""
    half, fine, coarse = np.array(KRONROD).T
    whole = np.concatenate([-half[:0:-1], half])
    return PanelRule((1 + whole) / 2, _mirrored(fine) / 2, _mirrored(coarse) / 2)


def gauss_rule(n: int) -> PanelRule:
    """Gauss-Legendre with an odd number of nodes."""
    x, w = np.polynomial.legendre.leggauss(n)
    return PanelRule((1 + x) / 2, w / 2, None)


def _mirrored(half: Float64) -> Float64:
    return np.concatenate([half[:0:-1], half])


def fixed(nodes: Float64, weights: Float64) -> Procedure:
    """One rule on the whole path; the setting is its number of nodes."""
    answer = yield Ask(nodes)
    assert answer.values is not None
    return {float(len(nodes)): Outcome(weights @ answer.values, ENDS + len(nodes))}


@dataclass
class _Panel:
    low: float
    high: float
    f: tuple[float, float, float]  # F at low, in the middle, and at high
    values: Float64
    error: float


def bisection(rule: PanelRule, ends: tuple[float, float], tolerances: Sequence[float], most: float) -> Procedure:
    """Cut the worst part of the path in two until the errors of all parts add up to less than a tolerance.

    A part's error is what completeness shows, |its sum − (F(high) − F(low))|, or, where the rule is a pair and that is
    more, the L1 difference of the two rules. F in the middle of a part costs nothing: every rule has a node there.
    QUADPACK's scaling of the difference, (200 |K − G|)^1.5, would claim larger errors at all tolerances of interest.

    Args:
        rule: of every part.
        ends: F at the baseline and at the input.
        tolerances: of the relative L1 error; the parts for one are those for a larger one, cut further.
        most: evaluations.
    """
    n = len(rule.nodes)
    panels = [_panel(rule, 0.0, 1.0, ends, (yield Ask(rule.nodes)))]
    spent, found = ENDS + n, {}
    for tolerance in sorted(tolerances, reverse=True):
        while True:
            attributions = np.sum([panel.values for panel in panels], axis=0)
            estimate = sum(panel.error for panel in panels) / max(np.abs(attributions).sum(), FLOOR)
            if estimate <= tolerance or spent + 2 * n > most:
                break
            worst = panels.pop(int(np.argmax([panel.error for panel in panels])))
            middle = (worst.low + worst.high) / 2
            for low, high, f in ((worst.low, middle, worst.f[:2]), (middle, worst.high, worst.f[1:])):
                panels.append(_panel(rule, low, high, f, (yield Ask(low + (high - low) * rule.nodes))))
            spent += 2 * n
        found[tolerance] = Outcome(attributions, spent, estimate, bool(estimate <= tolerance))
    return found


def _panel(rule: PanelRule, low: float, high: float, f: tuple[float, ...], answer: Answer) -> _Panel:
    assert answer.values is not None
    values = (high - low) * (rule.weights @ answer.values)
    error = abs(float(values.sum()) - (f[1] - f[0]))
    if rule.coarse is not None:
        error = max(error, float(np.abs(values - (high - low) * (rule.coarse @ answer.values)).sum()))
    return _Panel(low, high, (f[0], float(answer.f[len(rule.nodes) // 2]), f[1]), values, error)


def by_change(ends: tuple[float, float], cells: int, counts: Sequence[int]) -> Procedure:
    """Forward passes on a coarse grid first, then nodes where F changes; the settings are the numbers of nodes.

    Args:
        ends: F at the baseline and at the input.
        cells: of the grid.
        counts: numbers of nodes to try, each as if alone.
    """
    answer = yield Ask(np.linspace(0, 1, cells + 1)[1:-1], gradient=False)
    f = np.concatenate([ends[:1], answer.f, ends[1:]])
    found = {}
    for n in counts:
        alphas, weights = gauss_in_length(arc_length(f), n)
        answer = yield Ask(alphas)
        assert answer.values is not None
        found[float(n)] = Outcome(weights @ answer.values, ENDS + 0.5 * (cells - 1) + n)
    return found


def arc_length(f: Float64) -> Float64:
    """Length of the graph of F, scaled to a total variation of 1, from 0 to each of equidistant points; ends at 1."""
    change = np.abs(np.diff(f))
    pieces = np.hypot(1 / len(change), change / max(change.sum(), 1e-12))
    return np.concatenate([[0.0], np.cumsum(pieces)]) / pieces.sum()


def gauss_in_length(length: Float64, n: int) -> tuple[Float64, Float64]:
    """Gauss-Legendre in the length of the graph, with α as a monotone cubic of it (Fritsch & Carlson 1980,
    doi:10.1137/0717021). Midpoints of pieces of equal length did no better on trained networks."""
    from scipy.interpolate import PchipInterpolator

    alpha = PchipInterpolator(length, np.linspace(0, 1, len(length)))
    x, w = np.polynomial.legendre.leggauss(n)
    at = (1 + x) / 2
    weights = w / 2 * alpha.derivative()(at)
    return alpha(at), weights / weights.sum()  # so that a constant is integrated exactly
