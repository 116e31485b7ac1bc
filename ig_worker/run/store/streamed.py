"""Files too large for memory: written piece by piece, and there only when they are whole."""

from __future__ import annotations

import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import pyarrow as pa

from ig_worker.errors import StorageError
from ig_worker.run.store.filesystem import TEMPORARY, Storage


@contextmanager
def streamed(storage: Storage, name: str) -> Iterator[IO[bytes]]:
    """A file to write to. It is there when the block has ended, complete; an exception leaves nothing of it.

    Locally its bytes wait in a temporary file beside it. For an object store they wait on this machine, since what
    has been written to an open upload is published whatever happens.

    Raises:
        StorageError: it cannot be written, or there is no room for it.
    """
    with _beside(storage, name) if storage.local else _on_this_machine(storage, name) as stream:
        yield stream


def delete_unfinished(storage: Storage) -> None:
    """Remove what writers that were killed have left in a local folder; they leave nothing on an object store."""
    if not storage.local:
        return
    with suppress(FileNotFoundError):
        for name in os.listdir(storage.path("")):
            if name.startswith(TEMPORARY):
                storage.delete(name)


@contextmanager
def _beside(storage: Storage, name: str) -> Iterator[IO[bytes]]:
    path = storage.path(name)
    folder, last = os.path.split(path)
    temporary = os.path.join(folder, f"{TEMPORARY}{secrets.token_hex(6)}-{last}")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise storage.error("write", name, error) from error
    finally:
        with suppress(OSError):  # which is what becomes of it where all went well
            os.unlink(temporary)


@contextmanager
def _on_this_machine(storage: Storage, name: str) -> Iterator[IO[bytes]]:
    try:
        with tempfile.TemporaryFile(prefix="ig-worker-") as stream:
            yield stream
            stream.flush()
            if not os.fstat(stream.fileno()).st_size:  # nothing that could be mapped
                storage.write(name, b"")
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                data = pa.py_buffer(content)
                storage.write(name, data)
                del data  # or the map could not be closed
    except OSError as error:
        raise StorageError(
            f"cannot keep {storage.describe(name)} in {tempfile.gettempdir()} until it is whole ({error.strerror})",
            expected="room for all of it",
            remedy="set TMPDIR to a folder that has it",
        ) from error
