"""The pilot's own work, on tiny networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from ig_worker.explain.calibration import CAUTIOUS
from ig_worker.explain.explanation import relative_l1
from tests.explain.engines import SHAPE, adaptive, load, problems, refined

TOLERANCE, RISK = 0.005, 0.01


@pytest.fixture(scope="module")
def piloted(tiny_models: dict[str, Path]):
    from ig_worker.explain.pilot import PilotEngine

    model = tiny_models["bert"]
    cases, programs = problems(load(model)), adaptive(model, "embeddings").programs
    engine = PilotEngine(load(model).split("embeddings"), TOLERANCE, SHAPE, RISK, programs=programs)
    return model, cases, *engine.calibrate(cases)


def test_its_rows_are_explained_in_their_order_and_better_than_others(piloted) -> None:
    model, cases, _, found = piloted
    for case, one, exact in zip(cases, found, refined(model, "embeddings").explain(cases), strict=True):
        assert len(one.attributions) == case.tokens
        assert one.target == exact.target
        assert relative_l1(one.attributions, exact.attributions) <= TOLERANCE / 5
        assert one.delta == pytest.approx(exact.delta, abs=1e-3)


def test_what_it_learns_is_of_this_network_and_promises_nothing_by_so_few_rows(piloted) -> None:
    _, cases, known, _ = piloted
    assert known.rows == len(cases)
    assert known.certified is None
    assert known.level != CAUTIOUS.level
    assert known.level_spread < CAUTIOUS.level_spread


def test_others_need_fewer_evaluations_and_keep_the_tolerance(piloted) -> None:
    from ig_worker.explain.adaptive import AdaptiveEngine

    model, cases, known, _ = piloted
    engine = adaptive(model, "embeddings", TOLERANCE)
    plain, network = engine.explain(cases), load(model).split("embeddings")
    told = AdaptiveEngine(network, TOLERANCE, shape=SHAPE, programs=engine.programs, calibration=known).explain(cases)
    assert sum(a.evaluations for a in told) < sum(a.evaluations for a in plain)
    for one, exact in zip(told, refined(model, "embeddings").explain(cases), strict=True):
        assert relative_l1(one.attributions, exact.attributions) <= TOLERANCE


def test_a_pilot_counts_every_row_that_the_network_ran(tiny_models: dict[str, Path]) -> None:
    from ig_worker.explain.packing import BatchShape
    from ig_worker.explain.pilot import PilotEngine

    model, ran = tiny_models["distilbert"], 0
    engine = PilotEngine(
        load(model).split("embeddings"), TOLERANCE, BatchShape(8, 1024), RISK,
        programs=adaptive(model, "embeddings").programs,
    )  # fmt: skip
    integrate = engine._programs.integrate

    def counted(sections, n, spread, length):
        nonlocal ran
        ran += len(sections) * n
        return integrate(sections, n, spread, length)

    engine._programs.integrate = counted
    cases = problems(load(model))
    _, found = engine.calibrate(cases)
    assert sum(one.evaluations for one in found) == ran + len(cases)
