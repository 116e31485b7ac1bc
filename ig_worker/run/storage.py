"""Files of a run, local or on an object store, behind the handful of verbs that a run needs.

A write is one step: the bytes are complete in memory before the first of them leaves, because an exception inside an
open output stream still publishes what was written so far (on S3 as a valid, truncated object). Locally that step is
a temporary file, fsync and ``os.replace``; on an object store it is one PUT.
"""

from __future__ import annotations

import os
import posixpath
import secrets
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from ig_worker.data.files import without_secrets
from ig_worker.errors import StorageError

_TEMPORARY = ".tmp-"  # readers and listings skip names that begin so


class Storage:
    """A directory at a local path or at a URI that ``pyarrow.fs`` understands (``s3://``, ``gs://``, ``file://``).

    Raises:
        StorageError: the place cannot be understood, read or written.
    """

    def __init__(self, place: str) -> None:
        self.place = without_secrets(place)
        if not place:
            raise StorageError("the place of the run is empty", expected="a path, or a URI such as s3://bucket/folder")
        try:
            if "://" in place:
                self._fs, self._root = pafs.FileSystem.from_uri(_one_put(place))
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
        place, query, options = self.place.partition("?")
        return posixpath.join(place, name) + query + options

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""
        try:
            with self._fs.open_input_file(self.path(name)) as stream:
                return stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.error("read", name, error) from error

    def open(self, name: str) -> pa.NativeFile:
        """A file opened for reading at random places, such as the footer of a Parquet file."""
        try:
            return self._fs.open_input_file(self.path(name))
        except OSError as error:
            raise self.error("read", name, error) from error

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a whole file in one step: afterwards it is there complete, or as it was before."""
        try:
            if self.local:
                self._replace_local(self.path(name), data)
            else:
                with self._fs.open_output_stream(self.path(name)) as stream:
                    stream.write(data)
        except OSError as error:
            raise self.error("write", name, error) from error

    def _replace_local(self, path: str, data: bytes | pa.Buffer) -> None:
        folder, name = os.path.split(path)
        os.makedirs(folder, exist_ok=True)
        temporary = os.path.join(folder, f"{_TEMPORARY}{secrets.token_hex(6)}-{name}")
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

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted names of the files directly in `folder`; empty where there is no such folder."""
        selector = pafs.FileSelector(self.path(folder), allow_not_found=True)
        try:
            found = self._fs.get_file_info(selector)
        except OSError as error:
            raise self.error("list", folder, error) from error
        names = (info.base_name for info in found if info.type == pafs.FileType.File)
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith(_TEMPORARY))

    def exists(self, name: str) -> bool:
        try:
            return self._fs.get_file_info(self.path(name)).type == pafs.FileType.File
        except OSError as error:
            raise self.error("look up", name, error) from error

    def delete(self, name: str) -> None:
        """Remove a file; not an error where there is none."""
        try:
            self._fs.delete_file(self.path(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.error("delete", name, error) from error

    def probe(self) -> None:
        """Write and remove a small file, so that a place that cannot be written is known before anything starts."""
        name = f".probe-{secrets.token_hex(6)}"
        self.write(name, b"probe")
        self.delete(name)

    def error(self, verb: str, name: str, error: OSError) -> StorageError:
        """One line about what the system said of a file."""
        reason = error.strerror or str(error).splitlines()[0]
        return StorageError(
            f"cannot {verb} {self.describe(name)} ({reason})",
            expected="a place that this user can read and write, with room on it",
            remedy="check the path, its permissions and the credentials",
        )


def _one_put(place: str) -> str:
    """An S3 URI by which pyarrow writes a small file with one PUT; by itself it opens a multipart upload."""
    if not place.startswith("s3://") or "allow_delayed_open" in place:
        return place
    return f"{place}{'&' if '?' in place else '?'}allow_delayed_open=true"


def _sync_folder(folder: str) -> None:
    """Make a rename durable: without this a power cut may forget it although the file's bytes were synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
