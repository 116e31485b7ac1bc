"""Where the next evaluations go."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.explain.product import NODES
from ig_worker.explain.refine import FIRST_NODES, SEEN_ENOUGH, Halve, Panel, Retry, Start, refinement

FAR = 64.0


def panel(n: int, falling: float, first: float = 1.0, gap: float = 0.0, low: float = 0.0, high: float = 1.0) -> Panel:
    """A panel whose predicted error is `first` at the fewest nodes and falls by `falling` with each further one."""
    predicted = first * falling ** (np.array(NODES) - NODES[0])
    return Panel(low, high, n, np.ones(3), predicted, gap)


def test_the_next_rule_is_the_smallest_that_is_predicted_to_do() -> None:
    step = refinement([panel(6, 0.5)], goal=0.02, left=FAR)
    assert step == Retry(0, 14)
    assert panel(6, 0.5).predicted[NODES.index(14)] <= 0.02 < panel(6, 0.5).predicted[NODES.index(10)]


def test_where_the_estimate_is_close_a_second_rule_is_enough_to_compare_with() -> None:
    assert refinement([panel(6, 0.9, first=0.03)], goal=0.01, left=FAR) == Retry(0, 8)


def test_where_no_number_of_nodes_will_do_the_part_is_cut() -> None:
    assert refinement([panel(12, 0.99)], goal=1e-3, left=FAR) == Halve(0)


def test_the_worst_part_is_refined() -> None:
    parts = [panel(8, 0.5, first=1e-3, high=0.5), panel(8, 0.99, low=0.5)]
    assert refinement(parts, goal=1e-3, left=FAR) == Halve(1)


def test_what_is_left_is_spent_where_the_wish_cannot_be_paid() -> None:
    assert refinement([panel(6, 0.5)], goal=1e-4, left=9.0) == Retry(0, 9)
    assert refinement([panel(12, 0.99)], goal=1e-3, left=15.0) == Retry(0, 14)


def test_nothing_affordable_ends_it() -> None:
    assert refinement([panel(6, 0.5)], goal=1e-4, left=5.0) is None
    assert refinement([panel(24, 0.99)], goal=1e-3, left=10.0) is None


def test_completeness_counts_against_a_series_that_sees_nothing() -> None:
    assert panel(8, 0.5, first=1e-9, gap=-0.2).error == pytest.approx(0.2)


def test_a_second_rule_can_confirm_what_the_series_doubts_but_not_what_completeness_does() -> None:
    doubted = panel(8, 0.9, first=0.5)
    doubted.difference = 1e-3
    assert doubted.error == pytest.approx(1e-3)
    doubted.gap = 0.01
    assert doubted.error == pytest.approx(0.01)


def test_texts_start_with_what_would_have_cost_least_so_far() -> None:
    start = Start()
    assert start.nodes() == FIRST_NODES
    for _ in range(SEEN_ENOUGH):
        start.learn(panel(6, 0.1, first=1e-5).predicted, goal=1e-3)
    assert start.nodes() == NODES[0]
    for _ in range(3 * SEEN_ENOUGH):
        start.learn(panel(6, 0.1).predicted, goal=0.5e-6)
    assert start.nodes() == 14


def test_a_text_that_no_number_of_nodes_serves_does_not_raise_the_start_for_all() -> None:
    start = Start([6] * 30 + [NODES[-1]] * 3)
    assert start.nodes() == 6
