"""Where the next evaluations go."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ig_worker.explain.product import MOST
from ig_worker.explain.refine import Halve, Panel, Retry, refinement

FAR = 64.0
FALL = math.log(2)  # each node halves the error


def panel(n: int, bound: float, gap: float = 0.0, low: float = 0.0, high: float = 1.0) -> Panel:
    return Panel(low, high, n, np.ones(3), bound, gap)


def test_the_next_rule_has_as_many_nodes_more_as_the_error_needs_to_fall() -> None:
    assert refinement([panel(8, 0.16)], goal=0.01, left=FAR, fall=FALL) == Retry(0, 12)
    assert refinement([panel(8, 0.17)], goal=0.01, left=FAR, fall=FALL) == Retry(0, 13)


def test_a_second_rule_is_never_the_first_once_more() -> None:
    assert refinement([panel(8, 0.0101)], goal=0.01, left=FAR, fall=FALL) == Retry(0, 10)


def test_a_third_rule_has_half_as_many_nodes_again() -> None:
    second = panel(12, 0.011)
    second.difference = 0.02
    assert refinement([second], goal=0.01, left=FAR, fall=FALL) == Retry(0, 18)


def test_a_path_is_cut_only_where_the_largest_rule_would_not_do() -> None:
    assert refinement([panel(8, 1.0)], goal=1e-9, left=FAR, fall=FALL) == Retry(0, MOST)
    assert refinement([panel(MOST, 1.0)], goal=1e-9, left=FAR, fall=FALL) == Halve(0)


def test_the_worst_part_is_refined() -> None:
    parts = [panel(8, 1e-4, high=0.5), panel(8, 0.016, low=0.5)]
    assert refinement(parts, goal=1e-3 + 1e-4, left=FAR, fall=FALL) == Retry(1, 12)


def test_what_is_left_is_spent_where_the_wish_cannot_be_paid() -> None:
    assert refinement([panel(6, 1.0)], goal=1e-4, left=9.0, fall=FALL) == Retry(0, 9)
    assert refinement([panel(20, 1.0)], goal=1e-6, left=22.5, fall=0.3) == Halve(0)


def test_nothing_affordable_ends_it() -> None:
    assert refinement([panel(6, 0.5)], goal=1e-4, left=5.0, fall=FALL) is None
    assert refinement([panel(24, 0.5)], goal=1e-3, left=10.0, fall=FALL) is None


def test_completeness_counts_against_a_bound_that_sees_nothing() -> None:
    assert panel(8, 1e-9, gap=-0.2).error == pytest.approx(0.2)


def test_a_second_rule_can_confirm_what_the_bound_doubts_but_not_what_completeness_does() -> None:
    doubted = panel(8, 0.5)
    doubted.difference = 1e-3
    assert doubted.error == pytest.approx(1e-3)
    doubted.gap = 0.01
    assert doubted.error == pytest.approx(0.01)
