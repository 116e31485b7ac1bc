"""What rows of a pilot say of others: decisions alone, on made-up errors whose law is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ig_worker.explain.calibration import (
    CAUTIOUS,
    COVERED,
    Calibration,
    Ends,
    Known,
    Observation,
    certify,
    choose_start,
    fit,
    guess,
    pilot_rows,
)
from ig_worker.explain.product import FEWEST, MOST

TOLERANCE, RISK = 0.005, 0.01
PILOT = replace(CAUTIOUS, rows=60)


def rows(random: np.random.Generator, count: int, nodes: tuple[int, ...], tail: float = 0.0) -> list[list[Observation]]:
    """Rows whose errors fall by e^-0.5 a node, about e^-1 at none; gaps are a third of them, more or less.

    Args:
        tail: share of rows whose error is twenty times what it would be, and their gap is not.
    """
    found = []
    for _ in range(count):
        ends, own = Ends(float(random.uniform(0.1, 0.9)), int(random.integers(50, 250))), random.normal(0, 0.5)
        gap, wild = math.exp(random.normal(-1, 0.3)), random.uniform() < tail
        row = []
        for n in nodes:
            error = math.exp(-1 + own - 0.5 * n)
            row.append(Observation(Known(ends, n, gap * error, 5 * error), error * (20 if wild else 1)))
        found.append(row)
    return found


def flat(found: list[list[Observation]]) -> list[Observation]:
    return [one for row in found for one in row]


def test_it_survives_json_to_the_bit() -> None:
    random = np.random.default_rng(0)
    found = certify(fit(flat(rows(random, 12, (6, 10)))), flat(rows(random, 120, (10,))), TOLERANCE, RISK)
    assert Calibration.of_json(json.loads(json.dumps(found.to_json()))) == found
    assert hash(found) == hash(Calibration.of_json(found.to_json()))


def test_the_regressions_find_the_law_of_the_errors() -> None:
    found = fit(flat(rows(np.random.default_rng(1), 60, (6, 10))))
    assert found.fall == pytest.approx(0.5, abs=0.03)
    assert found.level_spread == pytest.approx(0.5, rel=0.25)
    assert found.told_spread < 0.9 * found.level_spread  # a gap tells something of its row


def test_without_rows_nothing_is_learnt() -> None:
    few = fit(flat(rows(np.random.default_rng(1), 1, (6, 10))))
    assert abs(few.level[1] - CAUTIOUS.level[1]) < 0.3
    assert fit(flat(rows(np.random.default_rng(1), 1, (10,)))).fall == pytest.approx(CAUTIOUS.fall, abs=0.3)


def done(found: Calibration, one: Observation) -> bool:
    return found.bound(one.known, TOLERANCE) <= TOLERANCE


@pytest.mark.parametrize("nodes", [8, 9, 10])
def test_the_share_of_texts_that_are_done_beyond_the_tolerance_is_what_was_asked_for(nodes: int) -> None:
    """On average over pilots, as conformal risk control has it: here with a tail that no normal law has."""
    random = np.random.default_rng(2)
    shares, written = [], []
    for _ in range(40):
        fitted = fit(flat(rows(random, 30, (6, 10), tail=0.02)), PILOT)
        found = certify(fitted, flat(rows(random, 150, (nodes,), tail=0.02)), TOLERANCE, RISK)
        assert found.certified == RISK
        others = flat(rows(random, 400, (nodes,), tail=0.02))
        shares.append(np.mean([done(found, one) and one.error > TOLERANCE for one in others]))
        written.append(np.mean([one.error > found.estimate(one.known, TOLERANCE) for one in others]))
    assert np.mean(shares) <= RISK + 2 * np.std(shares) / math.sqrt(40)
    assert np.mean(written) <= 1 - COVERED + 2 * np.std(written) / math.sqrt(40)


def test_errors_beyond_what_was_foretold_cost_nothing_while_they_are_within_the_tolerance() -> None:
    """An error of thirty times what is told, and a tenth of the tolerance, is no reason to take more nodes."""
    random = np.random.default_rng(9)
    fitted, seen = fit(flat(rows(random, 60, (6, 10))), PILOT), flat(rows(random, 120, (16,)))
    odd = replace(seen[0], error=TOLERANCE / 10, known=replace(seen[0].known, gap=TOLERANCE / 300))
    plain, found = (certify(fitted, part, TOLERANCE, RISK) for part in (seen, [odd, *seen[1:]]))
    assert (found.quantile, found.certified) == (plain.quantile, RISK)
    beyond = replace(odd, error=2 * TOLERANCE)
    found = certify(fitted, [beyond, *seen[1:]], TOLERANCE, RISK)
    assert not done(found, beyond) or found.quantile == plain.quantile  # one of 120 is what the risk allows
    assert not done(certify(fitted, [beyond, beyond, *seen[2:]], TOLERANCE, RISK), beyond)


def test_a_second_rule_is_asked_for_more_than_the_first_and_what_is_written_holds_for_most() -> None:
    random = np.random.default_rng(10)
    found = certify(fit(flat(rows(random, 60, (6, 10))), PILOT), flat(rows(random, 120, (10,))), TOLERANCE, RISK)
    known = rows(random, 1, (10,))[0][0].known
    assert found.again > found.quantile
    assert found.bound(known, TOLERANCE, again=True) > found.bound(known, TOLERANCE)


def test_too_few_rows_promise_nothing_and_are_taken_with_care() -> None:
    random = np.random.default_rng(3)
    fitted, seen = fit(flat(rows(random, 12, (6, 10)))), flat(rows(random, 98, (10,)))
    assert certify(fitted, seen, TOLERANCE, RISK).certified is None
    assert certify(fitted, flat(rows(random, 99, (10,))), TOLERANCE, RISK).certified == RISK
    assert certify(fitted, seen[:5], TOLERANCE, RISK).quantile >= guess(RISK, 5) > guess(RISK, 50) > 2.32


def test_errors_that_are_all_far_within_the_tolerance_give_numbers() -> None:
    tiny = [replace(one, error=1e-6) for one in flat(rows(np.random.default_rng(6), 120, (10,)))]
    found = certify(fit(tiny, PILOT), tiny, TOLERANCE, RISK)
    assert math.isfinite(found.quantile)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_rows_without_any_number_teach_nothing() -> None:
    found = choose_start(certify(fit([], PILOT), [], TOLERANCE, RISK), [], TOLERANCE)
    assert (found.level, found.certified) == (PILOT.level, None)
    assert math.isfinite(found.quantile)


def test_a_text_starts_with_more_nodes_the_finer_the_tolerance_and_the_rougher_its_like() -> None:
    found = replace(fit(flat(rows(np.random.default_rng(4), 60, (6, 10)))), start=2.0)
    ends = Ends(0.5, 128)
    counts = [found.first(ends, tolerance) for tolerance in (0.5, 0.05, 0.005, 0.0005, 1e-12)]
    assert counts == sorted(counts)
    assert counts[0] == FEWEST
    assert counts[-1] == MOST
    assert math.exp(-1 + 2 * 0.5 - 0.5 * counts[2]) <= 1.2 * TOLERANCE


def test_where_gaps_tell_much_texts_start_low_and_where_nothing_does_they_start_safe() -> None:
    random = np.random.default_rng(5)
    found = certify(fit(flat(rows(random, 60, (6, 10))), PILOT), flat(rows(random, 120, (11,))), TOLERANCE, RISK)
    seen = flat(rows(random, 100, (11,)))
    blind = choose_start(replace(found, told=(50.0, 0.0, 0.0, 0.0)), seen, TOLERANCE)
    exact = [replace(one, known=replace(one.known, gap=one.error)) for one in seen]
    telling = choose_start(replace(found, told=(0.0, 1.0, 0.0, 0.0), told_spread=0.3), exact, TOLERANCE)
    assert telling.start < blind.start
    beyond = [
        math.exp(math.log(one.error) + blind.fall * (11 - blind.first(one.known.ends, TOLERANCE))) for one in seen
    ]
    assert np.mean([error > TOLERANCE for error in beyond]) < 0.1


@pytest.mark.parametrize("known", [Known(Ends(0.5, 9), 8, math.nan, 1.0), Known(Ends(0.5, 9), 8, 0.1, math.inf)])
def test_what_is_no_number_has_no_bound(known: Known) -> None:
    assert math.isnan(CAUTIOUS.bound(known, TOLERANCE))


def test_without_a_pilot_errors_of_other_networks_bound_nothing() -> None:
    known = Known(Ends(0.5, 128), MOST, 0.003, 1.0)
    assert CAUTIOUS.bound(known, TOLERANCE) > TOLERANCE > PILOT.bound(known, TOLERANCE)


def test_a_bound_is_never_below_what_completeness_shows() -> None:
    assert CAUTIOUS.bound(Known(Ends(0.5, 9), 30, 0.4, 1e-9), TOLERANCE) >= 0.4


def test_a_pilot_costs_a_fiftieth_and_is_left_out_where_that_is_nothing() -> None:
    assert [pilot_rows(n) for n in (0, 1, 300)] == [0, 0, 0]
    sizes = [pilot_rows(n) for n in range(0, 50_000, 50)]
    assert sizes == sorted(sizes)
    assert all(1.6 * rows <= 0.02 * n for rows, n in zip(sizes, range(0, 50_000, 50), strict=True))
    assert pilot_rows(10**9) == sizes[-1] == 400
