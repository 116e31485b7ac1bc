"""How many rows the pilot of a data set has, and what each is for: arithmetic over its cost."""

from __future__ import annotations

SCOUTS = 12  # rows of a pilot that say how errors fall with the number of nodes
_SURVEYED = 8  # of them, those that say where the nodes should lie
_JUDGED = 0.25  # of the others: rows that refine the regressions
_SHARE = 0.02  # of the run's evaluations that a pilot may cost beyond what its rows cost anyway
_SURVEY_COST, _SCOUT_COST, _ROW_COST = 3.5, 2.5, 1.6  # what a row costs beyond that, in rows
_SURVEYS_FROM = 60  # rows of a pilot, from which a survey is a small part of it
_MOST_ROWS = 400
_LEAST_ROWS = 3


def survey_rows(pilot: int) -> int:
    """How many rows of a pilot say where the nodes should lie."""
    return _SURVEYED if pilot >= _SURVEYS_FROM else 0


def judge_rows(pilot: int) -> int:
    """How many rows of a pilot refine the regressions, after the scouts."""
    return int(_JUDGED * max(0, pilot - SCOUTS))


def worth(pilot: int) -> int:
    """How many rows of the run cost about as much as a pilot of so many."""
    scouts = min(SCOUTS, pilot)
    more = scouts * _SCOUT_COST + survey_rows(pilot) * _SURVEY_COST + (pilot - scouts) * _ROW_COST
    return pilot + round(more)


def pilot_rows(total: int) -> int:
    """How many rows the pilot of a data set has; 0 where that would cost more than a fiftieth of the run.

    Args:
        total: rows of the data set.
    """
    budget = _SHARE * total
    scouts = min(SCOUTS, int(budget / _SCOUT_COST))
    left = budget - scouts * _SCOUT_COST
    surveyed = left - _SURVEYED * _SURVEY_COST
    rows = scouts + int(max(surveyed, min(left, (_SURVEYS_FROM - 1 - scouts) * _ROW_COST)) / _ROW_COST)
    return min(rows, _MOST_ROWS) if rows >= _LEAST_ROWS else 0
