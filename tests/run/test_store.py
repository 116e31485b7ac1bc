"""The chunk store: atomic commits, one marker, readers that ignore what no marker names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ig_worker.data.faults import RowFault
from ig_worker.errors import RunDamagedError, StorageError, UsageError
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.run_store import RunStore
from tests.run.made_runs import CHUNK, explained, quarantined


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore(str(tmp_path / "a run with späces"))
    made.chunks.write(0, CHUNK, {1: RowFault("null_text", "text is null")})
    return made


def test_a_chunk_comes_back_as_it_was_written(store: RunStore) -> None:
    table, faults = store.chunks.read(0)
    assert table.replace_schema_metadata(None).equals(CHUNK)
    assert faults == {1: RowFault("null_text", "text is null")}
    assert store.chunks.rows(0) == 3


def test_a_commit_says_which_rows_are_where(store: RunStore) -> None:
    store.results.commit(0, explained("a"), quarantined(1, 2), "print")
    commit = store.results.commits()[0]
    assert (commit.rows, commit.quarantined, commit.fingerprint) == (1, (1, 2), "print")
    assert store.results.read(0).column("id").to_pylist() == ["a"]
    assert store.results.quarantined().column("position").to_pylist() == [1, 2]


def test_a_chunk_without_explainable_rows_is_committed_all_the_same(store: RunStore) -> None:
    store.results.commit(0, explained(), quarantined(0, 1, 2), "print")
    assert store.results.commits()[0].rows == 0
    assert store.results.quarantined().num_rows == 3


def test_committing_twice_writes_the_same_bytes(store: RunStore, tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*.parquet")}

    store.results.commit(0, explained("a"), quarantined(1, 2), "print")
    first = content()
    store.results.commit(0, explained("a"), quarantined(1, 2), "print")
    assert content() == first


def test_a_quarantine_file_that_no_marker_names_is_ignored(store: RunStore) -> None:
    store.results.commit(0, explained("a", "b"), quarantined(2), "old")
    store.results.commit(0, explained("a"), quarantined(1, 2), "new")
    assert len(store.storage.list("quarantine")) == 2
    assert store.results.quarantined().column("position").to_pylist() == [1, 2]


def test_a_crash_between_the_two_files_leaves_nothing_of_the_chunk(store: RunStore, monkeypatch) -> None:
    write = store.storage.write

    def crash_at_the_marker(name: str, data: bytes) -> None:
        if name.startswith("attributions/"):
            raise KeyboardInterrupt
        write(name, data)

    monkeypatch.setattr(store.storage, "write", crash_at_the_marker)
    with pytest.raises(KeyboardInterrupt):
        store.results.commit(0, explained("a"), quarantined(1, 2), "print")
    assert store.results.commits() == {}
    assert store.results.quarantined().num_rows == 0


def test_a_crash_during_a_write_leaves_no_file_that_readers_see(store: RunStore, monkeypatch) -> None:
    def crash(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(StorageError, match=r"cannot write .*chunk-00000\.parquet \(No space left on device\)"):
        store.results.commit(0, explained("a"), quarantined(), "print")
    assert store.results.commits() == {}
    assert os.listdir(store.storage.path("attributions")) == []


def test_half_written_files_of_a_killed_process_are_not_listed(store: RunStore) -> None:
    store.results.commit(0, explained("a"), quarantined(), "print")
    folder = Path(store.storage.path("attributions"))
    (folder / ".tmp-abc-chunk-00001.parquet").write_bytes(b"PAR1")
    assert list(store.results.commits()) == [0]


def test_a_truncated_file_is_named(store: RunStore) -> None:
    store.results.commit(0, explained("a"), quarantined(), "print")
    path = Path(store.storage.path("attributions/chunk-00000.parquet"))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(RunDamagedError, match=r"attributions/chunk-00000\.parquet cannot be read .*; delete that file"):
        store.results.commits()


def test_a_broken_page_is_named_too(store: RunStore) -> None:
    store.results.commit(0, explained("a"), quarantined(), "print")
    path = Path(store.storage.path("attributions/chunk-00000.parquet"))
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    with pytest.raises(RunDamagedError, match=r"attributions/chunk-00000\.parquet cannot be read"):
        store.results.read(0)


def test_a_chunk_under_another_chunks_name_is_noticed(store: RunStore) -> None:
    store.results.commit(0, explained("a"), quarantined(), "print")
    folder = Path(store.storage.path("attributions"))
    (folder / "chunk-00001.parquet").write_bytes((folder / "chunk-00000.parquet").read_bytes())
    with pytest.raises(RunDamagedError, match=r"chunk-00001\.parquet says that it is chunk 0"):
        store.results.commits()


@pytest.mark.parametrize("content", ["[]", "{", '"run"'])
def test_a_manifest_that_is_no_manifest_is_named(store: RunStore, content: str) -> None:
    store.storage.write("run.json", content.encode())
    with pytest.raises(RunDamagedError, match=r"run\.json"):
        store.manifest.read()


def test_secrets_of_a_uri_are_kept_out_of_messages() -> None:
    store = RunStore("s3://KEY:SECRET@bucket/run?region=eu-west-1")
    assert "SECRET" not in store.place + str(store.storage) + store.storage.describe("run.json")
    assert "SECRET" in store.uri


def test_the_manifest_of_another_schema_version_is_refused(store: RunStore) -> None:
    store.storage.write("run.json", b'{"schema_version": "99"}')
    with pytest.raises(RunDamagedError, match=r"run\.json has schema version '99', this program reads 1 and 2"):
        store.manifest.read()


def test_a_place_without_manifest_is_no_run(store: RunStore) -> None:
    assert store.manifest.read() is None
    with pytest.raises(UsageError, match=r"is not a run: it has no run\.json"):
        store.manifest.existing()


@pytest.mark.parametrize("place", ["nonsense://bucket/x", "gs:no-slashes://", "~nobody-by-this-name/run", "\udcff"])
def test_a_place_that_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(StorageError, match="is no place for files"):
        RunStore(place)


def test_a_file_at_a_uri_with_options_is_described_as_one_could_open_it() -> None:
    storage = Storage("s3://bucket/run?region=eu-west-1")
    assert storage.describe("run.json") == "s3://bucket/run/run.json?region=eu-west-1"
    assert storage.path("run.json") == "bucket/run/run.json"


def test_an_empty_place_is_refused() -> None:
    with pytest.raises(StorageError, match="the place of the run is empty"):
        RunStore("")


def test_an_unwritable_place_is_known_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file/run/run\.json"):
        RunStore(str(tmp_path / "file" / "run")).storage.write("run.json", b"x")


def test_a_damaged_manifest_is_not_to_be_deleted(store: RunStore) -> None:
    """The results would then belong to nothing, and no start could go on with them."""
    store.storage.write("run.json", b"{broken")
    with pytest.raises(
        RunDamagedError, match=r"run\.json is not JSON .*; restore that file, or start again with another"
    ):
        store.manifest.existing()
