"""Nothing is lost: crashes before any file operation, in any order, end in the bytes of an undisturbed run.

`Disk` stands between the storage and the operating system. It can end everything before any operation, as a power cut
or `kill -9` would (nothing is cleaned up after that), and it can let two workers take turns, operation by operation.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ig_worker.data.plan import chunk_count, parse_chunk_name
from ig_worker.data.sources import open_documents
from ig_worker.errors import RunDamagedError, RunStoppedError
from ig_worker.run.config import DataConfig, ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.steps import explain as driver
from ig_worker.run.steps.prepare import prepare
from ig_worker.run.steps.verify import repair, verify_run
from ig_worker.run.store import filesystem as storage_module
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import StandIn, commit, explain_here

thorough = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Crash(BaseException):
    """The process has gone."""


class Disk:
    """The operating system, as the storage sees it."""

    def __init__(self) -> None:
        self.left: int | None = None  # operations until the crash
        self.pause: Callable[[], None] = lambda: None  # before each

    def operation(self) -> None:
        self.pause()
        if self.left is not None:
            if self.left <= 0:
                raise Crash
            self.left -= 1

    def __getattr__(self, name: str) -> Any:
        """What the storage asks of `os`."""
        found = getattr(os, name)
        if name not in ("makedirs", "replace", "fsync", "unlink", "open"):
            return found

        def call(*args: Any, **options: Any) -> Any:
            self.operation()
            return None if name == "fsync" else found(*args, **options)  # there is no real power cut, and it is slow

        return call

    @contextmanager
    def open_file(self, path: str, mode: str) -> Iterator[Any]:
        def write_in_halves(data: Any) -> None:
            content = bytes(data)
            for half in (content[: len(content) // 2], content[len(content) // 2 :]):
                stream.write(half)
                stream.flush()
                self.operation()

        self.operation()
        with builtins.open(path, mode) as stream:
            yield SimpleNamespace(write=write_in_halves, flush=stream.flush, fileno=stream.fileno)

    @contextmanager
    def crashing(self, after: int) -> Iterator[None]:
        """Everything ends after so many operations."""
        self.left = after
        try:
            yield
        except Crash:
            pass
        finally:
            self.left = None


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made, delete = Disk(), Storage.delete

    def counted(self: Storage, name: str) -> None:
        made.operation()
        delete(self, name)
        made.operation()

    monkeypatch.setattr(storage_module, "os", made)
    monkeypatch.setattr(storage_module, "open", made.open_file, raising=False)
    monkeypatch.setattr(Storage, "delete", counted)
    return made


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model."""
    files = SimpleNamespace(
        weights_digest="w", tokenizer_digest="t", shape=SimpleNamespace(logits=2, outputs="classes", assumed=False)
    )

    def check(config: ExplainConfig, store: RunStore, deadline: Deadline) -> driver._Input:
        return driver._Input(config, files, open_documents(config.spec()), None)

    monkeypatch.setattr(driver, "_check", check)


class Night:
    """A data set, its run, and what an undisturbed run of it holds."""

    def __init__(self, folder: Path, empty: list[bool], chunk_rows: int) -> None:
        self.folder = folder
        self.ids = [f"r{i}" for i in range(len(empty))]
        rows = [
            {"id": id, "text": "" if fault else "good", "label": 1} for id, fault in zip(self.ids, empty, strict=True)
        ]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        others = "".join(json.dumps({"id": f"o{i}", "text": "bad"}) + "\n" for i in range(200))
        (folder / "other.jsonl").write_text(others)
        self.config = ExplainConfig(
            dataset=str(folder / "rows.jsonl"),
            model="m",
            chunk_rows=chunk_rows,
            max_quarantined="100%",
            batch_tokens=512,
        )
        self.chunks = chunk_count(len(rows), chunk_rows)
        explain_here(folder / "calm", self.config, StandIn)
        self.calm = content(folder / "calm")
        self.place = folder / "run"

    @property
    def store(self) -> RunStore:
        return RunStore(str(self.place))

    def start(self) -> None:
        explain_here(self.place, self.config, StandIn)

    def readers_are_safe(self) -> None:
        """Whatever has happened: no row is there twice, and every file that is read is whole."""
        store = self.store
        if store.manifest.read() is not None:
            seen = rows_of(store)
            assert len(seen) == len(set(seen))
            assert set(seen) <= set(self.ids)

    def ends_well(self) -> None:
        self.start()
        found = verify_run(self.store)
        assert found.faults == []
        assert sorted(rows_of(self.store)) == sorted(self.ids)
        assert content(self.place) == self.calm


def rows_of(store: RunStore) -> list[str]:
    ids = [id for table in store.results.each(["id"]) for id in table.column("id").to_pylist()]
    return ids + store.results.quarantined().column("id").to_pylist()


