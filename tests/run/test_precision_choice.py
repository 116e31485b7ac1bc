"""`--precision auto` in whole runs: what is chosen once holds for all who work on a run, however it is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ig_worker.errors import RunMismatchError, RunStoppedError
from ig_worker.explain import precision as decision
from ig_worker.explain import precision_trial
from ig_worker.models import runtime
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.steps.binding import binding_of
from ig_worker.run.steps.explain import check_input
from ig_worker.run.steps.preflight import settings_of
from ig_worker.run.steps.promise import promise
from ig_worker.run.steps.recompute import recompute
from ig_worker.run.steps.status import read_status
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import Shared, explain_here, interrupted
from tests.run.test_pilot import files, manifest_of
from tests.tiny import save_tiny_model

TEXTS = ["good film", "a dull plot and bad acting", "joy", "the actor is never boring", "awful awful awful end", ""]
ROWS, PILOT = 24, 9
Clock = Callable[..., list[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network gentle enough for bfloat16."""
    return save_tiny_model(tmp_path_factory.mktemp("gentle") / "model", "distilbert", initializer_range=0.05)


@pytest.fixture
def config(tmp_path: Path, model: Path) -> ExplainConfig:
    """24 rows, each sixth of them empty, with a pilot of 9."""
    path = tmp_path / "reviews.jsonl"
    rows = [{"id": f"r{i}", "text": TEXTS[i % 6], "label": i % 2} for i in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ExplainConfig(
        dataset=str(path), model=str(model), chunk_rows=4, max_length=16, pilot=str(PILOT), batch_tokens=512,
        actors="2", tolerance=0.05, risk=0.2,
    )  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A device that multiplies bfloat16, a run that is worth a trial, and laps that take so long."""
    asked: list[str] = []

    def set_clock(**seconds: float) -> list[str]:
        def clocked(precision: str, lap: Any) -> float:
            lap()
            asked.append(precision)
            return seconds[precision]

        monkeypatch.setattr(precision_trial, "clocked", clocked)
        return asked

    monkeypatch.setattr(decision, "LEAST_PILOT", PILOT)
    monkeypatch.setattr(runtime, "faster_products", lambda: (("bfloat16",), ""))
    return set_clock


FAST, SLOW = {"float32": 10.0, "bfloat16": 4.0}, {"float32": 10.0, "bfloat16": 12.0}


def chosen(run: Path) -> str:
    return str(manifest_of(run)["identity"]["precision"])


@pytest.fixture
def fast(config: ExplainConfig, tmp_path: Path, clock: Clock) -> Path:
    """A run whose pilot has chosen bfloat16."""
    clock(**FAST)
    explain_here(tmp_path / "fast", config, Shared)
    return tmp_path / "fast"


def test_what_is_chosen_is_the_runs_precision_and_is_told(fast: Path, config: ExplainConfig) -> None:
    manifest, store = manifest_of(fast), RunStore(str(fast))
    assert (manifest["config"]["precision"], manifest["identity"]["precision"]) == ("auto", "bfloat16")
    assert manifest["precision"]["chosen"] == "bfloat16"
    assert manifest["precision"]["measured"]["bfloat16"]["of_float32s_time"] == 0.4
    assert binding_of(manifest["identity"]).precision == "bfloat16"
    assert settings_of(manifest)[0].precision == "bfloat16"
    (line,) = [line for line in read_status(store).lines() if line.startswith("precision")]
    assert line.startswith("precision   bfloat16: bfloat16 takes 0.40 of float32's time and rounds by up to")
    assert verify_run(store).faults == []


def test_it_gives_what_the_same_precision_gives_that_was_asked_for(fast, config, tmp_path: Path) -> None:
    explain_here(tmp_path / "asked", replace(config, precision="bfloat16"), Shared)
    assert files(fast) == files(tmp_path / "asked")
    assert manifest_of(fast)["fingerprint"] == manifest_of(tmp_path / "asked")["fingerprint"]
    explain_here(tmp_path / "exact", replace(config, precision="float32"), Shared)
    assert files(fast) != files(tmp_path / "exact")


@pytest.mark.parametrize("seconds", [SLOW, {"float32": 10.0, "bfloat16": 9.5}, {"float32": 0.0}])
def test_float32_by_choice_is_float32_to_the_byte(config, tmp_path: Path, clock: Clock, seconds) -> None:
    asked = clock(**seconds)
    explain_here(tmp_path / "auto", config, Shared)
    assert asked
    explain_here(tmp_path / "exact", replace(config, precision="float32"), Shared)
    assert files(tmp_path / "auto") == files(tmp_path / "exact")
    assert manifest_of(tmp_path / "auto")["fingerprint"] == manifest_of(tmp_path / "exact")["fingerprint"]
    assert verify_run(RunStore(str(tmp_path / "auto"))).faults == []


@pytest.mark.parametrize(
    "setting",
    [{"pilot": "0"}, {"pilot": "auto"}, {"pilot": str(PILOT - 1)}, {"keep_hidden": True}],
)
def test_without_a_pilot_it_is_float32(config, tmp_path: Path, clock: Clock, setting: dict[str, Any]) -> None:
    asked = clock(**FAST)
    explain_here(tmp_path / "run", replace(config, **setting), Shared)
    assert not asked
    assert chosen(tmp_path / "run") == "float32"
    assert manifest_of(tmp_path / "run")["precision"]["reason"]


@pytest.mark.parametrize("setting", [{"engine": "fused"}, {"engine": "alibi"}])
def test_a_fixed_rule_is_float32(config, tmp_path: Path, clock: Clock, setting: dict[str, Any]) -> None:
    asked = clock(**FAST)
    fixed = {"method": "gausslegendre", "n_steps": 2, "pilot": "auto", "tolerance": 0.005, "risk": 0.01, "limit": 3}
    explain_here(tmp_path / "run", replace(config, **fixed, **setting), Shared)
    assert not asked
    assert chosen(tmp_path / "run") == "float32"
    assert read_status(RunStore(str(tmp_path / "run"))).precision == "float32"


def test_a_processor_without_bfloat16_tries_nothing(config, tmp_path: Path, clock: Clock, monkeypatch) -> None:
    asked = clock(**FAST)
    monkeypatch.setattr(runtime, "faster_products", lambda: ((), "no such instructions"))
    explain_here(tmp_path / "run", config, Shared)
    assert not asked
    assert read_status(RunStore(str(tmp_path / "run"))).precision == "float32: no such instructions"


# However it is interrupted.


@pytest.mark.parametrize(("method", "after"), [("pilot", 0), ("explain", 0), ("explain", 3)])
def test_an_interrupted_run_ends_with_the_same_bytes(fast, config, tmp_path, clock, method: str, after: int) -> None:
    with pytest.raises(RunStoppedError):
        explain_here(tmp_path / "run", config, interrupted(method, after))
    assert chosen(tmp_path / "run") == ("auto" if method == "pilot" else "bfloat16")
    if method == "explain":
        asked = clock(**SLOW)  # nobody asks again
        asked.clear()
    explain_here(tmp_path / "run", config, Shared)
    assert files(tmp_path / "run") == files(fast)
    assert manifest_of(tmp_path / "run")["fingerprint"] == manifest_of(fast)["fingerprint"]
    if method == "explain":
        assert not asked


def test_a_run_goes_on_in_what_it_has_chosen_or_not_at_all(fast: Path, config: ExplainConfig) -> None:
    (fast / "attributions" / "chunk-00002.parquet").unlink()
    with pytest.raises(RunMismatchError, match="precision: bfloat16 there, float32 now"):
        explain_here(fast, replace(config, precision="float32"), Shared)
    before = files(fast)
    assert explain_here(fast, replace(config, precision="bfloat16"), Shared).computed == 1
    assert files(fast).items() >= before.items()
    assert verify_run(RunStore(str(fast))).faults == []


def test_before_there_are_results_another_precision_means_another_pilot(config, tmp_path, clock: Clock) -> None:
    class Fails(Shared):
        def explain(self, *_: Any) -> Any:
            raise KeyboardInterrupt

    asked = clock(**FAST)
    with pytest.raises(RunStoppedError):
        explain_here(tmp_path / "run", replace(config, precision="float32"), Fails)
    assert not asked
    with pytest.raises(RunStoppedError):
        explain_here(tmp_path / "run", config, Fails)
    assert chosen(tmp_path / "run") == "bfloat16"
    explain_here(tmp_path / "run", replace(config, precision="float32"), Shared)
    assert chosen(tmp_path / "run") == "float32"
    assert "precision" not in manifest_of(tmp_path / "run")


# The pilot's rows, and the promise.


def test_rows_of_the_pilot_are_final_where_the_runs_own_rule_was_enough(fast: Path, config: ExplainConfig) -> None:
    pilot = {row["id"]: row for row in pq.read_table(fast / "pilot.parquet").to_pylist()}
    rows = {row["id"]: row for table in RunStore(str(fast)).results.each() for row in table.to_pylist()}
    assert pilot
    assert {id: rows[id] for id in pilot} == pilot
    assert {row["status"] for row in pilot.values()} == {"converged"}
    assert all(row["error_estimate"] <= config.tolerance for row in pilot.values())
    assert len(rows) == ROWS - 4
    others = {tuple(row["input_ids"]): row["probabilities"] for id, row in rows.items() if id not in pilot}
    alike = [(row["probabilities"], others.get(tuple(row["input_ids"]))) for row in pilot.values()]
    compared = [(one, other) for one, other in alike if other]
    assert compared
    assert all(one == pytest.approx(other, abs=2e-7) for one, other in compared)  # but for the batch, bfloat16's too


def test_recomputing_is_done_in_what_was_chosen_and_holds_it_against_float32(fast: Path) -> None:
    again = recompute(RunStore(str(fast)), 1.0, executor=InProcess(Shared))
    assert again.agrees
    assert again.kept is not None
    assert again.largest < 0.05
    assert again.kept.rows == ROWS - 4 - len(pq.read_table(fast / "pilot.parquet"))


def test_an_audit_allows_what_the_chosen_precision_rounds(config, tmp_path: Path, clock: Clock, monkeypatch) -> None:
    from ig_worker.run.steps import finish

    seen = []
    plain = finish.worst_beyond
    monkeypatch.setattr(finish, "worst_beyond", lambda a, config: (seen.append(config.precision), plain(a, config))[1])
    clock(**FAST)
    explain_here(tmp_path / "run", replace(config, audit=0.3), Shared)
    assert seen == ["bfloat16"]


def test_a_precision_that_was_asked_for_and_rounds_too_much_promises_nothing(
    config, tmp_path, clock, tiny_models
) -> None:
    clock()
    sharp = replace(config, precision="bfloat16", model=str(tiny_models["distilbert"]), tolerance=0.005, risk=0.4)
    explain_here(tmp_path / "run", sharp, Shared)
    manifest = manifest_of(tmp_path / "run")
    assert manifest["identity"]["calibration"]["certified"] is None
    assert promise(manifest) == "no promise: what bfloat16 rounds is more than the tolerance leaves, or is not known"
    assert "nothing is promised" in read_status(RunStore(str(tmp_path / "run"))).precision


def test_a_preview_says_what_may_be_chosen(config: ExplainConfig, clock: Clock) -> None:
    def line(config: ExplainConfig) -> str:
        (found,) = [text for text in check_input(config).lines() if text.startswith("precision")]
        return found.removeprefix("precision").strip()

    assert line(config) == "float32, or what the pilot finds faster, and its rounding lost in the tolerance"
    assert line(replace(config, pilot="0")) == "float32: there is no pilot to try others"
    assert line(replace(config, precision="tf32")) == "tf32"
