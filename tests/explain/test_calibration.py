"""What rows of a pilot say of others: decisions alone, on made-up errors whose law is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ig_worker.explain.calibration import CAUTIOUS, Calibration, Ends, Known, Observation
from ig_worker.explain.learning import COVERED, by_law, certify, fit, guess, unjudged
from ig_worker.explain.pilot_plan import pilot_rows
from ig_worker.explain.product import FEWEST, MOST, ROUNDING

TOLERANCE, RISK = 0.005, 0.01
PILOT = replace(CAUTIOUS, rows=60)


def rows(random: np.random.Generator, count: int, nodes: tuple[int, ...], tail: float = 0.0) -> list[list[Observation]]:
    """Rows whose errors fall by e^-0.5 a node, about e^-1 at none; gaps are a third of them, more or less.

    Args:
        tail: share of rows whose error is twenty times what it would be, and their gap is not.
    """
    found = []
    for _ in range(count):
        ends, own = (
            Ends.of(float(random.uniform(0.5, 0.999)), 0.4, int(random.integers(50, 250))),
            random.normal(0, 0.5),
        )
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
    """Where texts started with enough nodes, one whose rule foretold a thirtieth of its error asks for no more."""
    random = np.random.default_rng(9)
    fitted = replace(fit(flat(rows(random, 60, (6, 10))), PILOT), start=2.5)
    seen = [one for (one,) in (started(random, fitted) for _ in range(400)) if one.error <= TOLERANCE][:120]
    odd = replace(seen[0], known=replace(seen[0].known, gap=seen[0].error / 30, series=seen[0].error / 30))
    plain, found = (certify(fitted, part, TOLERANCE, RISK) for part in (seen, [odd, *seen[1:]]))
    assert (found.start, found.certified) == (plain.start, RISK)
    assert found.start <= fitted.start + fitted.fall / fitted.level_spread  # which rounding up to a node gives away


def started(random: np.random.Generator, fitted: Calibration) -> list[Observation]:
    """A row with as many nodes as it starts with."""
    (row,) = rows(random, 1, tuple(range(FEWEST, MOST + 1)))
    return [one for one in row if one.known.n == fitted.first(one.known.ends, TOLERANCE)]


def test_texts_start_with_what_all_but_the_risk_of_the_judges_needed() -> None:
    """Two of 120 that were seen beyond the tolerance: others then start with enough nodes for such as these."""
    random = np.random.default_rng(9)
    fitted = replace(fit(flat(rows(random, 60, (6, 10))), PILOT), start=2.5)
    seen = [one for (one,) in (started(random, fitted) for _ in range(400)) if one.error <= TOLERANCE][:120]
    beyond = replace(seen[0], error=3 * TOLERANCE)
    found = certify(fitted, [beyond, beyond, *seen[2:]], TOLERANCE, RISK)
    more = found.first(beyond.known.ends, TOLERANCE) - beyond.known.n
    assert 3 * TOLERANCE * math.exp(-found.fall * more) <= TOLERANCE
    assert more <= 2 + 1.5 * math.log(3) / found.fall


def test_what_a_handful_of_rows_writes_holds_for_most_texts_too() -> None:
    random = np.random.default_rng(12)
    held = []
    for _ in range(40):
        fitted = fit(flat(rows(random, 6, (6, 10))), PILOT)
        found = unjudged(by_law(fitted, [Ends.of(0.8, 0.4, 128)], TOLERANCE, RISK, 6), RISK)
        others = [one for _ in range(50) for one in started(random, found)]
        held.append(np.mean([one.error <= found.estimate(one.known, TOLERANCE) for one in others]))
    assert np.mean(held) >= COVERED


def test_what_its_own_rule_expects_to_be_beyond_is_not_done_however_many_nodes_it_has() -> None:
    random = np.random.default_rng(10)
    found = certify(fit(flat(rows(random, 60, (6, 10))), PILOT), flat(rows(random, 120, (10,))), TOLERANCE, RISK)
    (known,) = (one.known for one in started(random, found))
    assert found.bound(known, TOLERANCE) <= TOLERANCE
    rough = replace(known, gap=0.9 * TOLERANCE, series=100 * TOLERANCE)
    assert found.bound(rough, TOLERANCE) > TOLERANCE


@pytest.mark.parametrize("tolerance", [1e-5, 1e-4, 0.005, 0.3])
def test_what_starts_as_it_should_is_done_by_the_level_with_rounding_and_all(tolerance: float) -> None:
    random = np.random.default_rng(11)
    fitted = fit(flat(rows(random, 60, (6, 10))), PILOT)
    for start in (0.0, 0.7, 2.0):
        found = replace(fitted, start=start, told=(-50.0, 0.0, 0.0, 0.0))
        for ends in (Ends(0.2, 1.0, 100), Ends(0.9, 4.0, 200)):
            n = found.first(ends, tolerance)
            assert n == MOST or found.bound(Known(ends, n, 0.0, 0.0), tolerance) + ROUNDING <= tolerance


def test_too_few_rows_promise_nothing_and_are_taken_with_care() -> None:
    random = np.random.default_rng(3)
    fitted, seen = fit(flat(rows(random, 12, (6, 10)))), flat(rows(random, 98, (10,)))
    assert certify(fitted, seen, TOLERANCE, RISK).certified is None
    assert certify(fitted, flat(rows(random, 99, (10,))), TOLERANCE, RISK).certified == RISK
    care = by_law(fitted, [one.known.ends for one in seen], TOLERANCE, RISK, 5)
    found = certify(care, seen[:5], TOLERANCE, RISK)
    assert found.start == max([care.start, *(care.needed(one, TOLERANCE) for one in seen[:5])])
    assert guess(RISK, 5) > guess(RISK, 50) > 2.32


def test_errors_that_are_all_far_within_the_tolerance_give_numbers() -> None:
    tiny = [replace(one, error=1e-6) for one in flat(rows(np.random.default_rng(6), 120, (10,)))]
    found = certify(fit(tiny, PILOT), tiny, TOLERANCE, RISK)
    assert math.isfinite(found.start)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_rows_without_any_number_teach_nothing() -> None:
    found = certify(fit([], PILOT), [], TOLERANCE, RISK)
    assert (found.level, found.certified) == (PILOT.level, None)
    assert math.isfinite(found.start)


def test_a_text_starts_with_more_nodes_the_finer_the_tolerance_and_the_rougher_its_like() -> None:
    found = replace(fit(flat(rows(np.random.default_rng(4), 60, (6, 10)))), start=2.0)
    ends = Ends(0.5, 2.0, 128)
    counts = [found.first(ends, tolerance) for tolerance in (0.5, 0.05, 0.005, 0.0005, 1e-12)]
    assert counts == sorted(counts)
    assert counts[0] == FEWEST
    assert counts[-1] == MOST
    assert math.exp(-1 + 2 * 0.5 - 0.5 * counts[2]) <= 1.2 * TOLERANCE


@pytest.mark.parametrize(
    "known", [Known(Ends(0.5, 2.0, 9), 8, math.nan, 1.0), Known(Ends(0.5, 2.0, 9), 8, 0.1, math.inf)]
)
def test_what_is_no_number_has_no_bound(known: Known) -> None:
    assert math.isnan(CAUTIOUS.bound(known, TOLERANCE))


def test_without_a_pilot_errors_of_other_networks_bound_nothing() -> None:
    known = Known(Ends(0.5, 2.0, 128), MOST, 0.003, 1.0)
    assert CAUTIOUS.bound(known, TOLERANCE) > TOLERANCE > PILOT.bound(known, TOLERANCE, again=True)


def test_a_bound_is_never_below_what_completeness_shows() -> None:
    assert CAUTIOUS.bound(Known(Ends(0.5, 2.0, 9), 30, 0.4, 1e-9), TOLERANCE) >= 0.4


def test_a_pilot_costs_a_fiftieth_and_is_left_out_where_that_is_nothing() -> None:
    assert [pilot_rows(n) for n in (0, 1, 300)] == [0, 0, 0]
    sizes = [pilot_rows(n) for n in range(0, 50_000, 50)]
    assert sizes == sorted(sizes)
    assert all(1.6 * rows <= 0.02 * n for rows, n in zip(sizes, range(0, 50_000, 50), strict=True))
    assert pilot_rows(10**9) == sizes[-1] == 400


@pytest.mark.parametrize("times", [0.01, 0.2, 0.9, 1.1, 3.0, 20.0])
def test_what_a_judge_needed_is_the_least_that_gives_it_the_nodes(times: float) -> None:
    """As many more as are lacking, and half as many again; or what can be spared, without a third of it."""
    fitted = replace(fit(flat(rows(np.random.default_rng(13), 60, (6, 10))), PILOT), start=2.0)
    seen = Observation(Known(Ends(0.4, 2.0, 150), 12, 1e-4, 1e-3), times * TOLERANCE)
    start = fitted.needed(seen, TOLERANCE)
    nodes = replace(fitted, start=start).first(seen.known.ends, TOLERANCE)
    assert replace(fitted, start=start - 1e-4).first(seen.known.ends, TOLERANCE) == nodes - 1
    foreseen = math.log(times) - fitted.fall * (nodes - 12)
    assert (foreseen <= 0) or times < 1
    assert abs(nodes - 12) <= math.ceil(1.5 * abs(math.log(times)) / fitted.fall)
    assert nodes >= 12 if times > 1 else nodes <= 12


@pytest.mark.parametrize(("f1", "f0"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (1.0, 1.0)])
def test_saturated_and_equal_ends_have_finite_features(f1: float, f0: float) -> None:
    found = Ends.of(f1, f0, 10)
    assert np.isfinite(found.features(8)).all()
    assert found.change == abs(f1 - f0)


def test_a_change_into_saturation_is_told_from_one_that_is_not() -> None:
    """Errors that grow with the change of the log odds alone: without it in the regression they would be spread."""
    random = np.random.default_rng(14)
    seen = []
    for _ in range(60):
        f0 = float(random.uniform(0.3, 0.65))
        ends = Ends.of(f0 + 0.3 + float(random.uniform(0, 0.69 - f0)), f0, 128)
        error = ends.odds**1.5 * math.exp(-1 - 4 + random.normal(0, 0.1))
        seen.append(Observation(Known(ends, 8, 0.1 * error, error), error))
    found = fit(seen, PILOT)
    assert found.level_spread < 0.5 * np.std([one.log for one in seen])


@pytest.mark.parametrize("rows_known", [12, 60])
@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_a_normal_law_gives_no_more_nodes_than_it_has_to(spread: float, rows_known: int) -> None:
    """Texts of many kinds: the share beyond is what was asked for, though each gets whole nodes."""
    random = np.random.default_rng(15)
    ends = [Ends.of(float(random.uniform(0.5, 0.999)), 0.4, int(random.integers(20, 250))) for _ in range(200)]
    level = (-1.0, 0.5, 0.3, -0.5, -0.5)
    found = by_law(replace(PILOT, level=level, level_spread=spread), ends, TOLERANCE, RISK, rows_known)
    assert 0 < found.start < guess(RISK, rows_known) * math.sqrt(1 + 5 / rows_known)
    errors = [
        math.exp(float(np.dot(level, one.features(found.first(one, TOLERANCE)))) + random.normal(0, spread))
        for one in ends * 50
    ]
    share = np.mean(np.array(errors) > TOLERANCE)
    assert share <= RISK, "a normal law is all that there is here"
    fewer = replace(found, start=found.start - 0.5)
    assert np.mean([fewer.first(one, TOLERANCE) for one in ends]) < np.mean(
        [found.first(one, TOLERANCE) for one in ends]
    )


def test_texts_that_are_all_alike_are_no_reason_to_trust_in_rounding_up() -> None:
    ends, level = [Ends.of(0.9, 0.4, 128)] * 20, (-1.0, 0.0, 0.0, 0.0, -0.5)
    for shift in np.linspace(0, 0.5, 7):
        fitted = replace(PILOT, level=(-1.0 + float(shift), *level[1:]), level_spread=0.5)
        found = by_law(fitted, ends, TOLERANCE, RISK, 60)
        n = found.first(ends[0], TOLERANCE)
        spare = math.log(TOLERANCE) - float(np.dot(fitted.level, ends[0].features(n)))
        assert spare / 0.5 >= 2.32


def test_a_judge_that_would_get_a_second_rule_anyway_asks_nothing_of_the_others() -> None:
    random = np.random.default_rng(16)
    fitted = replace(fit(flat(rows(random, 60, (6, 10))), PILOT), start=2.5)
    seen = [one for (one,) in (started(random, fitted) for _ in range(400)) if done(fitted, one)][:120]
    unseen = replace(seen[0], error=5 * TOLERANCE)
    told = replace(unseen, known=replace(seen[0].known, gap=4 * TOLERANCE, series=4 * TOLERANCE))
    assert done(fitted, unseen)
    assert not done(fitted, told)
    plain, by_unseen, by_told = (
        certify(fitted, [one, one, *seen[2:]], TOLERANCE, RISK).start for one in (seen[0], unseen, told)
    )
    assert by_unseen > plain
    assert by_told <= plain