def content(run: Path) -> dict[str, bytes]:
    """All that a reader sees of a run; summary.json and attempts/ say how long it took."""
    files = (path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".tmp-"))
    apart = ("summary.json", "attempts")
    return {name: path.read_bytes() for path in files if not (name := str(path.relative_to(run))).startswith(apart)}


@contextmanager
def night(empty: list[bool], chunk_rows: int) -> Iterator[Night]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield Night(folder, empty, chunk_rows)
    finally:
        shutil.rmtree(folder)


rows = st.lists(st.booleans(), min_size=1, max_size=6)  # of each row, whether its text is empty
chunk_rows = st.integers(1, 4)
instants = st.integers(0, 90)  # file operations; an undisturbed run of 6 rows takes about 120
FOLDERS = ("chunks", "attributions", "quarantine")


def is_settled(manifest: dict[str, Any]) -> bool:
    """Whether rows may be explained by now: nobody is told to before the pilot's outcome is in the fingerprint."""
    return "fingerprint" in manifest and manifest["identity"]["calibration"] is not None


@st.composite
def mischief(draw: st.DrawFn) -> Callable[[Night, Disk], None]:
    """Something that befalls a run between two starts, or instead of the end of one."""
    kind = draw(st.sampled_from(["start", "orphan", "delete", "another data set"]))
    instant, index, folder = draw(instants), draw(st.integers(0, 5)), draw(st.sampled_from(FOLDERS[:2]))

    def happen(night: Night, disk: Disk) -> None:
        store = night.store
        manifest = store.manifest.read() or {}
        with disk.crashing(instant):
            if kind == "start":
                night.start()
            elif kind == "orphan" and is_settled(manifest) and index in store.chunks.indexes():
                commit(store, index, manifest["fingerprint"])
            elif kind == "delete":
                (night.place / folder / f"chunk-{index:05d}.parquet").unlink(missing_ok=True)
            elif kind == "another data set" and manifest.get("state", "preparing") == "preparing":
                # So many rows that it does not come to its end, or it would be another run.
                other = DataConfig(dataset=str(night.folder / "other.jsonl"), limit=2 * instant + 9, chunk_rows=9)
                prepare(store, other)

    return happen


@thorough
@given(rows, chunk_rows, st.lists(mischief(), max_size=6))
def test_crashes_and_orphans_lose_no_row_and_double_none(disk: Disk, empty, chunk_rows: int, events) -> None:
    with night(empty, chunk_rows) as run:
        for happen in events:
            happen(run, disk)
            run.readers_are_safe()
        run.ends_well()


@pytest.mark.parametrize("first", range(3))
def test_a_crash_before_each_single_operation_of_a_run(disk: Disk, first: int) -> None:
    with night([False, True, False], 2) as run:
        for instant in range(first, 400, 3):
            with disk.crashing(instant):
                run.start()
                break
            run.readers_are_safe()
            run.ends_well()
            shutil.rmtree(run.place)
        assert 20 < instant < 399


@thorough
@given(rows, chunk_rows, st.integers(0, 30), st.integers(0, 30), st.data())
def test_damage_is_repaired_whenever_the_repair_crashes(disk: Disk, empty, chunk_rows, instant, later, data) -> None:
    with night(empty, chunk_rows) as run:
        run.start()
        paths = sorted(path for folder in FOLDERS for path in (run.place / folder).glob("*.parquet"))
        for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3, unique=True)):
            damaged = bytearray(path.read_bytes())
            damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            path.write_bytes(damaged)
        with disk.crashing(instant), Lease(run.store.storage).held():
            repair(run.store, verify_run(run.store))
        with disk.crashing(later), suppress(RunDamagedError):  # where it meets what the repair did not come to
            run.start()
        repair(run.store, verify_run(run.store))
        run.ends_well()


class Crashes(StandIn):
    def explain(self, *_: Any) -> Any:
        raise Crash


def test_an_orphan_of_other_settings_commits_nothing() -> None:
    """Settings may change until there is a result, and a driver that was killed leaves its actors behind."""
    with night([False, False], 1) as run:
        with pytest.raises(Crash):
            explain_here(run.place, replace(run.config, tolerance=0.01), Crashes)
        theirs = run.store.manifest.existing()["fingerprint"]
        run.start()
        with pytest.raises(RunStoppedError, match="goes on with other settings"):
            commit(run.store, 0, theirs)
        run.ends_well()


def test_an_input_chunk_under_anothers_name_is_not_explained() -> None:
    with night([False, False], 1) as run:
        run.start()
        shutil.copy(run.place / "chunks/chunk-00000.parquet", run.place / "chunks/chunk-00001.parquet")
        (run.place / "attributions/chunk-00001.parquet").unlink()
        with pytest.raises(RunDamagedError, match=r"chunks/chunk-00001\.parquet says that it is chunk 0"):
            run.start()
        (run.place / "chunks/chunk-00001.parquet").unlink()
        run.ends_well()


