"""A run's pilot: which rows it has, that it decides nothing by how the run is cut, and what is said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ig_worker.errors import RunMismatchError, RunStoppedError, UsageError
from ig_worker.explain import methods
from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.methods import Known
from ig_worker.explain.pilot import PilotEngine
from ig_worker.explain.pilot_plan import worth
from ig_worker.explain.problems import Problem
from ig_worker.models.inputs import ModelInput
from ig_worker.run import progress
from ig_worker.run.chunk.pilot import calibrate as calibrate_rows
from ig_worker.run.chunk.sampling import pilot_places
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch.executor import ON_RAY, InProcess
from ig_worker.run.identity import run_identity
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.steps.pilot_size import rows_of_pilot
from ig_worker.run.steps.promise import Kept, at_least, promise
from ig_worker.run.steps.recompute import recompute
from ig_worker.run.steps.status import read_status
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_store import RunStore
from tests.run.clusters import one_node
from tests.run.in_process import Here, Shared, explain_here, interrupted
from tests.run.test_worker import GOOD, POISON, STRANGE, ScriptedEngine, for_rows
from tests.run.test_worker import rows as scripted_rows

TEXTS = ["good film", "a dull plot and bad acting", "joy", "the actor is never boring", "awful awful awful end", ""]
ROWS, PILOT = 24, 5


@pytest.fixture
def config(tmp_path: Path, tiny_models: dict[str, Path]) -> ExplainConfig:
    """24 rows, each sixth of them empty, with a pilot of 5."""
    path = tmp_path / "reviews.jsonl"
    rows = [{"id": f"r{i}", "text": TEXTS[i % 6], "label": i % 2} for i in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ExplainConfig(
        dataset=str(path), model=str(tiny_models["distilbert"]), chunk_rows=4, max_length=16, pilot=str(PILOT),
        batch_tokens=512, actors="2",
    )  # fmt: skip


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pilot that finds something out: how many nodes, and a promise."""
    plain = PilotEngine.calibrate

    def calibrate(self: PilotEngine, problems: Any) -> Any:
        known, found = plain(self, problems)
        return replace(known, certified=0.25), found

    monkeypatch.setattr(PilotEngine, "calibrate", calibrate)


def files(run: Path) -> dict[str, bytes]:
    """Whatever the pilot and the chunks wrote."""
    return {path.name: path.read_bytes() for path in sorted(run.rglob("*.parquet"))}


def manifest_of(run: Path) -> dict[str, Any]:
    return RunStore(str(run)).manifest.existing()


def explained_ids(run: Path) -> list[str]:
    return pq.read_table(run / "pilot.parquet").column("id").to_pylist()


# Which rows.


