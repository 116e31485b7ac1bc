"""Files of a run, local or on an object store, behind the handful of verbs that a run needs.

A write is one step: the bytes are complete in memory before the first of them leaves, because an exception inside an
open output stream still publishes what was written so far (on S3 as a valid, truncated object). Locally that step is
a temporary file, fsync and ``os.replace``. On an object store it is one PUT, or from 10 MiB on a multipart upload,
which appears when it is completed; and it runs in a thread of its own, which Ctrl-C does not reach.
"""

from __future__ import annotations

import errno
import logging
import os
import posixpath
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from ig_worker.data.access import reason_of
from ig_worker.data.files import without_query, without_secrets
from ig_worker.errors import StorageError

log = logging.getLogger(__name__)

TEMPORARY = ".tmp-"  # readers and listings skip names that begin so
RUN_PATIENCE_S = 120.0  # of a run that is under way, with a storage that is away for a while
_TAIL = 1 << 16  # of a Parquet file: its footer, nearly always
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 16.0
_ONE_PUT_BYTES = 10 << 20  # a file of so many bytes is no longer one PUT of pyarrow's
_PIECE_BYTES = 32 << 20  # of a larger one that are under way at a time
_GOOGLE_PATIENCE_S = 6  # about what the client of S3 takes by itself
# What a local or network file system says of a fault that may pass.
_PASSING = {
    getattr(errno, name)
    for name in (
        "EAGAIN",
        "EBUSY",
        "EINTR",
        "EREMOTEIO",
        "ESTALE",
        "ETIMEDOUT",
        "EHOSTDOWN",
        "ENETUNREACH",
        "ECONNRESET",
    )
    if hasattr(errno, name)
}
# What an object store says of a fault that will not.
_LASTING = (
    "ACCESS_DENIED",
    "NO_SUCH_BUCKET",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "FORBIDDEN",
    "UNRECOGNIZED_CLIENT",
    "HTTP status 301",  # another region's bucket
    "HTTP status 400",  # another region, or a key that has expired; answers to HEAD carry no words
    "HTTP status 403",
    "ExpiredToken",
    "Status(NOT_FOUND",  # of Google, to a write: no such bucket
    "Status(UNAUTHENTICATED",
    "wrong version number",  # https to a server that speaks http
    "curlCode: 60",  # a certificate that nobody vouches for
    "INVALID_CLIENT_TOKEN_ID",
    "MISSING_AUTHENTICATION_TOKEN",
    "PERMISSION_DENIED",
)
T = TypeVar("T")


def transient(error: OSError, local: bool) -> bool:
    """Whether a fault of the storage may pass by itself."""
    if isinstance(error, FileNotFoundError | PermissionError):
        return False
    if local:
        return error.errno in _PASSING
    return not any(mark in str(error) for mark in _LASTING)


def delays(patience_s: float) -> Iterator[float]:
    """Seconds to wait before each further try, doubling, until they add up to `patience_s`."""
    delay, left = _FIRST_DELAY_S, patience_s
    while left > 0:
        yield min(delay, left)
        left -= delay
        delay = min(2 * delay, _LONGEST_DELAY_S)


