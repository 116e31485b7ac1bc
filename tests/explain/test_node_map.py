"""Where nodes should lie: on made-up paths whose poles are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial import legendre

from ig_worker.explain.node_map import CELLS, SURVEYED, Survey, choose_map, errors
from ig_worker.explain.product import Spread

TOLERANCE = 0.005


def path(centre: float, width: float, seed: int, tokens: int = 20) -> Survey:
    """J with poles at `centre` ± `width` i, of another residue for each token, and a head that turns softly at 0.5."""
    random = np.random.default_rng(seed)
    residues, shift = random.normal(size=(2, tokens)), random.normal(size=tokens)
    alpha = Spread().alpha(legendre.leggauss(SURVEYED)[0])
    pole = 1 / (alpha[:, None] - complex(centre, width))
    samples = pole.real * residues[0] * width + pole.imag * residues[1] * width + 0.2 * shift
    cells = (np.arange(CELLS) + 0.5) / CELLS
    return Survey(samples, (1 - 0.8 * np.tanh(cells - 0.5) ** 2) / CELLS)


@pytest.mark.parametrize(("centre", "width"), [(0.6, 0.15), (0.4, 0.15), (0.55, 0.2)])
def test_nodes_go_where_paths_have_their_poles(centre: float, width: float) -> None:
    seen = [path(centre + 0.02 * shift, width, seed) for seed, shift in enumerate((-1, 0, 1, 0.5))]
    found = choose_map(seen, TOLERANCE)
    assert abs(found.centre - centre) <= 0.06
    others = [path(centre, width, seed) for seed in range(10, 20)]
    better, usual = (np.log(errors(others, spread, 9)).mean() for spread in (found, Spread()))
    assert better < usual - 0.1


def test_the_usual_map_stays_where_nothing_is_gained() -> None:
    assert choose_map([path(0.5, 0.2, seed) for seed in range(6)], TOLERANCE) == Spread()
    assert choose_map([], TOLERANCE) == Spread()


def test_paths_that_are_no_numbers_choose_nothing() -> None:
    broken = path(0.6, 0.15, 0)
    broken.samples[3] = np.nan
    assert choose_map([path(0.6, 0.15, 1), broken], TOLERANCE) == Spread()


def test_errors_fall_with_nodes_and_agree_with_a_finer_rule() -> None:
    """The error of the rule itself, by J and slope as functions and not by what was surveyed of them."""
    seen, spread, n = path(0.5, 0.2, 3), Spread(0.55, 0.25), 7
    random = np.random.default_rng(3)
    residues, shift = random.normal(size=(2, 20)), random.normal(size=20)

    def jacobian(alpha):
        pole = 1 / (alpha[:, None] - complex(0.5, 0.2))
        return pole.real * residues[0] * 0.2 + pole.imag * residues[1] * 0.2 + 0.2 * shift

    from ig_worker.explain.product import lagrange

    cells, t = (np.arange(CELLS) + 0.5) / CELLS, legendre.leggauss(n)[0]
    exact = seen.slope @ jacobian(cells)
    rule = seen.slope @ lagrange(t, spread.t(cells)) @ jacobian(spread.alpha(t))
    assert errors([seen], spread, n)[0] == pytest.approx(np.abs(rule - exact).sum() / np.abs(exact).sum(), rel=1e-3)
    falling = [errors([seen], spread, nodes)[0] for nodes in (5, 8, 11)]
    assert falling == sorted(falling, reverse=True)
