"""Verification finds whatever was done to a run, and repair removes what can be made again, no more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ig_worker import schema
from ig_worker.data.faults import RowFault
from ig_worker.run.chunk.recompute import differences
from ig_worker.run.chunk.records import Binding
from ig_worker.run.chunk.tables import quarantine_table
from ig_worker.run.config import PRECISIONS, ExplainConfig
from ig_worker.run.identity import fingerprint
from ig_worker.run.steps.prepare import data_fingerprint
from ig_worker.run.steps.recompute import allowed_difference
from ig_worker.run.steps.verify import repair, verify_run
from ig_worker.run.steps.verify_rows import value_faults
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from jobs import verify
from tests.run.in_process import explain_here
from tests.run.made_runs import MARK, commit, explained, make_run


def commit_of_another_run(run: Path) -> None:
    """With the same rows, and copied over: a run does not commit under a fingerprint that is not its own."""
    store = make_run(run.with_name("another"))
    (run.with_name("another") / "run.json").unlink()
    commit(store, 1, mark="other")
    shutil.copy(run.with_name("another") / RESULT, run / RESULT)


def input_of_another_run(run: Path) -> None:
    rows = [{"id": f"r{i}", "text": "other", "label": 1} for i in (2, 3)]
    table = pa.Table.from_pylist(rows, schema=schema.INPUT)
    RunStore(str(run)).chunks.write(1, table, {}, data_fingerprint({"data": "e"}, 8))


def quarantine_for_another_reason(run: Path) -> None:
    """Well-formed, for the same row, and under the name of the one that is there."""
    store = RunStore(str(run))
    (named,) = (run / "quarantine").iterdir()
    store.results.commit(
        2, explained("r4"), quarantine_table(2, store.chunks.read(2)[0], {1: RowFault("other", "")}), MARK
    )
    commit(store, 2)
    next(path for path in (run / "quarantine").iterdir() if path != named).rename(named)


def other_labels(run: Path) -> None:
    store = RunStore(str(run))
    table = explained("r2", "r3")
    table = table.set_column(1, table.schema.field("label"), pa.array([1, 0], pa.int32()))
    store.results.commit(1, table, quarantine_table(1, store.chunks.read(1)[0], {}), MARK)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sound") / "run"
    make_run(place)
    return place


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "run"))


def test_a_sound_run_is_found_sound(run: Path) -> None:
    found = verify_run(RunStore(str(run)))
    assert found.faults == []
    assert (found.chunks, found.rows, found.explained, found.quarantined) == (4, 8, 7, 1)
    assert found.lines() == ["verified: 7 of 8 rows explained, 1 quarantined, 4 chunks"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def edit_manifest(run: Path, change: Callable[[dict], None]) -> None:
    manifest = json.loads((run / "run.json").read_text())
    change(manifest)
    (run / "run.json").write_text(json.dumps(manifest))


RESULT, INPUT = "attributions/chunk-00001.parquet", "chunks/chunk-00001.parquet"
DAMAGES: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "truncated result": (lambda run: truncate(run / RESULT), "cannot be read", [RESULT]),
    "truncated input": (lambda run: truncate(run / INPUT), "cannot be read", [RESULT, INPUT]),
    "missing result": (lambda run: (run / RESULT).unlink(), "is gone", []),
    "missing input": (lambda run: (run / INPUT).unlink(), "is gone", [RESULT]),
    "duplicated result": (
        lambda run: shutil.copy(run / "attributions/chunk-00003.parquet", run / RESULT),
        "says that it is chunk 3",
        [RESULT],
    ),
    "result too many": (
        lambda run: shutil.copy(run / RESULT, run / "attributions/chunk-00004.parquet"),
        "belongs to no chunk of this run",
        ["attributions/chunk-00004.parquet"],
    ),
    "result of another run": (commit_of_another_run, "another run", [RESULT]),
    "duplicated input": (
        lambda run: shutil.copy(run / "chunks/chunk-00003.parquet", run / INPUT),
        "says that it is chunk 3",
        [RESULT, INPUT],
    ),
    "input too many": (
        lambda run: shutil.copy(run / INPUT, run / "chunks/chunk-00004.parquet"),
        "belongs to no chunk of this run",
        ["chunks/chunk-00004.parquet"],
    ),
    "input of another run": (input_of_another_run, "holds rows of another data set", [RESULT, INPUT]),
    "other labels": (other_labels, "has other labels than its input chunk", [RESULT]),
    "another quarantine": (
        quarantine_for_another_reason,
        "which holds other rows than it was named for",
        ["attributions/chunk-00002.parquet"],
    ),
    "rows of another chunk": (
        lambda run: commit(RunStore(str(run)), 1, ids=["r2", "r6"]),
        "(1 missing, 1 too many: 'r3', 'r6')",
        [RESULT],
    ),
    "a row too few": (lambda run: commit(RunStore(str(run)), 1, ids=["r2"]), "(1 missing, 0 too many: 'r3')", [RESULT]),
    "rows in another order": (lambda run: commit(RunStore(str(run)), 1, ids=["r3", "r2"]), "has other rows", [RESULT]),
    "lost quarantine": (
        lambda run: next((run / "quarantine").iterdir()).unlink(),
        "which is gone",
        ["attributions/chunk-00002.parquet"],
    ),
    "truncated quarantine": (
        lambda run: truncate(next((run / "quarantine").iterdir())),
        "which cannot be read",
        ["attributions/chunk-00002.parquet"],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_what_can_be_made_again_is_removed(run: Path, damage: str) -> None:
    do, message, removed = DAMAGES[damage]
    do(run)
    store = RunStore(str(run))
    found = verify_run(store)
    assert any(message in str(fault) for fault in found.faults), found.faults
    assert found.beyond_repair == []
    before = set(run.rglob("*.parquet"))
    assert repair(store, found) == sorted(removed)
    assert set(run.rglob("*.parquet")) == before - {run / name for name in removed}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest["data"].update(rows=7), "is not of the run that all files in chunks are of"),
        (lambda manifest: manifest["identity"].update(n_steps=5), "a fingerprint that is not of its settings"),
        (lambda manifest: manifest.update(state="stopped"), "its checksum differs"),
    ],
)
def test_an_edited_manifest_is_found_and_left_alone(run: Path, change, message: str) -> None:
    edit_manifest(run, change)
    store = RunStore(str(run))
    found = verify_run(store)
    assert any(message in str(fault) for fault in found.faults), found.faults
    assert [fault.file for fault in found.beyond_repair] == ["run.json"] * len(found.faults)
    assert repair(store, found) == []


def shrink(manifest: dict) -> None:
    manifest["data"].update(rows=6, chunks=3)
    manifest["counts"].update(explained=5)


def rebind(manifest: dict) -> None:
    manifest["identity"].update(n_steps=5)
    manifest.update(fingerprint=fingerprint(manifest["identity"]), config={"n_steps": 5})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest["data"].update(rows=9), "says 4 chunks, which 9 rows do not make"),
        (lambda manifest: manifest["data"].update(digest="e"), "names two data sets"),
        (lambda manifest: manifest["config"].update(n_steps=5), "settings that are not of its fingerprint: n_steps"),
        (lambda manifest: manifest["counts"].update(explained=8), "says 8 rows are explained, the files hold 7"),
        (shrink, "is not of the run that all files in chunks are of"),
        (rebind, "is not of the run that all files in attributions are of"),
    ],
)
def test_a_manifest_that_was_edited_with_its_checksum_is_found_and_removes_nothing(run, change, message: str) -> None:
    store = RunStore(str(run))
    manifest = store.manifest.existing()
    change(manifest)
    store.manifest.write(manifest)
    found = verify_run(store)
    assert any(message in str(fault) for fault in found.faults), found.faults
    before = sorted(run.rglob("*"))
    assert repair(store, found) == []
    assert sorted(run.rglob("*")) == before


def test_a_quarantine_file_that_no_result_names_is_no_fault(run: Path) -> None:
    (run / "quarantine" / "chunk-00001-000000000000.parquet").write_bytes(b"left by a crash")
    found = verify_run(RunStore(str(run)))
    assert found.faults == []
    assert "note: 1 files in quarantine that no result names" in found.lines()[0]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_single_flipped_bit_anywhere_is_found(sound: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(sound.rglob("*.parquet"))))
    content = path.read_bytes()
    position, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(content)
    flipped[position] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        assert verify_run(RunStore(str(sound))).faults
    finally:
        path.write_bytes(content)


def altered(**columns: object) -> pa.Table:
    table = explained("a", "b")
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (altered(attributions=[[0.0, 0.25], [0.0, np.nan]]), "1 rows with values that are not finite, such as 'b'"),
        (altered(delta=[0.0, np.inf]), "not finite"),
        (altered(input_ids=[[2, 9], [2]]), "1 rows with lists of different lengths, such as 'b'"),
        (altered(probabilities=[[0.25, 0.75], [0.75, 0.75]]), "do not add up to 1"),
        (altered(delta=[0.0, 0.1]), "a delta that is not of their attributions"),
        (altered(attributions=[[0.0, 0.2], [0.0, 0.25]]), "a delta that is not of their attributions, such as 'a'"),
        (altered(error_estimate=[None, 0.001]), "an error estimate, or none, against their status"),
        (altered(status=["converged", "fixed"]), "an error estimate, or none, against their status, such as 'a'"),
        (
            altered(
                status=["converged"] * 2,
                error_estimate=[0.001, 0.001],
                attributions=[[0.0, 0.25], [0.0, 0.26]],
                delta=[0.0, 0.01],
            ),
            "a delta above their error estimate, such as 'b'",
        ),
    ],
)
def test_numbers_that_do_not_agree_with_each_other_are_found(table: pa.Table, message: str) -> None:
    assert any(message in fault for fault in value_faults(table)), value_faults(table)


def test_numbers_that_agree_are_no_fault() -> None:
    assert value_faults(explained("a", "b")) == []
    assert value_faults(explained()) == []


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> Path:
    """A run of a real network, made in this process."""

    place = tmp_path_factory.mktemp("real")
    texts = ["good film", "a dull plot", "", "joy", "awful awful end"]
    rows = [{"id": f"r{i}", "text": text, "label": 1} for i, text in enumerate(texts)]
    (place / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = ExplainConfig(
        dataset=str(place / "reviews.jsonl"), model=str(tiny_models["distilbert"]), chunk_rows=2, max_length=16
    )

    explain_here(place / "run", config)
    return place


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow is at work in this process already, and its threads are set."""
    monkeypatch.setattr("ig_worker.models.runtime.configure", lambda *_: None)