class Storage:
    """A directory at a local path or at a URI that ``pyarrow.fs`` understands (``s3://``, ``gs://``, ``file://``).

    Args:
        place: the path or URI.
        patience_s: how long to try again where a fault may pass; 0 to know at once.

    Raises:
        StorageError: the place cannot be understood, read or written.
    """

    def __init__(self, place: str, patience_s: float = 0.0) -> None:
        self.place = without_secrets(place)
        self.patience_s = patience_s
        self._uri = place
        if not place:
            raise StorageError("the place of the run is empty", expected="a path, or a URI such as s3://bucket/folder")
        try:
            place.encode()  # a name that is not UTF-8, which pyarrow cannot open
            if "://" in place:
                self._fs, self._root = pafs.FileSystem.from_uri(_tuned(place))
            else:
                self._fs, self._root = pafs.LocalFileSystem(), str(Path(place).expanduser().absolute())
        except (pa.ArrowInvalid, OSError, ValueError, RuntimeError) as error:
            raise StorageError(
                f"{self.place!r} is no place for files ({without_secrets(str(error))})",
                expected="a path, or a URI such as s3://bucket/folder",
            ) from error
        self.local = isinstance(self._fs, pafs.LocalFileSystem)

    def path(self, name: str) -> str:
        """The name as the file system knows it."""
        return posixpath.join(self._root, name)

    def __str__(self) -> str:
        return self.place

    def describe(self, name: str) -> str:
        """The name as a person knows it."""
        place = without_query(self.place)
        return posixpath.join(place, name) + self.place[len(place) :]

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""

        def action() -> bytes | None:
            try:
                with self._fs.open_input_file(self.path(name)) as stream:
                    return stream.read()
            except FileNotFoundError:
                return None

        return self._do("read", name, action)

    def read_tail(self, name: str, size: int = _TAIL) -> bytes | None:
        """The last `size` bytes of a file, or all where it has fewer; None where there is no such file."""

        def action() -> bytes | None:
            try:
                with self._fs.open_input_file(self.path(name)) as stream:
                    whole = stream.size()
                    return stream.read_at(min(size, whole), max(0, whole - size))
            except FileNotFoundError:
                return None

        return self._do("read", name, action)

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a whole file in one step: afterwards it is there complete, or as it was before."""

        def action() -> None:
            if self.local:
                self._replace_local(self.path(name), data)
            else:
                # An interruption between the two lines of _upload would publish an empty object. It waits here instead,
                # but only for a thread whose start it has not cut short: hence the first task, which does nothing.
                with ThreadPoolExecutor(1) as uploader:
                    uploader.submit(int).result()
                    uploader.submit(self._upload, self.path(name), data).result()

        self._do("write", name, action)

    def _upload(self, path: str, data: bytes | pa.Buffer) -> None:
        fs = self._fs if len(data) < _ONE_PUT_BYTES else self._fs_for_large
        with fs.open_output_stream(path) as stream:
            for start in range(0, len(data), _PIECE_BYTES):
                if start:
                    stream.flush()  # or all that is not sent yet would wait in memory
                stream.write(memoryview(data)[start : start + _PIECE_BYTES])

    @cached_property
    def _fs_for_large(self) -> pafs.FileSystem:
        """Begins a multipart upload when a file is opened; begun later, and failing, it publishes an empty object."""
        return pafs.FileSystem.from_uri(_tuned(self._uri, delayed_open=False))[0]

    def _do(self, verb: str, name: str, action: Callable[[], T]) -> T:
        """What `action` returns, after as many tries as `patience_s` allows.

        Raises:
            StorageError: none succeeded.
        """
        waits = delays(self.patience_s)
        while True:
            try:
                return action()
            except OSError as error:
                wait = next(waits, None)
                if wait is None or not transient(error, self.local):
                    raise self.error(verb, name, error) from error
                log.warning("cannot %s %s (%s); trying again in %.1f s", verb, self.describe(name), error, wait)
                time.sleep(wait)

    def _replace_local(self, path: str, data: bytes | pa.Buffer) -> None:
        folder, name = os.path.split(path)
        os.makedirs(folder, exist_ok=True)
        temporary = os.path.join(folder, f"{TEMPORARY}{secrets.token_hex(6)}-{name}")
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
        _sync_folder(folder)

    def folders(self) -> list[str]:
        """Sorted names of the folders directly in this place; empty where there is none."""
        selector = pafs.FileSelector(self._root, allow_not_found=True)
        found = self._do("list", "", lambda: self._fs.get_file_info(selector))
        return sorted(info.base_name for info in found if info.type == pafs.FileType.Directory)

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted names of the files directly in `folder`; empty where there is no such folder."""
        selector = pafs.FileSelector(self.path(folder), allow_not_found=True)
        found = self._do("list", folder, lambda: self._fs.get_file_info(selector))
        names = (info.base_name for info in found if info.type == pafs.FileType.File)
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith(TEMPORARY))

    def delete_folder(self, name: str) -> None:
        """Remove a folder with all that is in it; not an error where there is none."""

        def action() -> None:
            with suppress(FileNotFoundError):
                self._fs.delete_dir(self.path(name))

        self._do("delete", name, action)

    def exists(self, name: str) -> bool:
        info = self._do("look up", name, lambda: self._fs.get_file_info(self.path(name)))
        return bool(info.type == pafs.FileType.File)

    def delete(self, name: str) -> None:
        """Remove a file; not an error where there is none."""

        def action() -> None:
            try:
                self._fs.delete_file(self.path(name))
            except FileNotFoundError:
                return

        self._do("delete", name, action)

    def error(self, verb: str, name: str, error: OSError) -> StorageError:
        """One line about what the system said of a file."""
        reason = reason_of(error, self.path(name)) if self.local else error.strerror or str(error).splitlines()[0]
        return StorageError(
            f"cannot {verb} {self.describe(name)} ({reason})",
            expected="a place that this user can read and write, with room on it",
            remedy="check the path, its permissions and the credentials",
        )


def _tuned(place: str, delayed_open: bool = True) -> str:
    """The URI with the options that a run needs, but for those that it says itself.

    `delayed_open` makes pyarrow write a small file to S3 with one PUT, and every file as a multipart upload without it.
    Google's client would by itself try for a quarter of an hour, also to reach a server that is not there.
    """
    if place.startswith("s3://"):
        option = f"allow_delayed_open={str(delayed_open).lower()}"
    elif place.startswith(("gs://", "gcs://")):
        option = f"retry_limit_seconds={_GOOGLE_PATIENCE_S}"
    else:
        return place
    return place if option.partition("=")[0] in place else f"{place}{'&' if '?' in place else '?'}{option}"


def _sync_folder(folder: str) -> None:
    """Make a rename durable: without this a power cut may forget it although the file's bytes were synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
