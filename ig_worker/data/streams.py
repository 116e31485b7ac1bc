"""The bytes of a text file as its readers want them: unpacked, in UTF-8, and never more than a machine can bear."""

from __future__ import annotations

import codecs
import io
from typing import Any

import pyarrow as pa

from ig_worker.data.files import PACKINGS, DataFile
from ig_worker.data.sniff import HEAD, refuse_other_format, refuse_wide_encoding
from ig_worker.errors import DataError

_BLOCK = 1 << 20
_UNPACKED_BYTES = 1 << 30  # up to here a packed file may unpack to whatever it likes
_UNPACKED_TIMES = 200  # and beyond to so many times its size: texts shrink to a third, tables to a tenth
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BROKEN = "\udcff"  # becomes bytes that no UTF-8 has: the row's reader will notice


def open_text(file: DataFile, encoding: str | None) -> io.BufferedReader:
    """A text file from its first byte, unpacked and in UTF-8 without a byte order mark.

    Args:
        file: its name says how it is packed.
        encoding: from `sniff.find_encoding`; None is UTF-8, which is not checked here.
    """
    raw: io.RawIOBase = _Unpacked(file)
    if encoding is not None:
        raw = _InUtf8(io.BufferedReader(raw, _BLOCK), encoding)
    stream: io.BufferedReader = io.BufferedReader(raw, _BLOCK)
    if stream.peek(3).startswith(_BYTE_ORDER_MARK):
        stream.read(3)
    return stream


def check_text(file: DataFile, encoding: str | None) -> None:
    """Raise DataError for a file that is empty, of another format, or in UTF-16 where nobody says so."""
    with file.open_stream() as packed:
        begin = packed.read(HEAD)
    mark = PACKINGS[file.packing] if file.packing else b""
    if not begin.startswith(mark):
        raise DataError(
            f"{file.name} is not packed by {file.packing}",
            expected="a file of the format that its name says",
            remedy=f"take the {file.suffixes[1]} off its name, or pack it again",
        )
    refuse_other_format(begin, file.name, mark)
    with open_text(file, None) as stream:
        head = stream.read(HEAD)
    if not head:
        raise DataError(f"{file.name} is empty", expected="rows", remedy="export it again, or choose another --dataset")
    if file.packing:
        refuse_other_format(head, file.name)
    if encoding is None:
        refuse_wide_encoding(head, file.name)


class _Unpacked(io.RawIOBase):
    """A file's bytes, unpacked, up to what can be no honest file."""

    def __init__(self, file: DataFile) -> None:
        super().__init__()
        self._file, self._done = file, 0
        self._most = max(_UNPACKED_BYTES, _UNPACKED_TIMES * file.size) if file.packing else None
        stream = file.open_stream()
        self._stream = pa.CompressedInputStream(stream, file.packing) if file.packing else stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._stream.readinto(buffer))
        self._done += count
        if self._most is not None and self._done > self._most:
            raise DataError(
                f"{self._file.name} has {self._file.size} bytes and unpacks to more than {self._most}",
                expected="a file of texts",
                remedy="unpack it yourself, if it is to be trusted",
            )
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class _InUtf8(io.RawIOBase):
    """Bytes of a text in another encoding as those of the same text in UTF-8; what cannot be read stays unreadable."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        super().__init__()
        codecs.register_error("ig_worker_broken", _broken)
        self._stream, self._decoder = stream, codecs.getincrementaldecoder(encoding)("ig_worker_broken")
        self._ready, self._ended = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            block = self._stream.read(_BLOCK)
            self._ended = not block
            self._ready = self._decoder.decode(block, final=self._ended).encode("utf-8", "surrogatepass")
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _broken(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _BROKEN, error.end