@pytest.mark.usefixtures("configured")
def test_the_job_says_what_it_found_and_ends_with_its_code(real: Path, tmp_path: Path, capsys) -> None:
    run = Path(shutil.copytree(real / "run", tmp_path / "run"))
    assert verify.main([str(run), "--recompute", "0.5"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "verified: 4 of 5 rows explained, 1 quarantined, 3 chunks"
    assert shown[1] == "recomputed 3 rows: largest relative L1 difference 0.00e+00, allowed 0.01"
    truncate(run / RESULT)
    assert verify.main([str(run)]) == 5
    assert capsys.readouterr().out.startswith(f"{RESULT} cannot be read")
    assert verify.main([str(run), "--repair"]) == 4
    assert "removed 1 files; run the same jobs.explain command again" in capsys.readouterr().out
    edit_manifest(run, lambda manifest: manifest.update(state="stopped"))
    assert verify.main([str(run), "--repair"]) == 5


@pytest.mark.usefixtures("configured")
def test_attributions_that_the_model_does_not_give_are_found(real: Path, tmp_path: Path, capsys) -> None:
    """Well-formed and consistent, with a right checksum, and wrong: as a worker with a sick device would write."""
    run = Path(shutil.copytree(real / "run", tmp_path / "run"))
    store = RunStore(str(run))
    table, before = store.results.read(0), store.results.read_commit(0)
    turned = [{**row, "attributions": row["attributions"][::-1]} for row in table.to_pylist()]
    table = pa.Table.from_pylist(turned, schema=schema.ATTRIBUTIONS)
    store.results.commit(0, table, quarantine_table(0, store.chunks.read(0)[0], {}), before.fingerprint)
    assert verify.main([str(run)]) == 0
    assert verify.main([str(run), "--recompute", "1"]) == 5
    assert "allowed 0.01" in capsys.readouterr().out


def test_another_model_is_not_taken_for_the_runs_own(real: Path, tiny_models: dict[str, Path], capsys) -> None:
    assert verify.main([str(real / "run"), "--recompute", "1", "--model", str(tiny_models["bert"])]) == 1
    assert "is not the model of this run" in capsys.readouterr().err


def test_what_two_devices_may_be_apart_depends_on_the_precision() -> None:
    fixed = [allowed_difference(0.0, precision) for precision in PRECISIONS if precision != "auto"]
    assert fixed == sorted(fixed)
    assert fixed[0] == 1e-4
    assert allowed_difference(0.005, "float32") == 0.01
    assert allowed_difference(0.001, "bfloat16") == fixed[-1]


def test_rows_that_were_quarantined_are_not_explained_again(run: Path) -> None:
    """One of them may have ended its process."""
    seen: dict[int, tuple[str, str]] = {}

    class Worker:
        def explain_table(
            self, table: pa.Table, faults: dict[int, tuple[str, str]], _: Binding
        ) -> tuple[list, dict, float]:
            seen.update(faults)
            return [], {}, 0.0

    differences(Worker(), RunStore(str(run)), 2, Binding("", 0))
    assert list(seen) == [1]


def test_a_repair_of_what_is_no_run_leaves_nothing_there(tmp_path: Path, capsys) -> None:
    assert verify.main([str(tmp_path / "nothing"), "--repair"]) == 1
    assert "is not a run" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_a_repair_waits_for_no_driver_to_be_at_work(run: Path, capsys) -> None:
    truncate(run / RESULT)
    with Lease(RunStore(str(run)).storage).held():
        assert verify.main([str(run), "--repair"]) == 1
    assert "another driver" in capsys.readouterr().err
    assert (run / RESULT).exists()