def test_the_rows_of_a_pilot_are_those_with_the_least_hashes_however_they_are_cut() -> None:
    ids = [f"r{i}" for i in range(1000)]
    small = [(id, i // 7, i % 7) for i, id in enumerate(ids)]
    large = [(id, i // 256, i % 256) for i, id in enumerate(ids)]
    chosen = [ids[7 * chunk + position] for chunk, position in pilot_places(small, 20)]
    assert chosen == [ids[256 * chunk + position] for chunk, position in pilot_places(reversed(large), 20)]
    assert len(set(chosen)) == 20
    assert [ids[7 * chunk + position] for chunk, position in pilot_places(small, 10)] == chosen[:10]
    assert len(pilot_places(small[:3], 20)) == 3


@pytest.mark.parametrize(
    ("settings", "total", "rows"),
    [
        ({}, 100, 0),
        ({"pilot": "7"}, 100, 7),
        ({"pilot": "700"}, 100, 100),
        ({"pilot": "0"}, 10**6, 0),
        ({"method": "gausslegendre"}, 10**6, 0),
    ],
)
def test_how_many_rows_a_pilot_has(settings: dict[str, str], total: int, rows: int) -> None:
    assert rows_of_pilot(ExplainConfig(**settings), total) == rows


def test_an_automatic_pilot_costs_little_and_grows_with_the_data_set() -> None:
    sizes = [rows_of_pilot(ExplainConfig(), 10**power) for power in range(8)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0
    assert all(size <= 0.02 * 10**power for power, size in enumerate(sizes))
    assert all(worth(size) - size <= 0.02 * 10**power + 1 for power, size in enumerate(sizes))
    assert worth(154) > 2 * 154  # what a certifying pilot takes is no secret


@pytest.mark.parametrize(
    "setting", [{"risk": 0.0}, {"risk": 1.0}, {"risk": math.nan}, {"pilot": "some"}, {"pilot": "-1"}, {"pilot": ""}]
)
def test_settings_that_cannot_be_right_are_refused(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(UsageError, match=f"--{name} is"):
        ExplainConfig(**setting).check()


@pytest.mark.parametrize("setting", [{"risk": 0.05}, {"pilot": "5"}])
def test_a_fixed_rule_has_no_pilot(setting: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="which --method gausslegendre does not read"):
        ExplainConfig(method="gausslegendre", **setting).check()


# One run.


@pytest.mark.usefixtures("finds")
def test_the_rows_of_the_pilot_are_explained_once_and_lie_in_their_chunks(config, tmp_path, monkeypatch) -> None:
    explain_here(tmp_path / "run", config, Shared)
    store, manifest = RunStore(str(tmp_path / "run")), manifest_of(tmp_path / "run")
    pilot = {row["id"]: row for row in pq.read_table(tmp_path / "run" / "pilot.parquet").to_pylist()}
    assert len(pilot) == PILOT
    rows = {row["id"]: row for table in store.results.each() for row in table.to_pylist()}
    assert {id: rows[id] for id in pilot} == pilot
    assert len(rows) == ROWS - 4  # each sixth is empty
    known = Calibration.of_json(manifest["identity"]["calibration"])
    assert (known.rows, known.certified) == (PILOT, 0.25)
    assert known.level != CAUTIOUS.level
    assert manifest["pilot"].keys() == {"rows", "certified", "evaluations", "seconds"}
    assert (manifest["pilot"]["rows"], manifest["pilot"]["certified"]) == (PILOT, 0.25)
    assert verify_run(store).faults == []


def test_the_engine_of_the_chunks_gets_the_others_only_and_the_calibration(config, tmp_path, monkeypatch) -> None:
    from ig_worker.run.chunk import engines

    seen: list[tuple[int, Calibration | None]] = []

    def build(*arguments: Any, known: Known) -> Any:
        engine = plain(*arguments, known=known)
        explain = engine.explain
        engine.explain = lambda problems: (seen.append((len(problems), known.calibration)), explain(problems))[1]
        return engine

    plain = engines.build_engine
    monkeypatch.setattr(engines, "build_engine", build)
    explain_here(tmp_path / "run", config, Here)
    assert sum(count for count, _ in seen) == ROWS - 4 - PILOT
    content = manifest_of(tmp_path / "run")["identity"]["calibration"]
    assert {known for _, known in seen} == {Calibration.of_json(content)}


def test_other_chunks_give_the_same_pilot(config: ExplainConfig, tmp_path: Path) -> None:
    for rows in (3, 24):
        explain_here(tmp_path / f"run{rows}", replace(config, chunk_rows=rows), Shared)
    assert (tmp_path / "run3" / "pilot.parquet").read_bytes() == (tmp_path / "run24" / "pilot.parquet").read_bytes()
    one, two = (manifest_of(tmp_path / f"run{rows}")["identity"] for rows in (3, 24))
    assert one["calibration"] == two["calibration"]
    assert one["pilot_digest"] == two["pilot_digest"]


def test_what_cannot_be_explained_is_replaced_by_the_next(config: ExplainConfig, tmp_path: Path) -> None:
    explain_here(tmp_path / "whole", replace(config, pilot=str(ROWS)), Shared)
    order = explained_ids(tmp_path / "whole")
    assert len(order) == ROWS - 4
    gone = order[1]
    lines = [json.loads(line) for line in Path(config.dataset).read_text().splitlines()]
    labelled = [{**row, "label": None if row["id"] == gone else row["label"]} for row in lines]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    other = replace(config, dataset=str(tmp_path / "other.jsonl"), target="label")
    explain_here(tmp_path / "run", other, Shared)
    assert explained_ids(tmp_path / "run") == [id for id in order if id != gone][:PILOT]


class ScriptedPilot:
    """Calibrates by `ScriptedEngine`: raises for POISON, gives no number for STRANGE."""

    def calibrate(self, problems: Any) -> Any:
        return replace(CAUTIOUS, rows=len(problems)), ScriptedEngine().explain(problems)


@pytest.mark.parametrize("bad", [POISON, STRANGE])
def test_rows_that_fail_in_the_pilot_make_way_for_the_next(bad: int) -> None:
    offered = scripted_rows(1, bad, 2, 3, bad, 4)
    known, found = calibrate_rows(ScriptedPilot(), for_rows(ScriptedEngine()), offered, 3, GOOD)
    assert [row.position for row, _ in found] == [0, 2, 3]
    assert known.rows == 3
    assert calibrate_rows(ScriptedPilot(), for_rows(ScriptedEngine()), scripted_rows(bad, bad), 2, GOOD) == (
        CAUTIOUS,
        [],
    )


@pytest.mark.parametrize("bad", [POISON, STRANGE])
def test_a_sick_device_blames_no_row_of_the_pilot(bad: int) -> None:
    sick = Problem(ModelInput.single(np.array([STRANGE], np.int32)), np.zeros(1, np.int32))
    with pytest.raises(RunStoppedError, match="no finite number"):
        calibrate_rows(ScriptedPilot(), for_rows(ScriptedEngine()), scripted_rows(1, bad), 2, sick)


def test_hidden_attributions_are_made_for_the_rows_of_the_pilot_too(config: ExplainConfig, tmp_path: Path) -> None:
    explain_here(tmp_path / "run", replace(config, keep_hidden=True), Shared)
    assert not (tmp_path / "run" / "pilot.parquet").exists()
    assert manifest_of(tmp_path / "run")["identity"]["calibration"]["rows"] == PILOT
    rows = [row for table in RunStore(str(tmp_path / "run")).results.each() for row in table.to_pylist()]
    assert all(len(row["hidden_attributions"]) == len(row["tokens"]) for row in rows)
    assert len(rows) == ROWS - 4


def test_a_small_run_has_no_pilot(config: ExplainConfig, tmp_path: Path) -> None:
    explain_here(tmp_path / "run", replace(config, pilot="auto"), Shared)
    manifest = manifest_of(tmp_path / "run")
    assert Calibration.of_json(manifest["identity"]["calibration"]) == CAUTIOUS
    assert "pilot" not in manifest
    assert promise(manifest) == "no promise: there was no pilot"


# However it is interrupted.


@pytest.fixture
def whole(config: ExplainConfig, tmp_path: Path) -> dict[str, bytes]:
    """The files of a run that nothing disturbed."""
    explain_here(tmp_path / "whole", config, Shared)
    return files(tmp_path / "whole")


@pytest.mark.parametrize(("method", "after"), [("pilot", 0), ("explain", 0), ("explain", 3)])
def test_an_interrupted_run_ends_with_the_same_bytes(config, tmp_path, whole, method: str, after: int) -> None:
    with pytest.raises(RunStoppedError):
        explain_here(tmp_path / "run", config, interrupted(method, after))
    explain_here(tmp_path / "run", config, Shared)
    assert files(tmp_path / "run") == whole
    assert manifest_of(tmp_path / "run")["fingerprint"] == manifest_of(tmp_path / "whole")["fingerprint"]


def test_a_pilot_that_is_done_is_not_repeated_unless_other_settings_are_asked_for(config, tmp_path: Path) -> None:
    class Fails(Shared):
        def explain(self, *_: Any) -> Any:
            raise KeyboardInterrupt

    class Unwanted(Shared):
        def pilot(self, *_: Any) -> Any:
            raise AssertionError("a second pilot")

    with pytest.raises(RunStoppedError):
        explain_here(tmp_path / "run", config, Fails)
    with pytest.raises(AssertionError, match="a second pilot"):
        explain_here(tmp_path / "run", replace(config, tolerance=0.01), Unwanted)
    explain_here(tmp_path / "run", replace(config, tolerance=0.01), Shared)
    (tmp_path / "run" / "attributions" / "chunk-00002.parquet").unlink()
    assert explain_here(tmp_path / "run", replace(config, tolerance=0.01), Unwanted).computed == 1
    with pytest.raises(RunMismatchError, match=r"risk: 0.01 there, 0.05 now"):
        explain_here(tmp_path / "run", replace(config, tolerance=0.01, risk=0.05), Shared)


def test_rows_that_are_gone_are_explained_again(config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    explain_here(run, config, Shared)
    for name in ("pilot.parquet", "attributions/chunk-00000.parquet"):
        (run / name).unlink()
    capsys.readouterr()
    assert explain_here(run, config, Shared).explained == ROWS - 4
    assert "the rows of the pilot are gone" in capsys.readouterr().err
    assert verify_run(RunStore(str(run))).faults == []


def test_a_damaged_pilot_is_found_and_never_taken_for_one(config: ExplainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain_here(run, config, Shared)
    store, digest = RunStore(str(run)), manifest_of(run)["identity"]["pilot_digest"]
    rows = pq.read_table(run / "pilot.parquet")
    store.pilot.write(rows.slice(1).replace_schema_metadata(None))
    assert store.pilot.read(digest) is None
    (run / "pilot.parquet").write_bytes(b"nothing")
    assert store.pilot.read(digest) is None
    assert [fault.file for fault in verify_run(store).faults] == ["pilot.parquet"]


def test_a_run_that_another_version_of_the_engine_began_is_refused_and_kept(
    config: ExplainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(methods.METHODS, "adaptive", replace(methods.METHODS["adaptive"], version="older"))
        with pytest.raises(RunStoppedError):
            explain_here(tmp_path / "run", config, interrupted("explain", 3))
    before = files(tmp_path / "run")
    with pytest.raises(RunMismatchError, match=r"version of adaptive: older there, \d+ now"):
        explain_here(tmp_path / "run", config, Shared)
    assert before
    assert files(tmp_path / "run") == before


def test_a_fixed_rule_has_no_version_of_ours(config: ExplainConfig) -> None:
    names = [run_identity(one, "d", "w", "t").keys() for one in (config, replace(config, method="gausslegendre"))]
    assert ["version of adaptive" in keys for keys in names] == [True, False]


# What is promised.


@pytest.mark.parametrize(
    ("known", "line"),
    [
        (None, ""),
        (CAUTIOUS, "no promise: there was no pilot"),
        (replace(CAUTIOUS, rows=20), "no promise: a pilot of 20 rows is too small for a risk of 0.01"),
        (
            replace(CAUTIOUS, rows=300, certified=0.01),
            "at most 1% of the rows are expected beyond the tolerance 0.005, by 300 rows of a pilot",
        ),
    ],
)
def test_what_is_promised_is_one_line(known: Calibration | None, line: str) -> None:
    identity = {"tolerance": 0.005, "risk": 0.01, "calibration": known and known.to_json()}
    assert promise({"identity": identity}) == line


def test_a_run_says_what_it_promises(config: ExplainConfig, tmp_path: Path) -> None:
    result = explain_here(tmp_path / "run", config, Shared)
    line = "no promise: a pilot of 5 rows is too small for a risk of 0.01"
    assert f"errors: {line}" in result.lines()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["promise"] == line
    assert f"errors      {line}" in read_status(RunStore(str(tmp_path / "run"))).lines()


@pytest.mark.parametrize(
    ("hits", "rows", "share", "chance"),
    [(0, 10, 0.1, 1.0), (1, 10, 0.1, 1 - 0.9**10), (10, 10, 0.5, 0.5**10), (2, 3, 0.5, 0.5)],
)
def test_the_binomial_test_is_exact(hits: int, rows: int, share: float, chance: float) -> None:
    assert at_least(hits, rows, share) == pytest.approx(chance, rel=1e-9)


def test_a_promise_is_broken_by_more_than_chance() -> None:
    good, bad = (0.001, 0.002), (0.02, 0.002)
    assert not Kept.of([good] * 98 + [bad] * 2, 0.005, 0.01).broken
    broken = Kept.of([good] * 90 + [bad] * 10, 0.005, 0.01)
    assert broken.broken
    assert broken.line() == (
        "10 of 100 rows outside the pilot (10.00%) are beyond the tolerance; median of estimate over error 2.0; "
        "promised are at most 1.00%: more than chance explains"
    )
    assert not Kept.of([bad] * 100, 0.005, None).broken
    assert Kept.of([(math.nan, 0.0)] * 9, 0.005, 0.01).broken  # what is no number is within nothing


@pytest.mark.usefixtures("finds")
def test_recomputing_checks_the_promise_on_rows_outside_the_pilot(config: ExplainConfig, tmp_path: Path) -> None:
    explain_here(tmp_path / "run", config, Shared)
    again = recompute(RunStore(str(tmp_path / "run")), 1.0, executor=InProcess(Shared))
    assert again.kept is not None
    assert (again.rows, again.kept.rows, again.kept.certified) == (ROWS - 4, ROWS - 4 - PILOT, 0.25)
    assert again.agrees
    assert "outside the pilot" in again.lines()[1]
    assert not replace(again, kept=Kept(15, 15, 1.0, 0.25)).agrees


# On Ray.


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with one_node(cpus=3) as found:
        yield found


def test_one_actor_and_two_give_the_same_bytes(config, tmp_path: Path, address: str) -> None:
    for actors in ("1", "2"):
        explain_run(str(tmp_path / actors), replace(config, actors=actors, address=address), executor=ON_RAY)
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert (tmp_path / "1" / "pilot.parquet").exists()


@pytest.mark.heavy
def test_a_pilot_that_surveys_and_certifies_gives_the_same_bytes_however_it_runs(config, tmp_path, address) -> None:
    path = tmp_path / "more.jsonl"
    texts = [f"{TEXTS[i % 5]} {TEXTS[i // 5 % 5]} {TEXTS[i // 25 % 5]}" for i in range(125)]
    rows = [{"id": f"r{i}", "text": text, "label": i % 2} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(
        config, dataset=str(path), pilot="80", risk=0.1, chunk_rows=16, address=address, batch_tokens=128,
        length_multiple=4,
    )  # fmt: skip
    for name, crew in {"1": {"actors": "1", "lanes": 1}, "2": {"actors": "2"}, "lanes": {"lanes": 2}}.items():
        explain_run(str(tmp_path / name), replace(config, **crew), executor=ON_RAY)
    for method, after in (("pilot", 0), ("explain", 2)):
        with pytest.raises(RunStoppedError):
            explain_here(tmp_path / method, config, interrupted(method, after))
        explain_run(str(tmp_path / method), config, executor=ON_RAY)
    first = files(tmp_path / "1")
    assert [files(tmp_path / name) == first for name in ("2", "lanes", "pilot", "explain")] == [True] * 4
    manifest = manifest_of(tmp_path / "1")
    assert manifest["pilot"]["certified"] == 0.1
    assert Calibration.of_json(manifest["identity"]["calibration"]) != CAUTIOUS


def test_a_pilot_says_that_it_is_at_work_and_how_much_that_is(config, tmp_path, address, monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.5)
    explain_run(str(tmp_path / "run"), replace(config, address=address), executor=ON_RAY)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pilot, reviews 0/5")]
    assert told[0].endswith("waiting for the first actor")
    assert told[-1].endswith("one actor is at it, as much work as with 17 others")


def test_a_pilot_that_ends_its_process_is_done_without(config, tmp_path, address, monkeypatch, capsys) -> None:
    from ig_worker.run.dispatch import explain_actor
    from tests.faults.poison import PilotEnds

    monkeypatch.setattr(explain_actor, "Actor", PilotEnds)
    result = explain_run(str(tmp_path / "run"), replace(config, address=address), executor=ON_RAY)
    assert result.explained == ROWS - 4
    manifest = manifest_of(tmp_path / "run")
    assert Calibration.of_json(manifest["identity"]["calibration"]) == CAUTIOUS
    assert "the pilot failed" in manifest["pilot"]["failed"]
    assert promise(manifest) == "no promise: the pilot failed"
    assert "the run goes on without a pilot" in capsys.readouterr().err
