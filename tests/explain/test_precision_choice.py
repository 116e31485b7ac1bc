"""Which precision a run goes by: decisions alone, and a trial on a tiny network whose clock is set."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.errors import UsageError
from ig_worker.explain import precision_trial
from ig_worker.explain.precision import (
    LEAST_PILOT,
    Choice,
    Tried,
    choose,
    concrete,
    judge,
    room,
    rounding,
    untried,
    without_trial,
    worth_trying,
)
from ig_worker.run.config import ExplainConfig
from tests.explain.engines import SHAPE, load, problems

TOLERANCE, RISK, ROWS = 0.005, 0.01, 10_000
SMALL = (1e-5,) * 12
BFLOAT16 = Tried("bfloat16", 0.5, SMALL, wait=10.0)
TF32 = Tried("tf32", 0.4, SMALL, wait=1.0)


def chosen(*tried: Tried, rows: int = ROWS, tolerance: float = TOLERANCE) -> Choice:
    return choose(1.0, tried, rows, tolerance=tolerance, risk=RISK)


def test_the_fastest_is_taken() -> None:
    assert chosen(BFLOAT16, TF32).precision == chosen(TF32, BFLOAT16).precision == "tf32"
    assert chosen(replace(BFLOAT16, seconds=0.3), TF32).precision == "bfloat16"
    assert chosen(BFLOAT16).reason == "bfloat16 takes 0.50 of float32's time and rounds by up to 4.0e-05"


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (replace(BFLOAT16, seconds=0.95), "no gain"),
        (replace(BFLOAT16, seconds=math.nan), "no gain"),
        (replace(BFLOAT16, errors=(5e-4,) * 12), "more than 1.0e-03"),
        (replace(BFLOAT16, errors=(*SMALL[1:], 2e-3)), "more than 1.0e-03"),
        (replace(BFLOAT16, errors=(*SMALL[1:], math.nan)), "rounds by up to inf"),
        (replace(BFLOAT16, errors=()), "rounds by up to inf"),
        (replace(BFLOAT16, wait=60_000.0), "would save 50000 s for 60000 s of waiting"),
    ],
)
def test_float32_stays_where_another_is_not_clearly_better(tried: Tried, said: str) -> None:
    choice = chosen(tried)
    assert choice.precision == "float32"
    assert said in choice.reason
    assert chosen(tried, TF32).precision == "tf32"  # which one does not stand in the way of the other


def test_a_wider_tolerance_has_room_for_more_rounding() -> None:
    rough = replace(BFLOAT16, errors=(5e-4,) * 12)
    assert chosen(rough, tolerance=0.05).precision == "bfloat16"
    assert room(0.05) == pytest.approx(10 * room(0.005))


def test_nothing_tried_is_float32() -> None:
    assert chosen() == Choice("float32", "")


def test_the_rounding_of_few_texts_is_raised_to_what_one_in_a_hundred_may_have() -> None:
    random = np.random.default_rng(0)
    bounds = [rounding(np.exp(random.normal(-8, 1, 12)).tolist(), RISK) for _ in range(500)]
    beyond = np.mean([np.exp(random.normal(-8, 1, 1000)) > bound for bound in bounds])
    assert beyond <= 1.3 * RISK
    assert rounding([1e-3, *SMALL], RISK) >= 1e-3
    assert rounding(SMALL, 0.5) == pytest.approx(1e-5)
    assert rounding(SMALL, 0.001) > rounding(SMALL, 0.01)
    assert math.isinf(rounding([math.inf], RISK))


@pytest.mark.parametrize(
    ("asked", "pilot", "candidates", "final", "why"),
    [
        ("auto", LEAST_PILOT, ["bfloat16"], True, ""),
        ("auto", LEAST_PILOT - 1, ["bfloat16"], True, "a pilot of 59 rows is too small to try others"),
        ("auto", 0, ["bfloat16"], True, "there is no pilot to try others"),
        ("auto", LEAST_PILOT, [], True, "no AMX"),
        ("auto", LEAST_PILOT, ["bfloat16"], False, "hidden attributions are kept in float32"),
        ("float32", 400, ["bfloat16"], True, "as asked for"),
        ("bfloat16", LEAST_PILOT, [], True, ""),  # slower, perhaps: but what it rounds has to be known
        ("bfloat16", 3, [], True, "a pilot of 3 rows is too small to try others"),
    ],
)
def test_where_nothing_is_tried(asked: str, pilot: int, candidates: list[str], final: bool, why: str) -> None:
    assert untried(asked, pilot, candidates, "no AMX", final=final) == why


def test_short_runs_are_not_worth_it() -> None:
    assert not worth_trying(0.001, 5_000)  # 50 seconds
    assert worth_trying(0.05, 5_000)


def test_auto_is_float32_as_long_as_nobody_has_chosen() -> None:
    assert [concrete(name) for name in ("auto", "float32", "tf32", "bfloat16")] == [
        "float32",
        "float32",
        "tf32",
        "bfloat16",
    ]
    assert without_trial("auto").precision == "float32"
    assert without_trial("tf32") == Choice("tf32", "as asked for")


def test_what_was_asked_for_is_kept_and_covered_only_where_it_rounds_little() -> None:
    assert judge(BFLOAT16, TOLERANCE, RISK).exact_truth
    rough = judge(replace(BFLOAT16, errors=(5e-3,) * 12), TOLERANCE, RISK)
    assert (rough.precision, rough.exact_truth, rough.to_json()["covered"]) == ("bfloat16", False, False)


def test_run_json_holds_numbers_only() -> None:
    told = chosen(replace(BFLOAT16, errors=(math.nan,)), TF32).to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["measured"]["bfloat16"] == {
        "of_float32s_time": 0.5,
        "rounding": None,
        "median": None,
        "wait_seconds": 10.0,
    }


def test_alibi_takes_auto_and_no_reduced_precision() -> None:
    ExplainConfig(engine="alibi", method="gausslegendre").check()
    with pytest.raises(UsageError, match="--precision is bfloat16; expected float32 with --engine alibi"):
        ExplainConfig(engine="alibi", method="gausslegendre", precision="bfloat16").check()


# The device.


@pytest.mark.parametrize(
    ("flags", "found"),
    [({"avx2", "fma"}, ()), ({"avx512f", "avx512_bf16"}, ("bfloat16",)), ({"amx_bf16", "amx_tile"}, ("bfloat16",))],
)
def test_a_processor_is_tried_only_where_it_multiplies_bfloat16(flags: set[str], found: Any, monkeypatch) -> None:
    from ig_worker.models.runtime import faster_products

    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    precisions, lacking = faster_products(flags)
    assert precisions == found
    assert bool(lacking) == (not found)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert faster_products(flags)[0] == ()


@pytest.mark.parametrize(("capability", "found"), [((8, 0), ("tf32", "bfloat16")), ((7, 5), ())])
def test_a_gpu_is_tried_by_what_it_can_do(capability: tuple[int, int], found: Any, monkeypatch) -> None:
    from ig_worker.models import runtime

    monkeypatch.setattr(runtime.tf.config, "list_physical_devices", lambda kind: [kind])
    details = {"compute_capability": capability}
    monkeypatch.setattr(runtime.tf.config.experimental, "get_device_details", lambda _: details)
    assert runtime.faster_products()[0] == found


# A trial.


@pytest.fixture(scope="module")
def programs(tiny_models: dict[str, Path]) -> Any:
    from ig_worker.explain.paths import PathPrograms

    classifier = load(tiny_models["bert"])
    made = {name: PathPrograms(classifier.split("embeddings", name), SHAPE) for name in ("float32", "bfloat16")}
    return classifier, made


def trial(programs: Any, tolerance: float) -> precision_trial.PrecisionTrial:
    classifier, made = programs
    return precision_trial.PrecisionTrial(made.__getitem__, problems(classifier), SHAPE, tolerance=tolerance, risk=RISK)


def set_clock(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> list[str]:
    """Laps take so long; returns whose they were, in their order."""
    asked: list[str] = []

    def clocked(precision: str, lap: Any) -> float:
        assert lap() > 0
        asked.append(precision)
        return seconds[precision]

    monkeypatch.setattr(precision_trial, "clocked", clocked)
    return asked


def test_a_trial_measures_what_a_precision_rounds_and_takes_turns(programs, monkeypatch) -> None:
    asked = set_clock(monkeypatch, float32=1.0, bfloat16=0.5)
    choice = trial(programs, 1.0).choose(["bfloat16"], ROWS)
    (name, told), *others = choice.measured
    assert (choice.precision, name, others) == ("bfloat16", "bfloat16", [])
    assert 1e-3 < told["median"] < told["rounding"] < 0.2  # these networks are sharp
    assert told["of_float32s_time"] == 0.5
    assert asked == ["float32", *["float32", "bfloat16"] * 5]
    assert trial(programs, TOLERANCE).choose(["bfloat16"], ROWS).precision == "float32"


def test_float32_against_itself_rounds_nothing(programs, monkeypatch) -> None:
    classifier, made = programs
    set_clock(monkeypatch, float32=1.0, same=0.5)
    both = {**made, "same": made["float32"]}
    one = precision_trial.PrecisionTrial(both.__getitem__, problems(classifier), SHAPE, tolerance=0.005, risk=RISK)
    choice = one.choose(["same"], ROWS)
    assert dict(choice.measured)["same"]["median"] == 0.0
    assert choice.precision == "same"


def test_a_trial_costs_little_and_a_short_run_less(programs, monkeypatch) -> None:
    set_clock(monkeypatch, float32=1.0, bfloat16=0.5)
    long, short = trial(programs, 1.0), trial(programs, 1.0)
    long.choose(["bfloat16"], ROWS)
    assert short.choose(["bfloat16"], 3).reason == "the run is too short for another precision to pay"
    assert short.evaluations < 0.5 * long.evaluations
    assert long.evaluations <= 4 * 12 * 10  # four rules of twelve rows, and their ends


def test_what_cannot_be_tried_is_not_taken(programs, monkeypatch) -> None:
    set_clock(monkeypatch, float32=1.0)
    choice = trial(programs, 1.0).choose(["tf32"], ROWS)
    assert choice == Choice("float32", "the trial of others failed: KeyError")
    judged = trial(programs, 1.0).judge("tf32")
    assert (judged.precision, judged.exact_truth) == ("tf32", False)
    assert trial(programs, 1.0).judge("bfloat16").exact_truth
    assert not trial(programs, TOLERANCE).judge("bfloat16").exact_truth


def test_the_truth_of_a_pilot_in_reduced_precision_is_float32s(programs) -> None:
    """What it rounds is then part of the errors that it learns from; by its own truth it would see none of it."""
    from ig_worker.explain.pilot import PilotEngine

    classifier, made = programs
    cases = problems(classifier)
    network = classifier.split("embeddings", "bfloat16")

    def pilot(exact: Any) -> Any:
        seen: list[Any] = []
        engine = PilotEngine(network, TOLERANCE, SHAPE, RISK, programs=made["bfloat16"], exact=exact)
        observe = engine._observe
        engine._observe = lambda *arguments: seen.extend(found := observe(*arguments)) or found
        return engine.calibrate(cases)[1], seen

    explained, rows = pilot(made["float32"])
    own, _ = pilot(None)
    for a, b in zip(explained, own, strict=True):
        assert a.target == b.target
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
    assert all(row.truth is not None for row in rows)
    errors = [seen.error for row in rows for seen in row.observations() if seen.known.n == max(row.sums)]
    assert min(errors) > 0
