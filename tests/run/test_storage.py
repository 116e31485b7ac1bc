"""Faults of the storage: those that pass are waited for, those that last are told at once."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ig_worker.errors import StorageError
from ig_worker.run.store import filesystem as storage_module
from ig_worker.run.store.filesystem import Storage, delays, transient
from ig_worker.run.store.streamed import delete_unfinished, streamed


@pytest.mark.parametrize(
    ("error", "local", "expected"),
    [
        (OSError(errno.ESTALE, "stale"), True, True),
        (OSError(errno.ENOSPC, "full"), True, False),
        (OSError(errno.EROFS, "read-only"), True, False),
        (FileNotFoundError(errno.ENOENT, "gone"), False, False),
        (OSError("When uploading: AWS Error NETWORK_CONNECTION during PutObject"), False, True),
        (OSError("When uploading: AWS Error INTERNAL_FAILURE during PutObject"), False, True),
        (OSError("When uploading: AWS Error SLOW_DOWN during PutObject"), False, True),
        (OSError("When reading: AWS Error ACCESS_DENIED during HeadObject"), False, False),
        (OSError("When reading: AWS Error SIGNATURE_DOES_NOT_MATCH during GetObject"), False, False),
        (OSError("When reading: AWS Error NO_SUCH_BUCKET during GetObject"), False, False),
    ],
)
def test_which_faults_may_pass(error: OSError, local: bool, expected: bool) -> None:
    assert transient(error, local) is expected


def test_the_delays_double_and_add_up_to_the_patience() -> None:
    assert list(delays(0.0)) == []
    assert list(delays(4.0)) == [0.5, 1.0, 2.0, 0.5]
    assert sum(delays(120.0)) == 120.0
    assert max(delays(120.0)) == 16.0


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(storage_module.time, "sleep", seconds.append)
    return seconds


def fail(monkeypatch: pytest.MonkeyPatch, storage: Storage, times: int, number: int) -> None:
    replace, left = storage._replace_local, [times]

    def attempt(*arguments: object) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(number, "down")
        replace(*arguments)

    monkeypatch.setattr(storage, "_replace_local", attempt)


def test_a_write_is_tried_again_until_the_storage_is_back(tmp_path: Path, monkeypatch, slept: list[float]) -> None:
    storage = Storage(str(tmp_path), patience_s=30.0)
    fail(monkeypatch, storage, 3, errno.ESTALE)
    storage.write("a", b"content")
    assert storage.read("a") == b"content"
    assert slept == [0.5, 1.0, 2.0]


def test_patience_has_an_end(tmp_path: Path, monkeypatch, slept: list[float]) -> None:
    storage = Storage(str(tmp_path), patience_s=3.0)
    fail(monkeypatch, storage, 99, errno.ESTALE)
    with pytest.raises(StorageError, match=r"cannot write .*a \(down\)"):
        storage.write("a", b"content")
    assert sum(slept) == 3.0


def test_a_full_disk_is_told_at_once(tmp_path: Path, monkeypatch, slept: list[float]) -> None:
    storage = Storage(str(tmp_path), patience_s=30.0)
    fail(monkeypatch, storage, 1, errno.ENOSPC)
    with pytest.raises(StorageError, match="down"):
        storage.write("a", b"content")
    assert slept == []


def test_the_tail_of_a_file_is_read_alone(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write("a", b"0123456789")
    assert storage.read_tail("a", 4) == b"6789"
    assert storage.read_tail("a", 99) == b"0123456789"
    assert storage.read_tail("b") is None


def test_a_streamed_file_is_there_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with streamed(storage, "folder/a") as stream:
        stream.write(b"whole")
        stream.flush()
        assert storage.list("folder") == []
    assert storage.read("folder/a") == b"whole"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a"]


def write_half(storage: Storage) -> None:
    with streamed(storage, "a") as stream:
        stream.write(b"half")
        raise KeyboardInterrupt


def test_what_ends_a_streamed_file_early_leaves_the_one_before(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write("a", b"before")
    with pytest.raises(KeyboardInterrupt):
        write_half(storage)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert storage.read("a") == b"before"


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with pytest.raises(StorageError, match="No space left on device"), streamed(storage, "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_have_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".tmp-0123-a", "a", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    delete_unfinished(Storage(str(tmp_path)))
    delete_unfinished(Storage(str(tmp_path / "nowhere")))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a"]
