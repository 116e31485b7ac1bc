"""Product integration: quadrature for integrals with a rough factor that is cheap and a smooth one that is not.

A classifier that pools a text into one vector z and reads probabilities off it has, along the path h(α), the gradient

    ∂F/∂h = J(α)ᵀ g(α),    J = ∂z/∂h (smooth, an evaluation of the encoder),    g = ∂F/∂z at z(α) (rough, but cheap)

g jumps where a ReLU of the head switches and is steep where the softmax turns. So J is interpolated between n nodes,
z between the nodes and both ends, and the integral of the interpolant is taken exactly (Young 1954,
doi:10.1098/rspa.1954.0179; Atkinson 1997, chapter 4.2, doi:10.1017/CBO9780511626340):

    IG = Σ_s J_sᵀ v_s · (h − h'),    v_s = ∫ ℓ_s(α) g(z(α)) dα,    ℓ_s the Lagrange polynomials of the nodes

Everything here is arithmetic on [0, 1] and needs neither TensorFlow nor a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre

Float64 = npt.NDArray[np.float64]

FEWEST, MOST = 4, 32  # nodes of a rule; with fewer, no error can be told
TERMS = 8  # of the error series
CELLS = 256  # of the head's grid, with 8 points each
SAFETY, ABSOLUTE, GRID = 1.25, 0.03, 0.5  # of the error series; what it is worth is for `calibration` to say
ROUNDING = 5e-6  # relative L1 error that float32 leaves in any attribution
LEAST_TOLERANCE = 1e-5
LEAST_EVALUATIONS = 7


@dataclass(frozen=True)
class Spread:
    """A smooth map of t in [-1, 1] to α in [0, 1]; polynomials are taken in t.

    Nodes of Gauss crowd at both ends, where the paths of texts hardly bend: both ends of a path come out of a layer
    normalisation, and between two unit vectors with the cosine ρ the length that the next one divides by vanishes at
    0.5 ± 0.5i √((1+ρ)/(1−ρ)). The tangent map (Bayliss & Turkel 1992, doi:10.1016/0021-9991(92)90012-N) has its nodes
    where a pair of poles at `centre` ± `width` i needs them; without a width it is the straight line, for parts of a
    path.
    """

    centre: float = 0.5
    width: float | None = 0.2

    def alpha(self, t: Float64) -> Float64:
        if self.width is None:
            return 0.5 * (1 + t)
        low, high = self._ends(self.width)
        return self.centre + self.width * np.tan(low + (high - low) * (t + 1) / 2)

    def t(self, alpha: Float64) -> Float64:
        if self.width is None:
            return 2 * alpha - 1
        low, high = self._ends(self.width)
        return 2 * (np.arctan((alpha - self.centre) / self.width) - low) / (high - low) - 1

    def _ends(self, width: float) -> tuple[float, float]:
        return math.atan(-self.centre / width), math.atan((1 - self.centre) / width)


STRAIGHT = Spread(0.5, None)


@dataclass(frozen=True)
class ProductRule:
    """n nodes on [0, 1], and the matrices that integrate through the head."""

    nodes: Float64  # α [n], ascending
    halved: Float64  # `project` from half the cells alone, to see how much the grid matters
    interpolate: Float64  # [grid, n + 2]: values at 0, the nodes and 1 to the head's grid
    project: Float64  # [n, grid]: a function on the grid to its integrals with the Lagrange polynomials
    spectrum: Float64  # [n, n]: values at the nodes to Legendre coefficients in t


def lagrange(nodes: Float64, at: Float64) -> Float64:
    """Values of the Lagrange polynomials of `nodes`, [len(at), len(nodes)] (Berrut & Trefethen 2004,
    doi:10.1137/S0036144502417715)."""
    apart = nodes[:, None] - nodes
    np.fill_diagonal(apart, 1)
    # As logarithms: the products of 40 differences would leave float64's range for longer intervals.
    weights = np.sign(apart).prod(1) * np.exp(-np.log(np.abs(apart)).sum(1) + np.log(np.abs(apart)).sum(1).min())
    gap = at[:, None] - nodes
    gap[np.abs(gap) < 1e-14] = 1e-14
    terms = weights / gap
    return terms / terms.sum(1, keepdims=True)


def head_grid(cells: int) -> tuple[Float64, Float64]:
    """Points and weights of a composite Gauss rule on [0, 1] with 8 points in each of `cells` cells."""
    x, w = legendre.leggauss(8)
    edges = np.linspace(0, 1, cells + 1)
    size = np.diff(edges)[:, None]
    return (edges[:-1, None] + size * (x + 1) / 2).ravel(), (size * w / 2).ravel()


@lru_cache(maxsize=64)
def product_rule(n: int, spread: Spread, cells: int = CELLS) -> ProductRule:
    """The rule with n nodes: Gauss-Legendre's in t."""
    t, w = legendre.leggauss(n)
    points, weights = head_grid(cells)
    at = spread.t(points)
    orders = np.arange(n)
    values = np.stack([legendre.legval(t, np.eye(n)[k]) for k in orders])
    basis = lagrange(t, at).T
    half = np.where(np.isin(np.arange(len(points)) // 8 % 4, (0, 3)), 2.0, 0.0)  # so placed, slopes cancel
    return ProductRule(
        nodes=spread.alpha(t),
        interpolate=lagrange(np.concatenate([[-1.0], t, [1.0]]), at),
        project=basis * weights,
        halved=basis * (weights * half),
        spectrum=values * w * (orders[:, None] + 0.5),
    )


@lru_cache(maxsize=64)
def remainders(n: int, spread: Spread, cells: int = CELLS) -> Float64:
    """What interpolation at n nodes leaves of the next Legendre polynomials: P_k − I_n P_k, n ≤ k < n + TERMS.

    Float64 [TERMS, grid], times the grid's weights: its product with |g| on the grid says how much one of J's k-th
    coefficient would move the attributions. Gauss nodes make these products small wherever g is smooth.
    """
    points, weights = head_grid(cells)
    at = spread.t(points)
    t, _ = legendre.leggauss(n)
    basis = lagrange(t, at)
    units = [np.eye(k + 1)[k] for k in range(n, n + TERMS)]
    return np.array([(legendre.legval(at, unit) - basis @ legendre.legval(t, unit)) * weights for unit in units])


def error_series(
    contributions: npt.NDArray[np.floating],
    strengths: npt.NDArray[np.floating],
    signed: npt.NDArray[np.floating],
    absolute: npt.NDArray[np.floating],
    spread: Spread,
) -> Float64:
    """Estimated L1 errors of the attributions, from one rule's evaluations.

    Args:
        contributions: [paths, n, tokens], each node's share of the attributions, J_sᵀ v_s · (h − h').
        strengths: [paths, n], the lengths of v_s.
        signed: [paths, TERMS], |∫ (P_k − I_n P_k) |g| dα|.
        absolute: [paths, TERMS], ∫ |P_k − I_n P_k| |g| dα.

    Returns:
        Float64 [paths]. Contributions over strengths are samples of J alone, per token. Their Legendre coefficients
        fall geometrically for a smooth J; those beyond n are continued at the rate that was seen, and each is weighed
        with what the rule makes of it. Absolute values over tokens and terms: nothing cancels, as in delta.
    """
    n = contributions.shape[1]
    samples = contributions / np.maximum(strengths, 1e-30)[:, :, None]
    sizes = np.abs(np.einsum("ks,pst->pkt", product_rule(n, spread).spectrum, samples)).sum(axis=2)  # [paths, n]
    envelope = np.maximum.accumulate(sizes[:, ::-1], axis=1)[:, ::-1]
    # Every other coefficient may vanish, where the path is symmetric: so the rate is also read from pairs.
    by_one = _rate(envelope[:, 0], envelope[:, -1], n - 1)
    by_pair = _rate(sizes[:, :2].max(axis=1), sizes[:, -2:].max(axis=1), n - 2)
    rate = np.maximum(by_one, by_pair)
    last = np.maximum(sizes[:, -1], rate * sizes[:, -2])  # the last coefficient that the rule sees
    series = rate[:, None] ** np.arange(1, TERMS + 1)
    per_unit = SAFETY * (signed * series).sum(axis=1) + ABSOLUTE * (absolute * series).sum(axis=1)
    return last * per_unit


def _rate(first: Float64, last: Float64, steps: int) -> Float64:
    """By which coefficients fall from one to the next, between two of them that are `steps` apart."""
    return np.clip((last / np.maximum(first, 1e-30)) ** (1 / steps), 0.05, 0.95)


def grid_error(contributions: npt.NDArray[np.floating], halved: npt.NDArray[np.floating]) -> Float64:
    """Estimated L1 error of the attributions from the head's grid, float64 [paths].

    Args:
        contributions: [paths, n, tokens].
        halved: [paths, n], the part of v_s that half the grid gives.
    """
    return GRID * np.abs(np.einsum("ps,pst->pt", 1.0 - halved, contributions, dtype=np.float64)).sum(axis=1)