def test_an_input_chunk_that_can_be_read_but_was_not_written_is_not_explained() -> None:
    with night([False, False], 2) as run:
        run.start()
        path = run.place / "chunks/chunk-00000.parquet"
        path.write_bytes(readable_damage(path.read_bytes()))
        (run.place / "attributions/chunk-00000.parquet").unlink()
        with pytest.raises(RunDamagedError, match="does not hold what was written: its checksum differs; delete that"):
            run.start()
        path.unlink()
        run.ends_well()


def readable_damage(content: bytes) -> bytes:
    """A file with other values and no other fault."""
    values = pq.ParquetFile(io.BytesIO(content)).read()
    for position in range(4, len(content)):
        damaged = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        with suppress(Exception):
            found = pq.ParquetFile(io.BytesIO(damaged)).read()
            found.validate(full=True)
            if found.schema.equals(values.schema) and found.column("id") != values.column("id"):
                return damaged
    raise AssertionError("every flipped bit is noticed")


class Turns:
    """Lets threads go on one file operation at a time, in a given order."""

    def __init__(self, disk: Disk, workers: dict[str, Callable[[], None]]) -> None:
        self._back = threading.Semaphore(0)
        self._go = {name: threading.Semaphore(0) for name in workers}
        self._crashed: set[str] = set()
        self._over: set[str] = set()
        self._errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._live, args=item, name=item[0]) for item in workers.items()]
        disk.pause = self._pause
        for thread in self._threads:
            thread.start()

    def _live(self, name: str, worker: Callable[[], None]) -> None:
        self._go[name].acquire()
        try:
            worker()
        except Crash:
            pass
        except Exception as error:  # noqa: BLE001 - the test's own thread asks for it
            self._errors.append(error)
        self._over.add(name)
        self._back.release()

    def _pause(self) -> None:
        name = threading.current_thread().name
        if name in self._go:
            self._back.release()
            self._go[name].acquire()
            if name in self._crashed:
                raise Crash

    def step(self, name: str) -> None:
        if name not in self._over:
            self._go[name].release()
            self._back.acquire()

    def play(self, order: list[str], crashing: tuple[str, int] | None) -> None:
        for turn, name in enumerate(order):
            if crashing is not None and turn == crashing[1]:
                self._crashed.add(crashing[0])
            self.step(name)
        for name in self._go:
            while name not in self._over:
                self.step(name)
        for thread in self._threads:
            thread.join()
        assert self._errors == []


@thorough
@given(
    st.lists(st.sampled_from(["worker", "orphan"]), max_size=40),
    st.none() | st.tuples(st.sampled_from(["worker", "orphan"]), st.integers(0, 20)),
    st.sampled_from([(), (0,), (0, 2)]),
)
def test_two_commits_of_one_chunk_at_once_leave_one_of_them_whole(disk: Disk, order, crashing, guilty) -> None:
    """Also where only one of them has heard which rows end their process."""
    with night([False, True, False, False], 3) as run:
        run.start()
        before = (run.place / "attributions/chunk-00001.parquet").read_bytes()
        mark = run.store.manifest.existing()["fingerprint"]
        (run.place / "attributions/chunk-00000.parquet").unlink()
        turns = Turns(
            disk, {"worker": lambda: commit(run.store, 0, mark, guilty), "orphan": lambda: commit(run.store, 0, mark)}
        )
        turns.play(order, crashing)
        disk.pause = lambda: None
        run.readers_are_safe()
        run.start()
        assert verify_run(run.store).faults == []
        assert sorted(rows_of(run.store)) == sorted(run.ids)
        assert (run.place / "attributions/chunk-00001.parquet").read_bytes() == before
        if not guilty:
            assert content(run.place) == run.calm


@thorough
@given(rows, chunk_rows, st.integers(1, 4), st.integers(0, 6))
def test_the_chunks_are_full_in_order_and_named_by_their_number(disk: Disk, empty, chunk_rows, rest, offset) -> None:
    """As files, whatever part of the data set is asked for."""
    with night(empty, chunk_rows) as run:
        config = DataConfig(
            dataset=run.config.dataset, chunk_rows=chunk_rows, offset=min(offset, len(empty) - 1), limit=rest
        )
        store = RunStore(str(run.folder / "part"))
        prepared = prepare(store, config)
        names = sorted(path.stem for path in (run.folder / "part" / "chunks").iterdir())
        indexes = [parse_chunk_name(name) for name in names]
        assert indexes == list(range(prepared.chunks))
        tables = [store.chunks.read(index)[0] for index in range(prepared.chunks)]
        assert [table.num_rows for table in tables] == [prepared.rows_of(i, chunk_rows) for i in range(prepared.chunks)]
        ids = [id for table in tables for id in table.column("id").to_pylist()]
        assert ids == run.ids[config.offset :][:rest]
